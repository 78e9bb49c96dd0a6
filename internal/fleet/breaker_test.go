package fleet_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/fleet"
)

func state(f *fleet.Fleet) string { return f.States()[0].Breaker }

// open gives a gate whose breaker has just opened.
func open(t *testing.T) (*fleet.Fleet, *fleet.Gate) {
	t.Helper()
	f := newFleet(t)
	g := gate(f, "a", "Bind", "ess")
	for range config().BreakerFailures {
		do(t, g, fleet.Call{}, transient)
	}
	if got := state(f); got != "open" {
		t.Fatalf("breaker is %s after %d failures, want open", got, config().BreakerFailures)
	}
	return f, g
}

func times(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func TestBreaker_opens(t *testing.T) {
	unclassified := errors.New("who knows")
	for _, tt := range []struct {
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
		{"throttled answers", times(50, throttled), "closed"},
		{"misconfigured tenant", times(2, badTenant), "closed"},
		{"refusals", times(50, refused), "closed"},
		{"shutdown", append(times(50, errCancelled), times(50, errInterrupted)...), "closed"},
		{"too late for the vendor to see", times(50, expired), "closed"},
	} {
		f := newFleet(t)
		g := gate(f, "a", "Bind", "ess")
		for _, err := range tt.ends {
			if do(t, g, fleet.Call{}, err) {
				t.Errorf("%s: a call with the breaker closed is a probe", tt.name)
			}
		}
		if got := state(f); got != tt.want {
			t.Errorf("%s: breaker is %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestBreaker_waits: while it is open nothing is called and the lane waits, for as
// long as the cooldown and not a moment of it busily: in a bubble time would stop.
func TestBreaker_waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, g := open(t)
		if _, shut := g.Closed(); !shut {
			t.Error("Closed() = false, want true")
		}
		closed(t, g, fleet.Call{})
		time.Sleep(cooldown - time.Second)
		closed(t, g, fleet.Call{})
		waited, probe := enter(t, g)
		if waited < time.Second || waited > time.Second+time.Millisecond || !probe {
			t.Errorf("Enter waited %v, probe %t; want the second that was left, and a probe", waited, probe)
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
	for _, tt := range []struct {
		name  string
		ends  error
		state string
		wait  time.Duration // until the lane may go on
		probe bool          // with another probe
	}{
		{"success", nil, "closed", 0, false},
		{"refusal", refused, "closed", 0, false},
		{"failure", transient, "open", cooldown, true},
		{"throttled", throttled, "half-open", 0, true},
		{"tenant", badTenant, "half-open", 0, true},
		{"misconfigured", badAction, "half-open", holdProbe, true},
		{"cancelled", errCancelled, "half-open", 0, true},
		{"interrupted", errInterrupted, "half-open", 0, true},
		{"too late to ask", expired, "half-open", 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, g := open(t)
			enter(t, g)
			if !do(t, g, fleet.Call{}, tt.ends) {
				t.Errorf("%s: the probe is not reported as one", tt.name)
			}
			if got := state(f); got != tt.state {
				t.Errorf("%s: breaker is %s, want %s", tt.name, got, tt.state)
			}
			waited, probe := enter(t, g)
			if waited < tt.wait || waited > tt.wait+time.Millisecond || probe != tt.probe {
				t.Errorf("%s: then Enter waited %v, probe %t; want %v, %t", tt.name, waited, probe, tt.wait, tt.probe)
			}
		})
	}
}

// TestBreaker_oneProbe: of many that ask at once one call is made, and the lane waits
// for its end, also when a call from before the breaker opened ends meanwhile.
func TestBreaker_oneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		g := gate(f, "a", "Bind", "ess")
		slow := func(d time.Duration, made *atomic.Int32, err error) {
			_, _, _ = g.Do(t.Context(), fleet.Call{}, func(context.Context) ([]byte, error) {
				made.Add(1)
				time.Sleep(d)
				return nil, err
			})
		}
		var before, probes atomic.Int32
		for i := range 3 {
			go slow(cooldown+time.Duration(5*(i+1))*time.Second, &before, transient) // end during the probe
		}
		synctest.Wait()
		for range config().BreakerFailures {
			do(t, g, fleet.Call{}, transient)
		}
		enter(t, g)
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { slow(20*time.Second, &probes, nil) })
		}
		synctest.Wait()
		if got := probes.Load(); got != 1 || before.Load() != 3 {
			t.Errorf("%d calls were made at once, want one probe", got)
		}
		if waited, probe := enter(t, g); waited != 20*time.Second || probe {
			t.Errorf("Enter waited %v, probe %t; want the 20 s of the probe and an open gate", waited, probe)
		}
		wg.Wait()
		if got := time.Since(start); got != 20*time.Second || state(f) != "closed" {
			t.Errorf("after %v the breaker is %s, want 20s and closed: late failures of old calls do not count", got, state(f))
		}
	})
}

