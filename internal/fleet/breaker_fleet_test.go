package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/metric"

	"essworker/internal/fleet"
)

// states are those of one lane at all members.
func states(crew []*member, lane string) (all []string) {
	for _, m := range crew {
		all = append(all, m.state(lane))
	}
	return all
}

func repeat(s string, n int) []string {
	return strings.Split(strings.Repeat(s+",", n)[:n*(len(s)+1)-1], ",")
}

// TestFleetBreaker_opens: it takes as many failures as BreakerFailures in all, and more
// than one worker to see them.
func TestFleetBreaker_opens(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(4)
		a, b, d, e := crew[0], crew[1], crew[2], crew[3]
		type failures struct {
			m *member
			n int // 0 is a success
		}
		for i, tt := range []struct {
			name  string
			steps []failures
			want  []string // one for each member; the same for all if there is one only
		}{
			{"four", []failures{{a, 1}, {b, 1}, {d, 1}, {e, 1}}, []string{"closed"}},
			{"five, of all", []failures{{a, 1}, {b, 1}, {d, 1}, {e, 1}, {a, 1}}, []string{"open"}},
			{"five, of two", []failures{{a, 3}, {b, 2}}, []string{"open"}},
			{"five, of one", []failures{{a, 5}}, []string{"own open", "closed", "closed", "closed"}},
			{"of one, and one of another", []failures{{a, 5}, {b, 1}}, []string{"own open", "closed", "closed", "closed"}},
			{"of one, and two of others", []failures{{a, 5}, {b, 1}, {d, 1}}, []string{"open"}},
			{"a success somewhere between", []failures{{a, 2}, {b, 2}, {d, 0}, {a, 2}, {b, 2}}, []string{"closed"}},
			{"a success at one that has failed", []failures{{a, 2}, {b, 2}, {a, 0}, {a, 2}, {b, 2}}, []string{"closed"}},
			{"successes before", []failures{{a, 0}, {b, 0}, {a, 3}, {b, 2}}, []string{"open"}},
		} {
			lane := fmt.Sprint("l", i)
			for _, m := range crew {
				m.gate(lane)
			}
			for _, s := range tt.steps {
				if s.m.fail(lane, s.n); s.n == 0 {
					do(t, s.m.gate(lane), fleet.Call{}, nil)
					time.Sleep(100 * time.Millisecond)
				}
			}
			spread()
			want := tt.want
			if len(want) == 1 {
				want = repeat(want[0], len(crew))
			}
			if d := cmp.Diff(want, states(crew, lane)); d != "" {
				t.Errorf("%s: breakers (-want +got):\n%s", tt.name, d)
			}
		}
	})
}

// TestFleetBreaker_atOnce: however many calls are in flight when the vendor fails, the
// breaker opens once, and all that is said about it is said once.
func TestFleetBreaker_atOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		reader := metric.NewManualReader()
		c.meter = metric.NewMeterProvider(metric.WithReader(reader)).Meter("test")
		crew := c.crew(4)
		var calls []chan struct{} // in the order they end
		for i := range 80 {
			call := make(chan struct{})
			calls = append(calls, call)
			go func() {
				_, _, _ = crew[i%4].gate("a").Do(t.Context(), fleet.Call{}, func(context.Context) ([]byte, error) {
					<-call
					return nil, transient
				})
			}()
		}
		synctest.Wait()
		start := time.Now()
		for crew[3].state("a") != "open" && len(calls) > 0 {
			close(calls[0])
			calls = calls[1:]
			time.Sleep(50 * time.Millisecond)
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("the breaker is open after %v of failures every 50 ms, want five of them", took)
		}
		for _, call := range calls {
			close(call)
		}
		spread()
		if d := cmp.Diff(repeat("open", 4), states(crew, "a")); d != "" {
			t.Errorf("breakers (-want +got):\n%s", d)
		}
		enter(t, crew[1].gate("a"))
		do(t, crew[1].gate("a"), fleet.Call{}, transient)
		spread()
		enter(t, crew[2].gate("a"))
		do(t, crew[2].gate("a"), fleet.Call{}, nil)
		spread()
		if d := cmp.Diff(repeat("closed", 4), states(crew, "a")); d != "" {
			t.Errorf("breakers (-want +got):\n%s", d)
		}
		for text, n := range map[string]int{
			`msg="breaker opened" lane=a of=fleet from=closed to=open code=InternalError`:    1,
			`msg="breaker opened" lane=a of=fleet from=half-open to=open code=InternalError`: 1,
			`msg="breaker moved" lane=a of=fleet from=half-open to=closed`:                   1,
			"of=fleet":  3,
			"of=worker": 0,
		} {
			if got := strings.Count(c.log.String(), text); got != n {
				t.Errorf("%q is logged %d times, want %d:\n%s", text, got, n, c.log)
			}
		}
		got := map[string]float64{}
		for name, n := range collect(t, reader) {
			if strings.HasPrefix(name, "essworker.breaker.transitions") {
				got[name] = n
			}
		}
		want := map[string]float64{
			"essworker.breaker.transitions InternalError a fleet open": 2,
			"essworker.breaker.transitions  a fleet closed":            1,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("transitions (-want +got):\n%s", d)
		}
	})
}

