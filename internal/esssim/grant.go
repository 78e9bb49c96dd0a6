package esssim

import "slices"

// grantAnswer is what ChannelCreateSealPolicy answers. The two links are empty
// unless the operator has to show his face first.
type grantAnswer struct {
	UserIDs     []string `json:"UserIds"`
	VerifyPath  string   `json:"SealOperatorVerifyPath"`
	VerifyImage string   `json:"SealOperatorVerifyQrcodeUrl"`
	RequestID   string   `json:"RequestId"`
}

// grant lets employees of a client organisation use one of its seals. Those who
// may already are skipped and left out of the answer (vendor docs).
func (s *Sim) grant(c *call) outcome {
	if c.text("SealId") == "" {
		return no("InvalidParameter.ParamError", textNoSealID)
	}
	org, refused := s.actingClient(c)
	if refused != (refusal{}) {
		return outcome{refused: refused}
	}
	used, ok := s.world.seal(org, c.text("SealId"))
	switch {
	case !ok:
		return no("ResourceNotFound", textNotFound)
	case !used.active:
		return no("ResourceNotFound.Seal", textSealStopped)
	}
	grantees, refused := s.grantees(c, org)
	if refused != (refusal{}) {
		return outcome{refused: refused}
	}
	verify, refused := c.wantsVerification()
	if refused != (refusal{}) {
		return outcome{refused: refused}
	}

	ans := grantAnswer{UserIDs: []string{}, RequestID: c.requestID}
	if verify {
		token := s.token(24)
		ans.VerifyPath = "/pages/guide/index?to=FACE_IDENTIFY&request_token=" + token
		ans.VerifyImage = "https://essurl.cn/qr/" + token + ".png"
		return outcome{fields: ans}
	}
	for _, g := range grantees {
		if !used.users[g.userID] {
			used.users[g.userID] = true
			ans.UserIDs = append(ans.UserIDs, g.sentAs)
		}
	}
	return outcome{fields: ans, committed: len(ans.UserIDs) > 0}
}

// actingClient finds the client organisation of an essbasic call, once its
// operator may grant seals there.
func (s *Sim) actingClient(c *call) (*organisation, refusal) {
	app, orgID, opID := c.text("Agent", "AppId"), c.text("Agent", "ProxyOrganizationOpenId"), c.text("Agent", "ProxyOperator", "OpenId")
	switch {
	case s.world.apps[app] == nil:
		return nil, refusal{"ResourceNotFound.Application", textNoApplication}
	case orgID == "":
		return nil, refusal{"MissingParameter.OrgOpenId", textNoOrgOpenID}
	case opID == "":
		return nil, refusal{"MissingParameter.ProxyOperatorOpenId", textNoOperatorID}
	}
	org, ok := s.world.client(app, orgID)
	if !ok {
		return nil, refusal{"ResourceNotFound.Organization", textNoOrganization}
	}
	if !org.verified {
		return nil, refusal{"ResourceNotFound.AuthActiveOrganization", textOrgUnverified}
	}
	op, ok := s.world.byOpenID(org, opID)
	switch {
	case !ok || !op.active:
		return nil, refusal{"InvalidParameter.InvalidOperatorId", textNoSuchOperator}
	case !op.verified:
		return nil, refusal{"OperationDenied.NoIdentityVerify", textUnverified}
	case !op.rights.grantSeals:
		return nil, refusal{"OperationDenied.OperatorHasNoPermission", textOperatorLacks}
	}
	return org, refusal{}
}

// grantee is an employee and the id the caller gave for it.
type grantee struct {
	*employee

	sentAs string
}

// grantees resolves UserIds, each a UserId or an OpenId.
func (s *Sim) grantees(c *call, org *organisation) ([]grantee, refusal) {
	ids := c.list("UserIds")
	if len(ids) == 0 {
		return nil, refusal{"InvalidParameter.ParamError", textNoGrantees}
	}
	found := make([]grantee, 0, len(ids))
	for _, id := range ids {
		e, ok := s.world.employee(org, id)
		if !ok {
			e, ok = s.world.byOpenID(org, id)
		}
		switch {
		case ok && e.verified && e.active:
			found = append(found, grantee{e, id})
		case !s.cfg.SkipUnknownUsers:
			return nil, refusal{"InvalidParameter.ParamError", textNoSuchGrantee}
		}
	}
	return found, refusal{}
}

// wantsVerification reads Options. The one documented switch has the values true
// and, presumably, false.
func (c *call) wantsVerification() (bool, refusal) {
	options, _ := c.data["Options"].([]any)
	want := false
	for _, o := range options {
		m, _ := o.(map[string]any)
		value, _ := m["Value"].(string)
		if m["Key"] != "SealOperatorVerify" || !slices.Contains([]string{"true", "false"}, value) {
			return false, refusal{"InvalidParameter.ParamError", textBadOptionSwitch}
		}
		want = value == "true"
	}
	return want, refusal{}
}
