package fleet_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"testing"
	"time"

	"essworker/internal/fault"
	"essworker/internal/fleet"
)

// after is a throttled answer that asks for patience.
func after(d time.Duration) *fault.Error {
	return &fault.Error{Kind: fault.Throttled, Code: "RequestLimitExceeded", RetryAfter: d}
}

// paceOf is the pace of a member's only lane.
func paceOf(m *member) float64 { return m.States()[0].Pace }

// TestPush: a throttled answer stops everybody, those too who have a slot at another
// member, halves the pace once a second, and the pace climbs back.
func TestPush(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		const limit = 20
		crew := c.crew(3)
		ctx, cancel := context.WithCancel(t.Context())
		made := &calls{}
		var wg sync.WaitGroup
		for _, m := range crew {
			m.call(ctx, &wg, 10, made)
		}
		time.Sleep(2 * time.Second)

		at := time.Now()
		for i := range 10 { // calls in flight together are refused together
			do(t, crew[i%len(crew)].gate("a"), fleet.Call{}, after(2*time.Second))
		}
		// The others hear of it within some hundredths of a second.
		const heard = 100 * time.Millisecond
		time.Sleep(heard)
		for _, m := range crew {
			if got := paceOf(m); got < limit/2 || got > limit/2+1 {
				t.Errorf("pace %v after ten throttled answers at once, want half, %d", got, limit/2)
			}
		}
		time.Sleep(25 * time.Second)
		if n := made.between(at.Add(heard), 2*time.Second-heard); n != 0 {
			t.Errorf("%d calls while the vendor wanted none for 2 s, want none", n)
		}
		if n := made.between(at.Add(2*time.Second), time.Second); n < limit/3 || n > limit*3/4 {
			t.Errorf("%d calls in the second after, want about half of %d", n, limit)
		}
		if n := made.between(at.Add(3*time.Second), time.Second); n < 12 || n > limit*3/4 {
			t.Errorf("%d calls in the second after that, want 12 or 13: the pace is all there is to slow them down", n)
		}
		if got := paceOf(crew[1]); got != limit {
			t.Errorf("pace %v after 25 s of peace, want %d again", got, limit)
		}
		made.checkUsed(t, 0.95, limit, at.Add(20*time.Second), 5*time.Second)

		for i := range 20 { // a vendor that stays unhappy
			do(t, crew[i%len(crew)].gate("a"), fleet.Call{}, throttled)
			time.Sleep(time.Second)
		}
		if got := paceOf(crew[0]); got < 1 || got > 3 {
			t.Errorf("pace %v after 20 s of throttling, want it near the floor of 1", got)
		}
		before, slow := paceOf(crew[0]), time.Now()
		time.Sleep(5 * time.Second)
		if got, want := paceOf(crew[2]), before+5; math.Abs(got-want) > 0.1 {
			t.Errorf("pace %v after 5 s of peace, want %v, up by a twentieth of the limit each second", got, want)
		}
		if n := made.between(slow, 5*time.Second); n < 5 || n > 40 {
			t.Errorf("%d calls in those 5 s, want 5 to 40", n)
		}
		cancel()
		wg.Wait()
		made.check(t, limit)
	})
}

// TestPush_voids: a slot given out at one member is void as soon as it hears of a
// throttled answer at another.
func TestPush_voids(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		c.cfg.Rate = 1
		crew := c.crew(2)
		first := crew[0].gate("a")
		if err := first.Slot(t.Context(), fleet.Ask{}); err != nil { // so that the next one has to wait
			t.Fatal(err)
		}
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := first.Slot(t.Context(), fleet.Ask{}); err != nil || time.Since(start) < 5*time.Second {
				t.Errorf("Slot = %v after %v, want 5s or more", err, time.Since(start))
			}
		})
		time.Sleep(500 * time.Millisecond) // it has its slot, in half a second
		do(t, crew[1].gate("a"), fleet.Call{}, after(4500*time.Millisecond))
		wg.Wait()
	})
}

