package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/fault"
	"essworker/internal/fleet"
)

// lanes are a member's two lanes of one credential and one of another.
type lanes struct {
	*member

	bind, link, grant *fleet.Gate
	n                 string
}

// lanes are different ones for each n, with credentials and actions of their own.
func (m *member) lanes(n int) lanes {
	s := strconv.Itoa(n)
	return lanes{
		m, gate(m.Fleet, "bind"+s, "Bind"+s, "ess"+s), gate(m.Fleet, "link"+s, "Link"+s, "ess"+s),
		gate(m.Fleet, "grant"+s, "Grant"+s, "essbasic"+s), s,
	}
}

func (l lanes) tenant() string { return "t" + l.n }

// held lists the lanes that are held.
func (l lanes) held() (held []string) {
	for _, s := range l.States() {
		if name, ours := strings.CutSuffix(s.Lane, l.n); ours && s.Held != "" {
			held = append(held, name)
		}
	}
	return held
}

func (l lanes) tenantHeld() bool {
	return slices.ContainsFunc(l.HeldTenants(), func(h fleet.HeldTenant) bool { return h.Tenant == l.tenant() })
}

// begin has a hold of the scope on lane bind and the lanes' tenant.
func (l lanes) begin(scope fault.Scope) {
	l.camp.t.Helper()
	for i := range 3 { // of a tenant it takes three
		if scope == fault.Tenant || i == 0 {
			do(l.camp.t, l.bind, fleet.Call{Tenant: l.tenant(), Key: strconv.Itoa(i)}, misconfigured(scope))
		}
	}
}

// TestHold_scope: a hold keeps back what it is about, at every member.
func TestHold_scope(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(2)
		for n, tt := range []struct {
			scope fault.Scope
			want  []string
		}{
			{fault.Credential, []string{"bind", "link"}}, {fault.Action, []string{"bind"}}, {fault.Tenant, nil},
		} {
			crew[1].lanes(n)
			crew[0].lanes(n).begin(tt.scope)
			time.Sleep(100 * time.Millisecond)
			for _, m := range crew {
				l := m.lanes(n)
				if d := cmp.Diff(tt.want, l.held()); d != "" {
					t.Errorf("held by scope %s (-want +got):\n%s", tt.scope, d)
				}
				if got, want := l.tenantHeld(), tt.scope == fault.Tenant; got != want {
					t.Errorf("scope %s: tenant held %t, want %t", tt.scope, got, want)
				}
				for _, g := range []*fleet.Gate{l.bind, l.link, l.grant} {
					_, shut := g.Closed()
					call := fleet.Call{Tenant: "another"}
					if err := g.Check(call); (err != nil) != shut {
						t.Errorf("scope %s: Check = %v, but Closed = %t", tt.scope, err, shut)
					}
					if shut {
						if retry := closed(t, g, call); retry != holdProbe-100*time.Millisecond {
							t.Errorf("scope %s: RetryIn is %v, want what is left of %v", tt.scope, retry, holdProbe)
						}
					} else {
						do(t, g, call, nil)
					}
				}
				if err := l.grant.Check(fleet.Call{Tenant: l.tenant()}); (err != nil) != (tt.scope == fault.Tenant) {
					t.Errorf("scope %s: Check of the tenant's own event = %v", tt.scope, err)
				}
			}
		}
	})
}

