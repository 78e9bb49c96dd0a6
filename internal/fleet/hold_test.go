package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/fault"
	"essworker/internal/fleet"
)

// lanes are two lanes of one credential and one of another.
type lanes struct {
	*fleet.Fleet

	bind, link, grant *fleet.Gate
}

func newLanes(t *testing.T) lanes {
	t.Helper()
	f := newFleet(t)
	return lanes{f, gate(f, "bind", "Bind", "ess"), gate(f, "link", "Link", "ess"), gate(f, "grant", "Grant", "essbasic")}
}

// held lists the lanes that are held.
func (l lanes) held() (held []string) {
	for _, s := range l.States() {
		if s.Held != "" {
			held = append(held, s.Lane)
		}
	}
	return held
}

// begin has a hold of the scope on lane bind and tenant t.
func (l lanes) begin(t *testing.T, scope fault.Scope) {
	t.Helper()
	for i := range 3 { // of a tenant it takes three
		if scope == fault.Tenant || i == 0 {
			do(t, l.bind, fleet.Call{Tenant: "t", Key: strconv.Itoa(i)}, misconfigured(scope))
		}
	}
}

func TestHold_scope(t *testing.T) {
	for scope, want := range map[fault.Scope][]string{
		fault.Credential: {"bind", "link"}, fault.Action: {"bind"}, fault.Tenant: nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLanes(t)
			l.begin(t, scope)
			if d := cmp.Diff(want, l.held()); d != "" {
				t.Errorf("held by scope %s (-want +got):\n%s", scope, d)
			}
			for _, g := range []*fleet.Gate{l.bind, l.link, l.grant} {
				_, shut := g.Closed()
				c := fleet.Call{Tenant: "another"}
				if err := g.Check(c); (err != nil) != shut {
					t.Errorf("scope %s: Check = %v, but Closed = %t", scope, err, shut)
				}
				if shut {
					if retry := closed(t, g, c); retry != holdProbe {
						t.Errorf("scope %s: RetryIn is %v, want %v", scope, retry, holdProbe)
					}
				} else {
					do(t, g, c, nil)
				}
			}
		})
	}
}

// TestHold_probe: one probe each HoldProbe, for all lanes together, until one tells
// that the cause is mended.
func TestHold_probe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(t)
		do(t, l.bind, fleet.Call{}, badKey)
		for range 10 {
			waited, probe := enter(t, l.link)
			if waited != holdProbe || !probe {
				t.Errorf("Enter waited %v, probe %t; want %v and a probe", waited, probe, holdProbe)
			}
			if !do(t, l.link, fleet.Call{}, badKey) {
				t.Error("the probe is not reported as one")
			}
			closed(t, l.bind, fleet.Call{})
		}
		enter(t, l.link)
		var made atomic.Int32
		for range 5 {
			for _, g := range []*fleet.Gate{l.bind, l.link} {
				go func() {
					_, _, _ = g.Do(t.Context(), fleet.Call{}, func(context.Context) ([]byte, error) {
						made.Add(1)
						time.Sleep(10 * time.Second)
						return nil, nil
					})
				}()
			}
		}
		synctest.Wait()
		if got := made.Load(); got != 1 {
			t.Errorf("%d probes at once, want 1", got)
		}
		if err := l.bind.Check(fleet.Call{}); err == nil {
			t.Error("Check during the probe = nil, want an error")
		}
		if retry := closed(t, l.link, fleet.Call{}); retry != holdProbe {
			t.Errorf("during the probe RetryIn is %v, want %v: what is refused is not to come back at once", retry, holdProbe)
		}
		if waited, probe := enter(t, l.bind); waited != 10*time.Second || probe {
			t.Errorf("Enter waited %v, probe %t; want until the probe succeeded, 10s, and an open gate", waited, probe)
		}
		if held := l.held(); held != nil {
			t.Errorf("still held: %v", held)
		}
	})
}

