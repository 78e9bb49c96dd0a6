package esssim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/esssim"
)

func TestFault_filters(t *testing.T) {
	tests := []struct {
		name  string
		fault esssim.Fault
		meets string // the letters of those it meets: b(ind), g(rant), l(ink), s(econd key's link)
	}{
		{"all", esssim.Fault{}, "bgls"},
		{"action", esssim.Fault{Action: linkAction}, "ls"},
		{"product", esssim.Fault{Product: "essbasic"}, "g"},
		{"credential", esssim.Fault{Credential: "AKIDsecond"}, "s"},
		{"operator", esssim.Fault{Tenant: esssim.OperatorUserID}, "bls"},
		{"organisation", esssim.Fault{Tenant: esssim.ClientOpenID}, "g"},
		{"application", esssim.Fault{Tenant: esssim.AppID}, "g"},
		{"operator's OpenId", esssim.Fault{Tenant: esssim.ClientOperatorOpenID}, "g"},
		{"both", esssim.Fault{Tenant: esssim.OperatorUserID, Action: bindAction}, "b"},
		{"neither", esssim.Fault{Tenant: esssim.OperatorUserID, Action: grantAction}, ""},
		{"next two", esssim.Fault{Count: 2}, "bg"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sim := esssim.New(esssim.Config{})
			sim.AddKey(esssim.Key{SecretID: "AKIDsecond", SecretKey: "second"})
			tt.fault.Kind, tt.fault.Code = esssim.Code, "InternalError"
			sim.Inject(tt.fault)
			c := newCaller(sim)
			second := c
			second.id, second.key = "AKIDsecond", "second"
			var met strings.Builder
			for _, one := range []struct {
				letter, action string
				c              caller
			}{{"b", bindAction, c}, {"g", grantAction, c}, {"l", linkAction, c}, {"s", linkAction, second}} {
				if one.c.call(t, one.action, okBody(one.action)).code() == "InternalError" {
					met.WriteString(one.letter)
				}
			}
			if met.String() != tt.meets {
				t.Errorf("met by %q, want %q", met.String(), tt.meets)
			}
		})
	}
}

// What the gateway refuses uses up no counted fault.
func TestFault_countedOnlyWhereItActs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{Rate: 1})
		c := newCaller(sim)
		c.call(t, linkAction, okBody(linkAction))
		sim.Inject(esssim.Fault{Kind: esssim.ResetAfter, Count: 1})
		if got := c.call(t, linkAction, okBody(linkAction)).code(); got != "RequestLimitExceeded" {
			t.Fatalf("second call = %s, want RequestLimitExceeded", got)
		}
		time.Sleep(time.Second)
		if _, _, err := c.raw(c.request(t.Context(), t, linkAction, okBody(linkAction))); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("call in the next second = %v, want a reset", err)
		}
		if left := sim.Faults(); len(left) != 0 {
			t.Errorf("faults in force = %v, want none", left)
		}
	})
}

func TestFault_ratio(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	c := newCaller(sim)
	sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InternalError", Ratio: 0.25})
	met := 0
	for range 400 {
		if c.call(t, linkAction, okBody(linkAction)).code() == "InternalError" {
			met++
		}
	}
	if met < 60 || met > 140 {
		t.Errorf("a ratio of 0.25 met %d of 400 calls", met)
	}
	sim.ClearFaults()
	if got := c.call(t, linkAction, okBody(linkAction)).code(); got != "ok" {
		t.Errorf("after ClearFaults = %s, want ok", got)
	}
}

func TestHostile_sameSeedSameFaults(t *testing.T) {
	run := func(seed uint64, before int) []string {
		var seen []string
		synctest.Test(t, func(t *testing.T) {
			sim := esssim.New(esssim.Config{})
			for range before {
				sim.Remove(sim.Inject(esssim.Fault{Kind: esssim.Null}))
			}
			sim.Hostile(seed, 0.5)
			c := newCaller(sim)
			for i := range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
				start := time.Now()
				what := describe(sim.RoundTrip(c.request(ctx, t, bindAction, bindBody(fmt.Sprint("yDSIM", i), fmt.Sprint("n", i))))) //nolint:bodyclose // describe does
				seen = append(seen, fmt.Sprint(what, " after ", time.Since(start)))
				cancel()
			}
			for i, call := range sim.Calls() {
				seen[i] += " " + string(call.Fault)
			}
		})
		return seen
	}
	first := run(7, 0)
	if again := run(7, 3); !slices.Equal(first, again) {
		t.Error("the same seed gave other faults")
	}
	if slices.Equal(first, run(8, 0)) {
		t.Error("another seed gave the same faults")
	}
	met := map[string]int{}
	for _, what := range first {
		fields := strings.Fields(what)
		met[fields[len(fields)-1]]++
	}
	for _, k := range esssim.Kinds() {
		if met[string(k)] == 0 {
			t.Errorf("300 calls at a ratio of 0.5 met no %s", k)
		}
	}
}

func TestHostile_stops(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	c := newCaller(sim)
	sim.Inject(esssim.Fault{Kind: esssim.Hostile, Seed: 1, Kinds: []esssim.Kind{esssim.Throttle}})
	if got := c.call(t, linkAction, okBody(linkAction)).code(); !strings.HasPrefix(got, "RequestLimitExceeded") {
		t.Errorf("hostile with throttling only = %s, want a RequestLimitExceeded", got)
	}
	sim.Hostile(1, 0)
	if got := c.call(t, linkAction, okBody(linkAction)).code(); got != "ok" {
		t.Errorf("after Hostile(1, 0) = %s, want ok", got)
	}
}
