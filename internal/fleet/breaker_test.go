package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/fleet"
)

// state is how a lane of a member stands; a breaker of the member's own is "own open".
func (m *member) state(lane string) string {
	for _, s := range m.States() {
		if s.Lane == lane {
			return map[bool]string{true: "own "}[s.Alone] + s.Breaker
		}
	}
	return "unknown"
}

// fail makes calls of a lane that fail, far enough apart for the others to hear of each.
func (m *member) fail(lane string, n int) {
	m.camp.t.Helper()
	for range n {
		do(m.camp.t, m.gate(lane), fleet.Call{}, transient)
		time.Sleep(100 * time.Millisecond)
	}
}

// open has the breaker of a lane open for the fleet, by failures at one member that is alone.
func (m *member) open(lane string) *fleet.Gate {
	m.camp.t.Helper()
	for range config().BreakerFailures {
		do(m.camp.t, m.gate(lane), fleet.Call{}, transient)
	}
	spread()
	if got := m.state(lane); got != "open" {
		m.camp.t.Fatalf("breaker is %s after %d failures at the only member, want open", got, config().BreakerFailures)
	}
	return m.gate(lane)
}

// enterSpread is how much longer than it has to a lane waits to probe at most, also one
// whose worker shut the hold, lest
// those of all members come at once.
const enterSpread = 1500 * time.Millisecond

func times(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func TestBreaker_opens(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		unclassified := errors.New("who knows")
		for i, tt := range []struct {
			name string
			ends []error
			want string
		}{
			{"four failures", times(4, transient), "closed"},
			{"five", times(5, transient), "open"},
			{"five that nobody classified", times(5, unclassified), "open"},
			{"five that ran out of time", times(5, context.DeadlineExceeded), "open"},
			{"a success between", append(append(times(4, transient), nil), times(4, transient)...), "closed"},
			{"a refusal between", append(append(times(4, transient), refused), times(4, transient)...), "closed"},
			{"what says nothing between", append(append(times(4, transient), throttled, badTenant, errCancelled, errInterrupted, expired), transient), "open"},
			{"throttled answers", times(20, throttled), "closed"},
			{"misconfigured tenant", times(2, badTenant), "closed"},
			{"refusals", times(50, refused), "closed"},
			{"shutdown", append(times(50, errCancelled), times(50, errInterrupted)...), "closed"},
			{"too late for the vendor to see", times(50, expired), "closed"},
		} {
			lane := "l" + strconv.Itoa(i)
			for _, err := range tt.ends {
				if do(t, m.gate(lane), fleet.Call{Tenant: lane}, err) {
					t.Errorf("%s: a call with the breaker closed is a probe", tt.name)
				}
			}
			spread()
			if got := m.state(lane); got != tt.want {
				t.Errorf("%s: breaker is %s, want %s", tt.name, got, tt.want)
			}
		}
	})
}

// TestBreaker_waits: while it is open nothing is called and the lane waits, for as
// long as the cooldown and not a moment of it busily: in a bubble time would stop.
func TestBreaker_waits(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		opened := time.Now()
		g := m.open("a")
		if _, shut := g.Closed(); !shut {
			t.Error("Closed() = false, want true")
		}
		if probe, open := g.Open(); probe != true || open {
			t.Errorf("Open() = %t, %t, want a probe, and not yet", probe, open)
		}
		if retry, want := closed(t, g, fleet.Call{}), cooldown-time.Since(opened); retry != want {
			t.Errorf("RetryIn is %v, want what is left of the cooldown, %v", retry, want)
		}
		waited, probe := enter(t, g)
		if least := cooldown - time.Second; waited < least || waited > least+enterSpread || !probe {
			t.Errorf("Enter waited %v, probe %t; want the rest of the cooldown, %v, and a probe", waited, probe, least)
		}
		if !do(t, g, fleet.Call{}, nil) {
			t.Error("the call that closed the breaker is no probe")
		}
		if waited, probe := enter(t, g); waited != 0 || probe {
			t.Errorf("then Enter waited %v, probe %t; want an open gate", waited, probe)
		}
	})
}