// TestHold_probe: one probe each HoldProbe, for all lanes of all members together, until
// one tells that the cause is mended.
func TestHold_probe(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew := []lanes{c.join().lanes(0), c.join().lanes(0), c.join().lanes(0)}
		do(t, crew[0].bind, fleet.Call{}, badKey)
		for i := range 6 {
			l := crew[i%3]
			time.Sleep(100 * time.Millisecond)
			waited, probe := enter(t, l.link)
			if least := holdProbe - 100*time.Millisecond; waited < least || waited > least+enterSpread || !probe {
				t.Errorf("Enter waited %v, probe %t; want %v and a probe", waited, probe, least)
			}
			if !do(t, l.link, fleet.Call{}, badKey) {
				t.Error("the probe is not reported as one")
			}
			closed(t, l.bind, fleet.Call{})
		}
		time.Sleep(holdProbe)
		var made atomic.Int32
		over := make(chan struct{}, 30)
		for i := range 5 {
			for j, l := range crew {
				for k, g := range []*fleet.Gate{l.bind, l.link} {
					go func() {
						defer func() { over <- struct{}{} }()
						_, _, _ = g.Do(t.Context(), fleet.Call{Key: fmt.Sprint(i, j, k)}, func(context.Context) ([]byte, error) {
							made.Add(1)
							time.Sleep(10 * time.Second)
							return nil, nil
						})
					}()
				}
			}
		}
		time.Sleep(time.Second)
		if got := made.Load(); got != 1 {
			t.Errorf("%d probes at once, want 1", got)
		}
		for _, l := range crew {
			if err := l.bind.Check(fleet.Call{}); err == nil {
				t.Error("Check during the probe = nil, want an error")
			}
			if retry := closed(t, l.link, fleet.Call{}); retry < time.Second || retry > holdProbe {
				t.Errorf("during the probe RetryIn is %v, want some of %v: what is refused is not to come back at once", retry, holdProbe)
			}
		}
		if waited, probe := enter(t, crew[1].bind); waited < 9*time.Second || waited > 9*time.Second+100*time.Millisecond || probe {
			t.Errorf("Enter waited %v, probe %t; want until the probe succeeded, 9s, and an open gate", waited, probe)
		}
		time.Sleep(100 * time.Millisecond)
		for _, l := range crew {
			if held := l.held(); held != nil {
				t.Errorf("still held: %v", held)
			}
		}
		for range 30 {
			<-over
		}
		for text, n := range map[string]int{"hold began": 1, "hold ended": 1} {
			if got := strings.Count(c.log.String(), text); got != n {
				t.Errorf("%q is logged %d times, want %d:\n%s", text, got, n, c.log)
			}
		}
	})
}

// TestHold_mended: which answers to a probe prove that what was held is in order.
func TestHold_mended(t *testing.T) {
	t.Parallel()
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
		t.Run(string(scope), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, c *camp) {
				m := c.join()
				for n, tt := range rows {
					l := m.lanes(n)
					l.begin(scope)
					time.Sleep(holdProbe)
					call := fleet.Call{Tenant: l.tenant(), Key: "probe"}
					if err := l.bind.Check(call); err != nil {
						t.Errorf("when a probe is due, Check = %v", err)
					}
					if !do(t, l.bind, call, tt.answer) {
						t.Error("the probe is not reported as one")
					}
					still := map[fault.Scope]bool{
						fault.Credential: slices.Contains(l.held(), "link"), // which nothing narrower holds
						fault.Action:     slices.Contains(l.held(), "bind"),
						fault.Tenant:     l.tenantHeld(),
					}[scope]
					if still == tt.ends {
						t.Errorf("probe ends in %v: held %t, want %t", tt.answer, still, !tt.ends)
					}
					if !still {
						continue
					}
					time.Sleep(max(0, tt.again-1))
					if tt.again > 0 {
						closed(t, l.bind, call)
					}
					time.Sleep(time.Nanosecond)
					do(t, l.bind, call, nil)
				}
			})
		})
	}
}

// TestHold_narrower: the fault behind the fault takes the wider hold's place.
func TestHold_narrower(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		l := c.join().lanes(0)
		want := func(when string, want ...string) {
			t.Helper()
			if d := cmp.Diff(want, l.held()); d != "" {
				t.Errorf("held after %s (-want +got):\n%s", when, d)
			}
		}
		do(t, l.bind, fleet.Call{}, badKey)
		time.Sleep(holdProbe)
		do(t, l.bind, fleet.Call{}, badAction)
		want("a fault of the action", "bind")
		time.Sleep(holdProbe)
		do(t, l.bind, fleet.Call{}, badKey) // wider again: both are held now
		want("a fault of the credential", "bind", "link")
		time.Sleep(holdProbe)
		do(t, l.link, fleet.Call{}, nil)
		want("a success of another action", "bind")
		do(t, l.bind, fleet.Call{}, nil)
		want("the end")
	})
}

