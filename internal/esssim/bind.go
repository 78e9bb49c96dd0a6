package esssim

// bindAnswer is what Bind and Unbind answer.
type bindAnswer struct {
	Status    int
	RequestID string `json:"RequestId"`
}

// acting finds the operator of an ess call and the organisation it acts in: its
// own, or the subsidiary the Agent names.
func (s *Sim) acting(c *call) (*employee, *organisation, refusal) {
	op, ok := s.world.operator(c.text("Operator", "UserId"))
	switch {
	case !ok:
		return nil, nil, refusal{"InvalidParameter.InvalidOperatorId", textNoSuchOperator}
	case !op.verified:
		return nil, nil, refusal{"OperationDenied.NoIdentityVerify", textUnverified}
	case c.data["Agent"] == nil:
		return op, op.org, refusal{}
	}
	org, ok := s.world.subsidiary(op.org, c.text("Agent", "ProxyOrganizationId"))
	if !ok {
		return nil, nil, refusal{"OperationDenied.SubOrgNotJoin", textNotSubsidiary}
	}
	return op, org, refusal{}
}

// bindable finds the employee of a Bind or Unbind.
func (s *Sim) bindable(c *call) (*employee, refusal) {
	op, org, refused := s.acting(c)
	if refused != (refusal{}) {
		return nil, refused
	}
	if !op.rights.editStaff {
		return nil, refusal{"UnauthorizedOperation", textNoRight}
	}
	e, ok := s.world.employee(org, c.text("UserId"))
	if !ok || !e.active {
		return nil, refusal{"InvalidParameter.ParamError", textNoSuchEmployee}
	}
	if !alphanumeric(c.text("OpenId"), 1, 64) {
		return nil, refusal{"InvalidParameter.ParamError", textBadOpenID}
	}
	return e, refusal{}
}

// bind ties an employee to an OpenId. It is not idempotent: the same pair again
// is refused (vendor docs).
func (s *Sim) bind(c *call) outcome {
	e, refused := s.bindable(c)
	if refused != (refusal{}) {
		return outcome{refused: refused}
	}
	openID := c.text("OpenId")
	switch holder := e.org.openIDs[openID]; {
	case holder == e:
		return no("InvalidParameter", textBoundSame)
	case holder != nil:
		return no("InvalidParameter", textBoundOther)
	case e.openID != "" && !s.cfg.OverwriteBinding:
		return no("InvalidParameter", textHasOtherOpenID)
	}
	delete(e.org.openIDs, e.openID)
	e.openID = openID
	e.org.openIDs[openID] = e
	return outcome{fields: bindAnswer{1, c.requestID}, committed: true}
}

// unbind undoes bind.
func (s *Sim) unbind(c *call) outcome {
	e, refused := s.bindable(c)
	if refused != (refusal{}) {
		return outcome{refused: refused}
	}
	if e.openID != c.text("OpenId") {
		return no("InvalidParameter", textNotBound)
	}
	delete(e.org.openIDs, e.openID)
	e.openID = ""
	return outcome{fields: bindAnswer{1, c.requestID}, committed: true}
}