// TestBreaker_probe: what follows from each way a probe can end.
func TestBreaker_probe(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		for i, tt := range []struct {
			name  string
			ends  error
			state string
			wait  time.Duration // until the lane may go on
			probe bool          // with another probe
		}{
			{"success", nil, "closed", 0, false},
			{"refusal", refused, "closed", 0, false},
			{"failure", transient, "open", cooldown, true},
			{"throttled", throttled, "open", cooldown, true},
			{"tenant", badTenant, "open", cooldown, true},
			{"misconfigured", badAction, "open", holdProbe, true},
			{"cancelled", errCancelled, "half-open", 0, true},
			{"interrupted", errInterrupted, "half-open", 0, true},
			{"too late to ask", expired, "half-open", 0, true},
		} {
			lane := "l" + strconv.Itoa(i)
			g := m.open(lane)
			enter(t, g)
			if !do(t, g, fleet.Call{}, tt.ends) {
				t.Errorf("%s: the probe is not reported as one", tt.name)
			}
			if got := m.state(lane); got != tt.state {
				t.Errorf("%s: breaker is %s, want %s", tt.name, got, tt.state)
			}
			waited, probe := enter(t, g)
			if waited < tt.wait || waited > tt.wait+enterSpread || probe != tt.probe {
				t.Errorf("%s: then Enter waited %v, probe %t; want %v, %t", tt.name, waited, probe, tt.wait, tt.probe)
			}
		}
	})
}

// TestBreaker_slow: an answer that takes too long is a failure of the vendor's, and the
// event has what it wanted.
func TestBreaker_slow(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(2)
		for d, want := range map[time.Duration]string{timeout/2 + 1: "open", timeout / 2: "closed"} {
			lane := fmt.Sprint("l", int64(d))
			for i := range 7 { // five open the first member's own, two more the fleet's
				out, probe, err := crew[i/5].gate(lane).Do(t.Context(), fleet.Call{}, func(context.Context) ([]byte, error) {
					time.Sleep(d)
					return []byte("done"), nil
				})
				if string(out) != "done" || probe || err != nil {
					t.Errorf("Do of a call that takes %v = %q, %t, %v, want its answer", d, out, probe, err)
				}
			}
			spread()
			if got := crew[0].state(lane); got != want {
				t.Errorf("after seven answers that took %v the breaker is %s, want %s", d, got, want)
			}
		}
		if log := c.log.String(); strings.Count(log, "breaker opened") != 2 || !strings.Contains(log, `code=Slow why="an answer took longer than 17.5s"`) {
			t.Errorf("the log does not say why:\n%s", log)
		}
	})
}

// TestBreaker_late: calls that began before the breaker opened and fail after it has
// count for nothing, neither then nor once it has closed.
func TestBreaker_late(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		g := m.gate("a")
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, _, _ = g.Do(t.Context(), fleet.Call{}, func(context.Context) ([]byte, error) {
					time.Sleep(cooldown + time.Duration(i-10)*time.Second)
					return nil, transient
				})
			})
		}
		synctest.Wait()
		m.open("a")
		enter(t, g)
		start := time.Now()
		out, probe, err := g.Do(t.Context(), fleet.Call{}, func(context.Context) ([]byte, error) {
			time.Sleep(17 * time.Second)
			return []byte("done"), nil
		})
		wg.Wait()
		if string(out) != "done" || !probe || err != nil || time.Since(start) != 17*time.Second || m.state("a") != "closed" {
			t.Errorf("the probe: %q, %t, %v; the breaker is %s, want it closed", out, probe, err, m.state("a"))
		}
		m.fail("a", 4)
		spread()
		if got := m.state("a"); got != "closed" {
			t.Errorf("the breaker is %s after four failures, want closed: those of before do not count", got)
		}
		if n := strings.Count(c.log.String(), "msg=\"breaker opened\" lane=a of=worker"); n > 1 {
			t.Errorf("the member's own breaker opened %d times, want once: then the fleet's took its place:\n%s", n, c.log)
		}
	})
}