// TestFleetBreaker_own: a worker that cannot reach the vendor keeps to itself, asks
// again when its own breaker lets it, and is itself again when that works.
func TestFleetBreaker_own(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(3)
		g := crew[0].gate("a")
		for range 3 {
			crew[0].fail("a", 1)
			do(t, crew[1].gate("a"), fleet.Call{}, nil) // the others go on meanwhile
			spread()
		}
		for range 2 {
			crew[0].fail("a", 1)
		}
		if d := cmp.Diff([]string{"own open", "unknown", "closed"}[:1], states(crew[:1], "a")); d != "" {
			t.Errorf("breakers (-want +got):\n%s", d)
		}
		closed(t, g, fleet.Call{})
		for _, ends := range []error{transient, nil} {
			waited, probe := enter(t, g)
			if waited < cooldown-time.Second || waited > cooldown+time.Second || !probe {
				t.Errorf("Enter waited %v, probe %t; want the cooldown of its own breaker, and a probe", waited, probe)
			}
			if !do(t, g, fleet.Call{}, ends) {
				t.Error("the probe is not reported as one")
			}
		}
		spread()
		if got := crew[0].state("a"); got != "closed" {
			t.Errorf("its breaker is %s after a success, want closed", got)
		}
		if n := strings.Count(c.log.String(), "of=fleet"); n != 0 {
			t.Errorf("the fleet's breaker has moved:\n%s", c.log)
		}
	})
}

// TestFleetBreaker_resets: when the fleet's breaker closes, that of each worker does,
// whatever it has seen.
func TestFleetBreaker_resets(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(2)
		crew[0].fail("a", 5) // its own is open
		crew[1].fail("a", 2)
		spread()
		if d := cmp.Diff(repeat("open", 2), states(crew, "a")); d != "" {
			t.Fatalf("breakers (-want +got):\n%s", d)
		}
		enter(t, crew[1].gate("a"))
		do(t, crew[1].gate("a"), fleet.Call{}, nil)
		time.Sleep(100 * time.Millisecond)
		if d := cmp.Diff(repeat("closed", 2), states(crew, "a")); d != "" {
			t.Errorf("breakers (-want +got):\n%s", d)
		}
		if waited, probe := enter(t, crew[0].gate("a")); waited != 0 || probe {
			t.Errorf("Enter waited %v, probe %t; want an open gate at once", waited, probe)
		}
	})
}

// TestFleetBreaker_alone: a worker that is left alone has nobody to bear it out, and
// opens the breaker for the fleet: at once if the others have left, and when their last
// words have run out if they died. Where the server does not say that, the clock is the
// worker's own last word, which is ten seconds old at most.
func TestFleetBreaker_alone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(*member)
		rest time.Duration
		want string
	}{
		{"left", func(m *member) { m.Leave() }, 0, "open"},
		{"died just now", (*member).kill, 0, "own open"},
		{"died a while ago", (*member).kill, 40 * time.Second, "open"},
		{"died, and the server has forgotten when its word runs out", func(m *member) { m.kill(); m.camp.linger(m) }, 50 * time.Second, "open"},
	} {
		inBubble(t, func(t *testing.T, c *camp) {
			m, other := c.join(), c.join()
			tt.end(other)
			time.Sleep(tt.rest)
			m.fail("a", 5)
			spread()
			if got := m.state("a"); got != tt.want {
				t.Errorf("the other %s: breaker is %s, want %s", tt.name, got, tt.want)
			}
		})
	}
}