// TestPush_small: the pace never falls below one call a second, and a shorter wait
// takes nothing back.
func TestPush_small(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		c.cfg.Rate = 1
		m := c.join()
		g := m.gate("a")
		for range 5 {
			do(t, g, fleet.Call{}, throttled)
			time.Sleep(time.Second)
		}
		if got := paceOf(m); got != 1 {
			t.Errorf("pace %v of a quota of 1, want it never below 1", got)
		}
		do(t, g, fleet.Call{}, after(10*time.Second))
		do(t, g, fleet.Call{}, after(time.Second))
		start := time.Now()
		if err := g.Slot(t.Context(), fleet.Ask{}); err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("Slot = %v after %v, want 10s", err, time.Since(start))
		}
	})
}

// TestThrottled: an answer about the action slows down its lanes, one about the
// account every lane of the credential.
func TestThrottled(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		for i, tt := range []struct {
			fault *fault.Error
			waits [4]time.Duration // of the lane itself, one of its action, one of its credential, another
		}{
			{throttled, [4]time.Duration{time.Second, time.Second, 0, 0}},
			{after(5 * time.Second), [4]time.Duration{5 * time.Second, 5 * time.Second, 0, 0}},
			{after(time.Millisecond), [4]time.Duration{time.Second, time.Second, 0, 0}},
			{&fault.Error{Kind: fault.Throttled, Scope: fault.Credential}, [4]time.Duration{time.Second, time.Second, time.Second, 0}},
		} {
			n := strconv.Itoa(i)
			lanes := func(m *member) []*fleet.Gate {
				return []*fleet.Gate{
					gate(m.Fleet, "a"+n, "Bind"+n, "ess"), gate(m.Fleet, "b"+n, "Bind"+n, "ess"),
					gate(m.Fleet, "c"+n, "Link"+n, "ess"), gate(m.Fleet, "d"+n, "Grant"+n, "essbasic"),
				}
			}
			crew := c.crew(2)
			throttledAt, asking := lanes(crew[0]), lanes(crew[1])
			for _, ask := range [][]int{{0, 2, 3}, {1}} { // two lanes of one quota would wait for each other
				time.Sleep(time.Minute)
				start := time.Now()
				do(t, throttledAt[0], fleet.Call{}, tt.fault)
				time.Sleep(100 * time.Millisecond)
				var wg sync.WaitGroup
				for _, i := range ask {
					want := max(tt.waits[i], 100*time.Millisecond)
					wg.Go(func() {
						if err := asking[i].Slot(t.Context(), fleet.Ask{}); err != nil || time.Since(start) != want {
							t.Errorf("after %+v lane %d of another member waits %v, %v, want %v", tt.fault, i, time.Since(start), err, want)
						}
					})
				}
				wg.Wait()
			}
			for i, s := range crew[1].States() {
				if halved := tt.waits[i] > 0; (s.Pace < 20) != halved {
					t.Errorf("after %+v lane %d has pace %v, halved: want %t", tt.fault, i, s.Pace, halved)
				}
			}
			crew[0].Leave()
			crew[1].Leave()
		}
	})
}

// TestSetLimit: what an operator sets is kept by every member within a second, while
// they call.
func TestSetLimit(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew, office := c.crew(4), fleet.OpenOffice(c.NC, c.JS, c.Topology.FleetBucket())
		ctx, cancel := context.WithCancel(t.Context())
		made := &calls{}
		var wg sync.WaitGroup
		for _, m := range crew {
			for range 10 {
				wg.Go(func() { m.caller(ctx, 10*time.Millisecond, made) })
			}
		}
		set := func(l fleet.Limit) func() (fleet.Limit, error) {
			return func() (fleet.Limit, error) { return office.SetLimit(t.Context(), "ess.a", l) }
		}
		reset := func() (fleet.Limit, error) { return office.ResetLimit(t.Context(), "ess.a") }
		before := fleet.Limit{}
		for _, step := range []struct {
			do     func() (fleet.Limit, error)
			now    fleet.Limit
			limit  int
			within time.Duration // a second, or two of the slots that were given out before
		}{
			{set(fleet.Limit{Rate: 5, Why: "they asked", By: "ann"}), fleet.Limit{Rate: 5, Why: "they asked", By: "ann"}, 5, time.Second},
			{set(fleet.Limit{Rate: 100, Why: "a test", By: "bob"}), fleet.Limit{Rate: 100, Why: "a test", By: "bob"}, 100, time.Second},
			{set(fleet.Limit{Rate: 1}), fleet.Limit{Rate: 1}, 1, time.Second},
			{reset, fleet.Limit{}, 20, 2100 * time.Millisecond},
			{set(fleet.Limit{Rate: 0, Why: "at night"}), fleet.Limit{Rate: 0, Why: "at night"}, 0, time.Second},
			{reset, fleet.Limit{}, 20, time.Second},
		} {
			got, err := step.do()
			got.At = time.Time{}
			if err != nil || got != before {
				t.Errorf("set %d: %+v was set before, %v; want %+v", step.limit, got, err, before)
			}
			before = step.now
			time.Sleep(step.within)
			for _, m := range crew {
				if got := m.gate("a").Limit(); got != step.limit {
					t.Errorf("%v after %d was set a member's limit is %d", step.within, step.limit, got)
				}
			}
			since := &calls{}
			start := time.Now()
			time.Sleep(5 * time.Second)
			made.mu.Lock()
			for _, at := range made.at {
				if !at.Before(start) {
					since.at = append(since.at, at)
				}
			}
			made.mu.Unlock()
			if step.limit == 0 {
				if n := len(since.at); n < 10_000 {
					t.Errorf("%d calls in 5 s of 40 callers without a limit, want each to call when it wants to", n)
				}
				continue
			}
			since.check(t, step.limit)
			since.checkUsed(t, 0.8, step.limit, start, 5*time.Second)
		}
		cancel()
		wg.Wait()
	})
}