// TestBreaker_oneProbe: of all members that ask at once one makes a call, the others
// wait for its end, and each cooldown sees one.
func TestBreaker_oneProbe(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(4)
		for i := range 5 {
			crew[i%4].fail("a", 1)
		}
		spread()
		var made, now, most atomic.Int32
		var sick atomic.Bool
		sick.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i, m := range crew {
			for j := range 2 { // two calls of each, which a lane would not make
				wg.Go(func() {
					g, key := m.gate("a"), fmt.Sprint(i, j)
					for {
						if _, err := g.Enter(ctx); err != nil {
							return
						}
						_, _, err := g.Do(ctx, fleet.Call{Key: key}, func(context.Context) ([]byte, error) {
							made.Add(1)
							most.Store(max(most.Load(), now.Add(1)))
							defer now.Add(-1)
							time.Sleep(10 * time.Second)
							if sick.Load() {
								return nil, transient
							}
							return nil, nil
						})
						if _, ok := errors.AsType[*fleet.ClosedError](err); !ok && err == nil {
							return
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
		}
		time.Sleep(5 * time.Minute)
		// A cooldown, a little until somebody enters, the call itself.
		if got := made.Load(); got != 7 || most.Load() != 1 {
			t.Errorf("%d probes in 5 minutes, %d of them at once, want 7, one at a time", got, most.Load())
		}
		sick.Store(false)
		wg.Wait()
		cancel()
		for _, m := range crew {
			if got := m.state("a"); got != "closed" {
				t.Errorf("in the end a member's breaker is %s, want closed", got)
			}
		}
	})
}

func TestEnter_ends(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		g := m.open("a")
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		start := time.Now()
		if _, err := g.Enter(ctx); !errors.Is(err, why) || time.Since(start) != time.Second {
			t.Errorf("Enter = %v after %v, want %v after 1s", err, time.Since(start), why)
		}
		if _, err := m.gate("b").Enter(ctx); !errors.Is(err, why) {
			t.Errorf("Enter of an open gate = %v, want %v: the lane is stopping", err, why)
		}
	})
}

// TestClosed: a lane that waits for work learns that its gate closes, at another member too.
func TestClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(2)
		g, other := crew[0].gate("a"), crew[1].gate("b")
		changed, shut := g.Closed()
		if shut {
			t.Error("Closed() = true at first, want false")
		}
		do(t, g, fleet.Call{}, nil)
		spread()
		select {
		case <-changed:
			t.Error("a success has changed the gate")
		default:
		}
		start := time.Now()
		do(t, other, fleet.Call{}, badKey)
		<-changed
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("the other member learnt of the hold after %v, want a few hundredths of a second", took)
		}
		if _, shut := g.Closed(); !shut {
			t.Error("Closed() = false with the credential held, want true")
		}
	})
}

// TestDo_panic: a call that crashes leaves nothing behind that would hold its lane for ever.
func TestDo_panic(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		for name, begin := range map[string]func(lane string, c fleet.Call){
			"as-the-probe-of-a-hold": func(lane string, c fleet.Call) { do(t, m.gate(lane), c, badAction) },
			"as-the-probe-of-a-tenant": func(lane string, c fleet.Call) {
				for i := range 3 {
					do(t, m.gate(lane), fleet.Call{Tenant: c.Tenant, Key: strconv.Itoa(i)}, badTenant)
				}
				time.Sleep(holdProbe)
			},
			"as-the-probe-of-the-breaker": func(lane string, _ fleet.Call) { m.open(lane) },
			"with-nothing-shut":           func(string, fleet.Call) {},
		} {
			g, call := m.gate(name), fleet.Call{Tenant: name}
			begin(name, call)
			enter(t, g)
			func() {
				defer func() {
					if p := recover(); p != "a bug" {
						t.Errorf("%s: Do passed on the panic %v, want a bug", name, p)
					}
				}()
				_, _, _ = g.Do(t.Context(), call, func(context.Context) ([]byte, error) { panic("a bug") })
			}()
			if waited, _ := enter(t, g); waited > holdProbe {
				t.Errorf("%s: the lane waits %v, want at most %v", name, waited, holdProbe)
			}
			do(t, g, call, nil)
			if got := m.state(name); got != "closed" || len(m.HeldTenants()) != 0 {
				t.Errorf("%s: after a success the breaker is %s, tenants %v; want nothing shut", name, got, m.HeldTenants())
			}
			if _, shut := g.Closed(); shut {
				t.Errorf("%s: after a success the gate is closed", name)
			}
		}
	})
}