// TestFleetBreaker_claim: a worker that dies with the probe in hand holds the others up
// for as long as a call may take, and no longer.
func TestFleetBreaker_claim(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		victim, m := c.join(), c.join()
		victim.fail("a", 3)
		m.fail("a", 2)
		spread()
		enter(t, victim.gate("a"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		over := make(chan struct{})
		go func() {
			defer close(over)
			_, _, _ = victim.gate("a").Do(ctx, fleet.Call{Key: "1"}, func(ctx context.Context) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
		}()
		synctest.Wait()
		spread()
		retry := closed(t, m.gate("a"), fleet.Call{Key: "2"})
		if lease := timeout + 5*time.Second; retry <= 0 || retry > lease {
			t.Errorf("during a probe RetryIn is %v, want no more than the lease of %v", retry, lease)
		}
		victim.kill()
		began := time.Now()
		if waited, probe := enter(t, m.gate("a")); waited > 41*time.Second || !probe {
			t.Errorf("Enter waited %v, probe %t; want the rest of the dead worker's 40 s, and a probe", waited, probe)
		}
		if !do(t, m.gate("a"), fleet.Call{Key: "2"}, nil) {
			t.Errorf("%v after the worker died a call is no probe", time.Since(began))
		}
		if got := m.state("a"); got != "closed" {
			t.Errorf("breaker is %s after a success, want closed", got)
		}
		cancel()
		<-over
	})
}

// TestFleetBreaker_survives: an open breaker outlives every worker.
func TestFleetBreaker_survives(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		m.open("a")
		office := fleet.OpenOffice(c.NC, c.JS, c.Topology.FleetBucket())
		look := func() fleet.Bar {
			t.Helper()
			v, err := office.Look(t.Context(), time.Now())
			if err != nil || len(v.Bars) != 1 {
				t.Fatalf("Look = %+v, %v, want one bar", v, err)
			}
			return v.Bars[0]
		}
		before := look()
		if before.Kind != fleet.Breaker || before.Name != "a" || before.Code != "InternalError" || before.By != m.ID() {
			t.Errorf("Look shows %+v, want the breaker of lane a, open for an InternalError at %s", before, m.ID())
		}
		m.Leave()
		time.Sleep(time.Hour)
		next := c.join()
		g := next.gate("a")
		if after := look(); !after.Since.Equal(before.Since) || next.state("a") != "half-open" {
			t.Errorf("the next worker finds it %s since %v, want half-open since %v", next.state("a"), after.Since, before.Since)
		}
		if waited, probe := enter(t, g); waited > enterSpread || !probe {
			t.Errorf("Enter waited %v, probe %t; want a probe", waited, probe)
		}
		if probe := do(t, g, fleet.Call{}, nil); !probe || next.state("a") != "closed" {
			t.Errorf("then the breaker is %s, want closed by a probe", next.state("a"))
		}
	})
}

// TestFleetBreaker_waiting: all members wait while one probes, and go on at once when
// it has succeeded.
func TestFleetBreaker_waiting(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(6)
		for _, m := range crew[:5] {
			m.fail("a", 1)
		}
		spread()
		var probes atomic.Int32
		back := make(chan time.Time, len(crew))
		for i, m := range crew {
			go func() {
				defer func() { back <- time.Now() }()
				for {
					probe, err := m.gate("a").Enter(t.Context())
					if err != nil || !probe {
						return
					}
					_, _, err = m.gate("a").Do(t.Context(), fleet.Call{Key: strconv.Itoa(i)}, func(context.Context) ([]byte, error) {
						probes.Add(1)
						time.Sleep(10 * time.Second)
						return nil, nil
					})
					if _, ok := errors.AsType[*fleet.ClosedError](err); err != nil && !ok {
						t.Errorf("Do = %v", err)
					}
				}
			}()
		}
		first := <-back
		for range crew[1:] {
			if at := <-back; at.Sub(first) > 200*time.Millisecond {
				t.Errorf("a member went on %v after the first one", at.Sub(first))
			}
		}
		if got := probes.Load(); got != 1 {
			t.Errorf("%d probes, want 1", got)
		}
	})
}
