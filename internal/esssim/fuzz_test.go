package esssim_test

import (
	"net/http"
	"testing"

	"essworker/internal/esssim"
)

// FuzzBody: whatever a signed request carries, the answer is an envelope with a
// RequestId, and Unbind of what Bind has bound succeeds. (call checks the former.)
func FuzzBody(f *testing.F) {
	actions := []string{bindAction, grantAction, linkAction, unbindAction}
	for i, action := range actions {
		f.Add(i, okBody(action))
		f.Add(i, full[action])
	}
	f.Add(0, `{"Operator":{"UserId":"\ud800"},"UserId":"yDSIM\u0000","OpenId":"\u4e00"}`)
	f.Add(1, `[[[[{"UserIds":[[]]}]]]]`)
	f.Add(2, `{"ExpiredTime":1e400}`)
	f.Fuzz(func(t *testing.T, n int, body string) {
		sim := esssim.New(esssim.Config{})
		c := newCaller(sim)
		action := actions[uint(n)%uint(len(actions))]
		first := c.call(t, action, body).code()
		again := c.call(t, action, body).code()
		if action == bindAction && first == "ok" && (again == "ok" || c.call(t, unbindAction, body).code() != "ok") {
			t.Errorf("bind of %q worked, then %s, and cannot be undone", body, again)
		}
		sim.State()
	})
}

// FuzzHead: whatever the headers say, the answer is an envelope.
func FuzzHead(f *testing.F) {
	r := newCaller(nil).request(f.Context(), f, bindAction, okBody(bindAction))
	f.Add(r.Header.Get("Authorization"), r.Header.Get("X-TC-Timestamp"), "application/json", "ap-guangzhou")
	f.Add("TC3-HMAC-SHA256 Credential=///tc3_request, SignedHeaders=;;, Signature=", "-9223372036854775808", "", "-")
	sim := esssim.New(esssim.Config{MaxCalls: 10})
	f.Fuzz(func(t *testing.T, authorization, timestamp, contentType, region string) {
		c := newCaller(sim)
		r := c.request(t.Context(), t, bindAction, okBody(bindAction))
		for name, value := range map[string]string{
			"Authorization": authorization, "X-TC-Timestamp": timestamp, "Content-Type": contentType, "X-TC-Region": region,
		} {
			r.Header.Set(name, value)
		}
		if got := c.send(t, r).code(); got == "ok" && authorization == "" {
			t.Error("a call nobody signed went through")
		}
	})
}

// FuzzFault: a fault that is accepted can be injected and met.
func FuzzFault(f *testing.F) {
	f.Add(`{"kind":"throttle","variant":"uin","count":2}`)
	f.Add(`{"kind":"hostile","seed":3,"ratio":0.5,"kinds":["null"]}`)
	f.Add(`{"kind":"code","code":"\u0000","message":"<"}`)
	f.Fuzz(func(t *testing.T, body string) {
		sim := esssim.New(esssim.Config{})
		status, text := control(t, sim, http.MethodPost, "/sim/faults", body, nil)
		if in := len(sim.Faults()) == 1; in != (status == http.StatusCreated) {
			t.Errorf("POST %q = %d %s, yet in force: %v", body, status, text, in)
		}
	})
}
