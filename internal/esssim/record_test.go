package esssim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/esssim"
)

func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{Rate: 2})
		c := newCaller(sim)
		bad := c
		bad.key = "not the key"

		var ids []string
		for _, call := range []func() envelope{
			func() envelope { return c.call(t, grantAction, grantBody(esssim.SealID, "sim2", "sim1", "sim2")) },
			func() envelope { return c.call(t, grantAction, grantBody(esssim.SealID, "sim1", "sim2")) },
			func() envelope { return c.call(t, grantAction, grantBody(esssim.SealID, "sim1")) },
			func() envelope { return bad.call(t, linkAction, okBody(linkAction)) },
			func() envelope { return c.call(t, bindAction, `{"UserId":7}`) },
		} {
			ids = append(ids, call().Response.RequestID)
		}
		granted := esssim.GrantEntity(esssim.SealID, "sim1", "sim2")
		person := esssim.LinkEntity(esssim.SceneKey, esssim.PersonName, esssim.IDCardType, esssim.PersonIDCardNumber)
		grant := esssim.Call{
			At: time.Now(), Action: grantAction, Product: "essbasic", SecretID: esssim.SecretID,
			Tenant: esssim.ClientOpenID, HTTPStatus: 200,
		}
		want := []esssim.Call{grant, grant, grant, grant, grant}
		want[0].Entity, want[0].Outcome, want[0].Counted, want[0].Committed = granted, "ok", true, true
		want[1].Entity, want[1].Outcome, want[1].Counted = granted, "ok", true
		want[2].Entity, want[2].Outcome, want[2].Counted = esssim.GrantEntity(esssim.SealID, "sim1"), "RequestLimitExceeded", true
		want[3].Action, want[3].Product, want[3].Tenant, want[3].Entity, want[3].Outcome = linkAction, "ess", esssim.OperatorUserID, person, "AuthFailure.SignatureFailure"
		want[4].Action, want[4].Product, want[4].Tenant, want[4].Entity, want[4].Outcome, want[4].Counted = bindAction, "ess", "", "bind::", "InvalidParameter", true
		for i := range want {
			want[i].Seq, want[i].RequestID = i+1, ids[i]
		}
		if diff := cmp.Diff(want, sim.Calls()); diff != "" {
			t.Errorf("Calls() (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(map[string]int{granted: 1}, sim.Commits()); diff != "" {
			t.Errorf("Commits() (-want +got)\n%s", diff)
		}
	})
}

func TestCalls_bounded(t *testing.T) {
	sim := esssim.New(esssim.Config{MaxCalls: 3})
	c := newCaller(sim)
	for range 10 {
		c.call(t, linkAction, okBody(linkAction))
	}
	calls := sim.Calls()
	if len(calls) != 3 || calls[0].Seq != 8 || calls[2].Seq != 10 {
		t.Errorf("Calls() = %+v, want calls 8 to 10", calls)
	}
}

func TestCalls_notRecorded(t *testing.T) {
	sim := esssim.New(esssim.Config{NoRecord: true})
	c := newCaller(sim)
	for range 10 {
		c.call(t, linkAction, okBody(linkAction))
	}
	if calls, commits := sim.Calls(), sim.Commits(); len(calls)+len(commits) != 0 {
		t.Errorf("recorded %v and %v, want nothing", calls, commits)
	}
	want := esssim.Counters{Arrived: 10, Counted: 10, OK: 10, Committed: 10}
	if got := sim.State().Counters[linkAction]; got != want {
		t.Errorf("counters = %+v, want %+v", got, want)
	}
}

func TestConfig_validate(t *testing.T) {
	for _, cfg := range []esssim.Config{{Rate: -1}, {UinRate: -1}, {IPRate: -1}, {MaxCalls: -1}} {
		if cfg.Validate() == nil {
			t.Errorf("Validate(%+v) = nil, want an error", cfg)
		}
	}
	if err := (esssim.Config{Rate: 20}).Validate(); err != nil {
		t.Errorf("Validate of a good one = %v", err)
	}
}
