package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"essworker/internal/fault"
	"essworker/internal/fleet"
)

// TestHold_tenant: three different events in a row, at whatever members.
func TestHold_tenant(t *testing.T) {
	t.Parallel()
	type step struct {
		key    string
		answer error
	}
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(3)
		for n, tt := range []struct {
			name  string
			steps []step
			held  bool
		}{
			{"two events", []step{{"1", badTenant}, {"2", badTenant}}, false},
			{"three", []step{{"1", badTenant}, {"2", badTenant}, {"3", badTenant}}, true},
			{"one event, often", []step{{"1", badTenant}, {"1", badTenant}, {"1", badTenant}, {"1", badTenant}}, false},
			{"two, in turn", []step{{"1", badTenant}, {"2", badTenant}, {"1", badTenant}, {"2", badTenant}}, false},
			{"refused for its sake", []step{{"1", noLicence}, {"2", noLicence}, {"3", noLicence}}, true},
			{"one and the other", []step{{"1", noLicence}, {"2", badTenant}, {"3", noLicence}}, true},
			{"a success between", []step{{"1", badTenant}, {"2", badTenant}, {"3", nil}, {"4", badTenant}, {"5", badTenant}}, false},
			{"others between", []step{{"1", badTenant}, {"2", transient}, {"3", refused}, {"4", badTenant}, {"5", throttled}, {"6", badTenant}}, true},
			{"refused for their own", []step{{"1", refused}, {"2", refused}, {"3", refused}, {"4", refused}}, false},
			{"throttled on its account", []step{{"1", throttled}, {"2", throttled}, {"3", throttled}}, false},
		} {
			for i, s := range tt.steps {
				l := crew[i%len(crew)].lanes(n)
				do(t, l.bind, fleet.Call{Tenant: l.tenant(), Key: s.key}, s.answer)
				time.Sleep(100 * time.Millisecond)
			}
			for _, m := range crew {
				l := m.lanes(n)
				if l.tenantHeld() != tt.held {
					t.Errorf("%s: held %t, want %t", tt.name, l.tenantHeld(), tt.held)
				}
				if l.held() != nil {
					t.Errorf("%s: a tenant's fault holds the lanes %v", tt.name, l.held())
				}
				do(t, l.bind, fleet.Call{Tenant: "another"}, nil)
			}
			l := crew[0].lanes(n)
			if tt.held {
				closed(t, l.link, fleet.Call{Tenant: l.tenant()}) // for all its events, whatever the lane
			} else {
				do(t, l.link, fleet.Call{Tenant: l.tenant()}, nil)
			}
		}
	})
}

// TestHold_tenantAgain: once a tenant's hold has ended, the next takes three events
// again; while it lasts, one of its events at a time asks.
func TestHold_tenantAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		a, b := c.join(), c.join()
		for n, ends := range []error{nil, refused} {
			l, other := a.lanes(n), b.lanes(n)
			l.begin(fault.Tenant)
			time.Sleep(holdProbe)
			_, probe, err := other.bind.Do(t.Context(), fleet.Call{Tenant: l.tenant(), Key: "probe"}, func(context.Context) ([]byte, error) {
				time.Sleep(time.Second)
				for i, m := range []lanes{l, other} {
					retry := closed(t, m.link, fleet.Call{Tenant: l.tenant(), Key: fmt.Sprint("meanwhile", i)})
					if retry < time.Second {
						t.Errorf("during the probe RetryIn is %v, want more", retry)
					}
				}
				return nil, ends
			})
			if !probe || !errors.Is(err, ends) {
				t.Errorf("the probe of a tenant: %t, %v", probe, err)
			}
			time.Sleep(100 * time.Millisecond)
			for i, want := range []bool{false, false, true} {
				do(t, l.bind, fleet.Call{Tenant: l.tenant(), Key: fmt.Sprint("later", i)}, badTenant)
				if got := l.tenantHeld(); got != want {
					t.Errorf("after a probe that ended in %v and %d failures the tenant is held %t, want %t", ends, i+1, got, want)
				}
			}
		}
	})
}