// TestReplays: replays never take more than their share while live events want slots,
// and everything when none do.
func TestReplays(t *testing.T) {
	t.Parallel()
	for _, members := range []int{1, 4} {
		t.Run(strconv.Itoa(members), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, c *camp) {
				const long = 12 * time.Second
				crew := c.crew(members)
				live, replays := &calls{}, &calls{}
				replay := func(ctx context.Context, g *fleet.Gate) {
					for ctx.Err() == nil {
						err := g.Slot(ctx, fleet.Ask{Replay: true})
						if refused, ok := errors.AsType[*fleet.ClosedError](err); ok {
							if refused.RetryIn <= 0 || refused.Most < refused.RetryIn {
								t.Errorf("a replay is refused for %v, at most %v", refused.RetryIn, refused.Most)
							}
							time.Sleep(refused.RetryIn)
						} else if err == nil {
							replays.note()
						}
					}
				}
				run := func(withLive, withReplays bool) {
					live.at, replays.at = nil, nil
					start := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), long)
					defer cancel()
					var wg sync.WaitGroup
					for _, m := range crew {
						if withLive {
							m.call(ctx, &wg, 20, live)
						}
						for range 20 {
							if withReplays {
								wg.Go(func() { replay(ctx, m.gate("a")) })
							}
						}
					}
					wg.Wait()
					all := &calls{at: append(live.at, replays.at...)}
					all.check(t, 20)
					all.checkUsed(t, 0.97, 20, start.Add(2*time.Second), long-2*time.Second) // for a second live events are expected
				}
				share := func(when string) {
					t.Helper()
					got := float64(len(replays.at)) / float64(len(live.at)+len(replays.at))
					if got > 0.26 || got < 0.01 {
						t.Errorf("%s replays took %.2f of the quota, want some, and at most their share of 0.25", when, got)
					}
				}
				run(true, true)
				share("at first")
				run(false, true)
				run(true, true)
				share("after they had all of it")
			})
		})
	}
}

// TestReplays_behind: with events waiting in the stream a replay beyond the share is
// refused, since they may be live.
func TestReplays_behind(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		g := c.join().gate("a")
		var passed, refused int
		start := time.Now()
		for range 100 {
			err := g.Slot(t.Context(), fleet.Ask{Replay: true, Behind: 1})
			switch _, ok := errors.AsType[*fleet.ClosedError](err); {
			case ok:
				refused++
				time.Sleep(50 * time.Millisecond)
			case err != nil:
				t.Fatal(err)
			default:
				passed++
			}
		}
		if got := float64(passed) / time.Since(start).Seconds(); got > 5.1 || got < 4 || refused == 0 {
			t.Errorf("%.1f replays a second passed with events behind them, %d were refused; want a quarter of 20 a second", got, refused)
		}
		for range 3 {
			if err := g.Slot(t.Context(), fleet.Ask{Replay: true}); err != nil {
				t.Errorf("a replay with nothing behind it: %v, want the slot that nobody else wants", err)
			}
		}
	})
}