// TestHold_mended: which answers to a probe prove that what was held is in order.
func TestHold_mended(t *testing.T) {
	type row struct {
		answer error
		ends   bool
		again  time.Duration // if not, until the next probe
	}
	for scope, rows := range map[fault.Scope][]row{
		fault.Credential: {
			{nil, true, 0},
			{refused, true, 0},
			{noLicence, true, 0},
			{badAction, true, 0},
			{badTenant, true, 0},
			{badKey, false, holdProbe},
			{transient, false, holdProbe},
			{throttled, false, holdProbe},
			{errCancelled, false, 0},
			{errInterrupted, false, 0},
			{expired, false, 0},
		},
		fault.Action: {
			{nil, true, 0},
			{refused, true, 0},
			{noLicence, true, 0},
			{badTenant, true, 0},
			{badAction, false, holdProbe},
			{badKey, false, holdProbe},
			{transient, false, holdProbe},
			{throttled, false, holdProbe},
			{expired, false, 0},
		},
		fault.Tenant: {
			{nil, true, 0},
			{refused, true, 0},
			{noLicence, false, holdProbe},
			{badTenant, false, holdProbe},
			{transient, false, holdProbe},
			{throttled, false, holdProbe},
			{errCancelled, false, 0},
			{expired, false, 0},
		},
	} {
		for _, tt := range rows {
			synctest.Test(t, func(t *testing.T) {
				l := newLanes(t)
				l.begin(t, scope)
				time.Sleep(holdProbe)
				c := fleet.Call{Tenant: "t", Key: "probe"}
				if err := l.bind.Check(c); err != nil {
					t.Errorf("scope %s: when a probe is due, Check = %v", scope, err)
				}
				if !do(t, l.bind, c, tt.answer) {
					t.Errorf("scope %s: the probe is not reported as one", scope)
				}
				still := map[fault.Scope]bool{
					fault.Credential: slices.Contains(l.held(), "link"), // which nothing narrower holds
					fault.Action:     slices.Contains(l.held(), "bind"),
					fault.Tenant:     len(l.HeldTenants()) > 0,
				}[scope]
				if still == tt.ends {
					t.Errorf("scope %s, probe ends in %v: held %t, want %t", scope, tt.answer, still, !tt.ends)
				}
				if !still {
					return
				}
				time.Sleep(max(0, tt.again-1))
				if tt.again > 0 {
					closed(t, l.bind, c)
				}
				time.Sleep(time.Nanosecond)
				do(t, l.bind, c, nil)
			})
		}
	}
}

// TestHold_narrower: the fault behind the fault takes the wider hold's place.
func TestHold_narrower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(t)
		do(t, l.bind, fleet.Call{}, badKey)
		time.Sleep(holdProbe)
		do(t, l.bind, fleet.Call{}, badAction)
		if d := cmp.Diff([]string{"bind"}, l.held()); d != "" {
			t.Errorf("held after a fault of the action (-want +got):\n%s", d)
		}
		time.Sleep(holdProbe)
		do(t, l.bind, fleet.Call{}, badKey) // wider again: both are held now
		if d := cmp.Diff([]string{"bind", "link"}, l.held()); d != "" {
			t.Errorf("held after a fault of the credential (-want +got):\n%s", d)
		}
		time.Sleep(holdProbe)
		do(t, l.link, fleet.Call{}, nil)
		if d := cmp.Diff([]string{"bind"}, l.held()); d != "" {
			t.Errorf("held after a success of another action (-want +got):\n%s", d)
		}
		do(t, l.bind, fleet.Call{}, nil)
		if d := cmp.Diff([]string(nil), l.held()); d != "" {
			t.Errorf("held in the end (-want +got):\n%s", d)
		}
	})
}