// TestHold_refuted: a worker whose hold others have ended is itself at fault: from then
// on it holds itself only, and probes alone.
func TestHold_refuted(t *testing.T) {
	t.Parallel()
	for scope, flt := range map[fault.Scope]*fault.Error{fault.Credential: badKey, fault.Action: badAction} {
		t.Run(string(scope), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, c *camp) {
				bad, good := c.join().lanes(0), c.join().lanes(0)
				want := func(when string, bads, goods bool) {
					t.Helper()
					time.Sleep(100 * time.Millisecond)
					if b, g := len(bad.held()) > 0, len(good.held()) > 0; b != bads || g != goods {
						t.Errorf("%s the bad worker is held %t and the good one %t, want %t and %t", when, b, g, bads, goods)
					}
				}
				do(t, bad.bind, fleet.Call{}, flt)
				want("at first", true, true)
				time.Sleep(holdProbe)
				do(t, good.bind, fleet.Call{}, nil)
				want("after the other's probe", false, false)
				do(t, bad.bind, fleet.Call{}, flt)
				want("at the second fault", true, false)
				closed(t, bad.bind, fleet.Call{})
				for _, ends := range []error{flt, nil} {
					if waited, probe := enter(t, bad.bind); waited < holdProbe-time.Second || !probe {
						t.Errorf("Enter waited %v, probe %t; want its own hold's time, and a probe", waited, probe)
					}
					if !do(t, bad.bind, fleet.Call{}, ends) {
						t.Error("the probe is not reported as one")
					}
					want("after its own probe", ends != nil, false)
				}
				// What the good one finds out holds everybody all the same.
				do(t, good.bind, fleet.Call{}, flt)
				want("after a fault at the good one", true, true)
				time.Sleep(holdProbe)
				do(t, good.bind, fleet.Call{}, nil)
				want("after that was mended", false, false)
				time.Sleep(11 * holdProbe)
				do(t, bad.bind, fleet.Call{}, flt)
				want("much later", true, true)
				if n := strings.Count(c.log.String(), "this_worker_only=true"); n != 1 {
					t.Errorf("%d holds of one worker only are logged, want 1:\n%s", n, c.log)
				}
			})
		})
	}
}

// TestHold_endedTogether: a worker that ends two holds of its own at the same moment is
// not at fault for that.
func TestHold_endedTogether(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		lanes := []string{"a", "b"}
		for _, lane := range lanes {
			do(t, m.gate(lane), fleet.Call{}, badAction)
		}
		time.Sleep(holdProbe)
		var both, over sync.WaitGroup
		both.Add(len(lanes))
		for _, lane := range lanes {
			over.Go(func() {
				_, probe, err := m.gate(lane).Do(t.Context(), fleet.Call{}, func(context.Context) ([]byte, error) {
					both.Done()
					both.Wait()
					return nil, nil
				})
				if !probe || err != nil {
					t.Errorf("the probe of lane %s: %t, %v", lane, probe, err)
				}
			})
		}
		over.Wait()
		for _, lane := range lanes {
			do(t, m.gate(lane), fleet.Call{}, badAction)
		}
		if log := c.log.String(); strings.Contains(log, "this_worker_only=true") {
			t.Errorf("a hold that nobody else has ended is the worker's own:\n%s", log)
		}
	})
}

// TestHold_lateSuccess: calls that began before the hold end when they end. A success
// ends a tenant's hold; a failure changes nothing.
func TestHold_lateSuccess(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		l, other := c.join().lanes(0), c.join().lanes(0)
		over := make(chan struct{}, 2)
		late := func(d time.Duration, err error) {
			defer func() { over <- struct{}{} }()
			_, probe, _ := other.bind.Do(t.Context(), fleet.Call{Tenant: l.tenant(), Key: "late"}, func(context.Context) ([]byte, error) {
				time.Sleep(d)
				return nil, err
			})
			if probe {
				t.Error("a call that began before the hold is a probe")
			}
		}
		go late(10*time.Second, badTenant)
		go late(30*time.Second, nil)
		time.Sleep(time.Millisecond)
		l.begin(fault.Tenant)
		time.Sleep(20 * time.Second)
		if retry := closed(t, l.bind, fleet.Call{Tenant: l.tenant()}); retry != holdProbe-20*time.Second {
			t.Errorf("RetryIn %v, want a minute from the beginning, in 40s", retry)
		}
		<-over
		<-over
		time.Sleep(100 * time.Millisecond)
		if l.tenantHeld() || other.tenantHeld() {
			t.Errorf("after a success %v is held", l.HeldTenants())
		}
	})
}

// TestHold_survives: a hold outlives every worker.
func TestHold_survives(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		began := time.Now()
		m := c.join()
		m.lanes(0).begin(fault.Credential)
		m.lanes(1).begin(fault.Tenant)
		m.kill()
		time.Sleep(time.Hour)
		next := c.join()
		l := next.lanes(0)
		if d := cmp.Diff([]string{"bind", "link"}, l.held()); d != "" {
			t.Errorf("held at the next worker (-want +got):\n%s", d)
		}
		if held := next.HeldTenants(); len(held) != 1 || held[0].Tenant != "t1" || !held[0].Since.Equal(began) {
			t.Errorf("HeldTenants = %+v, want t1 since %v", held, began)
		}
		if waited, probe := enter(t, l.link); waited > enterSpread || !probe {
			t.Errorf("Enter waited %v, probe %t; want a probe", waited, probe)
		}
		do(t, l.link, fleet.Call{}, nil)
		if held := l.held(); held != nil {
			t.Errorf("still held: %v", held)
		}
	})
}