func TestEnter_ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, g := open(t)
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		start := time.Now()
		if _, err := g.Enter(ctx); !errors.Is(err, why) || time.Since(start) != time.Second {
			t.Errorf("Enter = %v after %v, want %v after 1s", err, time.Since(start), why)
		}
		fresh := gate(newFleet(t), "a", "Bind", "ess")
		if _, err := fresh.Enter(ctx); !errors.Is(err, why) {
			t.Errorf("Enter of an open gate = %v, want %v: the lane is stopping", err, why)
		}
	})
}

// TestClosed: a lane that waits for work learns that its gate closes.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		g, other := gate(f, "a", "Bind", "ess"), gate(f, "b", "Link", "ess")
		changed, shut := g.Closed()
		if shut {
			t.Error("Closed() = true at first, want false")
		}
		do(t, g, fleet.Call{}, nil)
		synctest.Wait()
		select {
		case <-changed:
			t.Error("a success has changed the gate")
		default:
		}
		do(t, other, fleet.Call{}, badKey)
		<-changed
		if _, shut := g.Closed(); !shut {
			t.Error("Closed() = false with the credential held, want true")
		}
	})
}

// TestDo_panic: a call that crashes leaves nothing behind that would hold its lane for ever.
func TestDo_panic(t *testing.T) {
	crash := func(t *testing.T, g *fleet.Gate, c fleet.Call) {
		t.Helper()
		defer func() {
			if p := recover(); p != "a bug" {
				t.Errorf("Do passed on the panic %v, want a bug", p)
			}
		}()
		_, _, _ = g.Do(t.Context(), c, func(context.Context) ([]byte, error) { panic("a bug") })
	}
	c := fleet.Call{Tenant: "t"}
	for name, begin := range map[string]func(t *testing.T, g *fleet.Gate){
		"as the probe of a hold": func(t *testing.T, g *fleet.Gate) {
			do(t, g, c, badAction)
		},
		"as the probe of a tenant": func(t *testing.T, g *fleet.Gate) {
			for _, key := range []string{"1", "2", "3"} {
				do(t, g, fleet.Call{Tenant: "t", Key: key}, badTenant)
			}
			time.Sleep(holdProbe)
		},
		"as the probe of the breaker": func(t *testing.T, g *fleet.Gate) {
			for range config().BreakerFailures {
				do(t, g, c, transient)
			}
		},
		"with nothing shut": func(*testing.T, *fleet.Gate) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				g := gate(f, "a", "Bind", "ess")
				begin(t, g)
				enter(t, g)
				crash(t, g, c)
				if waited, _ := enter(t, g); waited > holdProbe {
					t.Errorf("the lane waits %v, want at most %v", waited, holdProbe)
				}
				do(t, g, c, nil)
				if s := f.States()[0]; s.Breaker != "closed" || s.Held != "" || len(f.HeldTenants()) != 0 {
					t.Errorf("after a success: %+v, tenants %v; want nothing shut", s, f.HeldTenants())
				}
			})
		})
	}
}