func TestHold_tenant(t *testing.T) {
	type step struct {
		key    string
		answer error
	}
	for name, tt := range map[string]struct {
		steps []step
		held  bool
	}{
		"two events":               {[]step{{"1", badTenant}, {"2", badTenant}}, false},
		"three":                    {[]step{{"1", badTenant}, {"2", badTenant}, {"3", badTenant}}, true},
		"one event, often":         {[]step{{"1", badTenant}, {"1", badTenant}, {"1", badTenant}, {"1", badTenant}}, false},
		"two, in turn":             {[]step{{"1", badTenant}, {"2", badTenant}, {"1", badTenant}, {"2", badTenant}}, false},
		"refused for its sake":     {[]step{{"1", noLicence}, {"2", noLicence}, {"3", noLicence}}, true},
		"one and the other":        {[]step{{"1", noLicence}, {"2", badTenant}, {"3", noLicence}}, true},
		"a success between":        {[]step{{"1", badTenant}, {"2", badTenant}, {"3", nil}, {"4", badTenant}, {"5", badTenant}}, false},
		"others between":           {[]step{{"1", badTenant}, {"2", transient}, {"3", refused}, {"4", badTenant}, {"5", throttled}, {"6", badTenant}}, true},
		"refused for their own":    {[]step{{"1", refused}, {"2", refused}, {"3", refused}, {"4", refused}}, false},
		"throttled on its account": {[]step{{"1", throttled}, {"2", throttled}, {"3", throttled}}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLanes(t)
			for _, s := range tt.steps {
				do(t, l.bind, fleet.Call{Tenant: "t", Key: s.key}, s.answer)
			}
			if got := len(l.HeldTenants()) > 0; got != tt.held {
				t.Errorf("%s: held %t, want %t", name, got, tt.held)
			}
			if l.held() != nil {
				t.Errorf("%s: a tenant's fault holds the lanes %v", name, l.held())
			}
			do(t, l.bind, fleet.Call{Tenant: "another"}, nil)
			if tt.held {
				closed(t, l.link, fleet.Call{Tenant: "t"}) // for all its events, whatever the lane
			} else {
				do(t, l.link, fleet.Call{Tenant: "t"}, nil)
			}
		})
	}
}

// TestHold_tenantAgain: once a tenant's hold has ended, the next takes three events again.
func TestHold_tenantAgain(t *testing.T) {
	for _, answer := range []error{nil, refused} {
		synctest.Test(t, func(t *testing.T) {
			l := newLanes(t)
			l.begin(t, fault.Tenant)
			time.Sleep(holdProbe)
			do(t, l.bind, fleet.Call{Tenant: "t", Key: "probe"}, answer)
			for i, want := range []int{0, 0, 1} {
				do(t, l.bind, fleet.Call{Tenant: "t", Key: fmt.Sprint("later", i)}, badTenant)
				if got := len(l.HeldTenants()); got != want {
					t.Errorf("after a probe that ended in %v and %d failures, %d tenants are held, want %d", answer, i+1, got, want)
				}
			}
		})
	}
}

// TestHold_lateSuccess: calls that began before the hold end when they end. A
// success ends a tenant's hold; a failure only puts the next probe off.
func TestHold_lateSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(t)
		late := func(d time.Duration, err error) {
			_, probe, _ := l.bind.Do(t.Context(), fleet.Call{Tenant: "t", Key: "late"}, func(context.Context) ([]byte, error) {
				time.Sleep(d)
				return nil, err
			})
			if probe {
				t.Error("a call that began before the hold is a probe")
			}
		}
		go late(10*time.Second, badTenant)
		go late(30*time.Second, nil)
		synctest.Wait()
		l.begin(t, fault.Tenant)
		time.Sleep(20 * time.Second)
		if retry := closed(t, l.bind, fleet.Call{Tenant: "t"}); retry != holdProbe-10*time.Second {
			t.Errorf("RetryIn %v, want a minute from the last failure, in 50s", retry)
		}
		time.Sleep(20 * time.Second)
		if held := l.HeldTenants(); held != nil {
			t.Errorf("after a success %v is held", held)
		}
	})
}
