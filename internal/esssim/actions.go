package esssim

import "strings"

// outcome is what the business made of a call.
type outcome struct {
	refused   refusal
	fields    any  // of the answer, RequestId included
	committed bool // state changed, or a link was minted
}

// no is a refusal by the business.
func no(code, message string) outcome { return outcome{refused: refusal{code, message}} }

// action is one API action: what it takes, what it does, and what it is about.
type action struct {
	product string
	params  shape
	do      func(*Sim, *call) outcome // with the lock held
	entity  func(*call) string        // from a body not yet checked
}

// actions holds every action the simulator has.
var actions = map[string]action{
	"BindEmployeeUserIdWithClientOpenId": {productESS, bindParams, (*Sim).bind, func(c *call) string {
		return BindEntity(c.text("UserId"), c.text("OpenId"))
	}},
	"UnbindEmployeeUserIdWithClientOpenId": {productESS, bindParams, (*Sim).unbind, func(c *call) string {
		return "un" + BindEntity(c.text("UserId"), c.text("OpenId"))
	}},
	"ChannelCreateSealPolicy": {productBasic, grantParams, (*Sim).grant, func(c *call) string {
		return GrantEntity(c.text("SealId"), c.list("UserIds")...)
	}},
	"CreateUserAutoSignSealUrl": {productESS, linkParams, (*Sim).link, func(c *call) string {
		return LinkEntity(c.text("SceneKey"), c.text("UserInfo", "Name"), c.text("UserInfo", "IdCardType"), c.text("UserInfo", "IdCardNumber"))
	}},
}

// work checks the body and does what it asks for.
func (s *Sim) work(c *call) reply {
	act := actions[c.action]
	if refused := c.checkBody(act.params); refused != (refusal{}) {
		return c.refuse(refused)
	}
	out := s.carryOut(c, act)
	if out.refused != (refusal{}) {
		return c.refuse(out.refused)
	}
	return c.answer(out.fields)
}

// carryOut does it, as one step.
func (s *Sim) carryOut(c *call, act action) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := act.do(s, c)
	if out.refused == (refusal{}) {
		s.record.done(c, out.committed)
	}
	return out
}

// checkBody holds the body against the action's parameters.
func (c *call) checkBody(params shape) refusal {
	if c.body.tooLarge {
		return refusal{"RequestSizeLimitExceeded", textTooLarge.in(c.language)}
	}
	if c.data == nil {
		return refusal{"InvalidParameter", textNotObject.in(c.language)}
	}
	switch f := params.inspect(c.data); {
	case f.unknown != "":
		return refusal{"UnknownParameter", textUnknown.in(c.language, f.unknown)}
	case f.wrong != "":
		return refusal{"InvalidParameter", textWrongType.in(c.language, f.wrong)}
	case f.missing != "":
		return refusal{"MissingParameter", textMissing.in(c.language, f.missing)}
	}
	return refusal{}
}

// value finds a property, nil if it is not there.
func (c *call) value(path ...string) any {
	var v any = c.data
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// text gives a property that is a string, else nothing.
func (c *call) text(path ...string) string {
	v, _ := c.value(path...).(string)
	return v
}

// list gives the strings of a property that is a list.
func (c *call) list(name string) []string {
	values, _ := c.data[name].([]any)
	list := make([]string, 0, len(values))
	for _, v := range values {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// tenants are the ids a Fault.Tenant may name.
func (c *call) tenants() []string {
	return []string{
		c.text("Operator", "UserId"),
		c.text("Agent", "ProxyOrganizationId"),
		c.text("Agent", "ProxyOrganizationOpenId"),
		c.text("Agent", "ProxyOperator", "OpenId"),
		c.text("Agent", "AppId"),
	}
}

// alphanumeric says whether s has from low to high characters, all of them
// letters and digits of ASCII.
func alphanumeric(s string, low, high int) bool {
	if len(s) < low || len(s) > high {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}
