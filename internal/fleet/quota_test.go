package fleet_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/fleet"
)

// calls is when callers passed a quota.
type calls struct {
	mu sync.Mutex
	at []time.Time
}

func (c *calls) note() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, time.Now())
}

// most gives the most calls in any one second: from t up to but not including t+1s,
// and by the calendar.
func (c *calls) most() (sliding, calendar int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.at, time.Time.Compare)
	seconds := map[int64]int{}
	first := 0
	for i, t := range c.at {
		for t.Sub(c.at[first]) >= time.Second {
			first++
		}
		sliding = max(sliding, i-first+1)
		seconds[t.Unix()]++
		calendar = max(calendar, seconds[t.Unix()])
	}
	return sliding, calendar
}

// between counts calls from t on, for d.
func (c *calls) between(t time.Time, d time.Duration) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.at {
		if !at.Before(t) && at.Before(t.Add(d)) {
			n++
		}
	}
	return n
}

// pauseAfter gives the longest time without a call that began at t or later.
func (c *calls) pauseAfter(t time.Time) (longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.at, time.Time.Compare)
	for i, at := range c.at {
		if i > 0 && !at.Before(t) {
			longest = max(longest, at.Sub(latest(t, c.at[i-1])))
		}
	}
	return longest
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (c *calls) check(t *testing.T, limit int) {
	t.Helper()
	if sliding, calendar := c.most(); sliding > limit || calendar > limit {
		t.Errorf("%d calls in a sliding and %d in a calendar second, want at most %d", sliding, calendar, limit)
	}
}

// checkUsed wants a part of the limit used from t on, for d; a call may fall on either
// side of an end.
func (c *calls) checkUsed(t *testing.T, part float64, limit int, from time.Time, d time.Duration) {
	t.Helper()
	if got, want := c.between(from, d), part*float64(limit)*d.Seconds()-1; float64(got) < want {
		t.Errorf("%d calls in %v, want at least %.0f, %.0f %% of the quota", got, d, want, 100*part)
	}
}

// stalling is a context whose owner is held up each time it asks: between taking a
// slot and waiting for it, as when the machine is busy or the process was stopped.
type stalling struct {
	context.Context //nolint:containedctx // it is one

	by   time.Duration
	some time.Duration // one time in three up to that
	last time.Time     // held up once at a time
}

func (s *stalling) Err() error {
	if !time.Now().Equal(s.last) {
		time.Sleep(s.by)
		if s.some > 0 && rand.IntN(3) == 0 {
			time.Sleep(rand.N(s.some))
		}
		s.last = time.Now()
	}
	return s.Context.Err()
}

// call makes calls of lane a until ctx ends.
func (m *member) call(ctx context.Context, wg *sync.WaitGroup, callers int, made *calls) {
	for range callers {
		wg.Go(func() { m.caller(ctx, 0, made) })
	}
}

// caller rests for up to that after each call.
func (m *member) caller(ctx context.Context, rest time.Duration, made *calls) {
	for m.gate("a").Slot(ctx, fleet.Ask{}) == nil {
		made.note()
		if rest > 0 {
			time.Sleep(rand.N(rest))
		}
	}
}

// TestQuota: however many members there are and whatever they ask for, they look like
// one well-behaved caller, and use what they may.
func TestQuota(t *testing.T) {
	for _, tt := range []struct {
		name    string
		limit   int
		callers int           // of each member
		rest    time.Duration // up to that after each call
		late    time.Duration // every timer is late by that
		stall   time.Duration // one timer in three is late by up to that
		long    time.Duration
		used    float64 // part of the limit that must be used
		members []int   // none is 1 and 4
	}{
		{name: "many", limit: 20, callers: 25, long: 12 * time.Second, used: 0.97, members: []int{1, 4, 16}},
		{name: "one", limit: 20, callers: 1, long: 12 * time.Second, used: 0.97, members: []int{1, 4, 16}},
		{name: "uneven", limit: 20, callers: 25, rest: 300 * time.Millisecond, long: 10 * time.Second, used: 0.97},
		{name: "seldom", limit: 20, callers: 1, rest: 5 * time.Second, long: 20 * time.Second, members: []int{1, 4, 16}},
		{name: "stalls", limit: 20, callers: 25, stall: 400 * time.Millisecond, long: 8 * time.Second, used: 0.2, members: []int{1, 4, 16}},
		// Each call misses a slot, and takes two the next time.
		{name: "late", limit: 20, callers: 3, late: 15 * time.Millisecond, long: 8 * time.Second, used: 0.2, members: []int{1, 16}},
		{name: "later", limit: 20, callers: 3, late: 60 * time.Millisecond, long: 8 * time.Second, used: 0.2, members: []int{1, 16}},
		{name: "slow", limit: 1, callers: 3, long: 30 * time.Second, used: 0.97},
		{name: "odd", limit: 7, callers: 10, long: 10 * time.Second, used: 0.97},
		{name: "fast", limit: 500, callers: 50, long: 2 * time.Second, used: 0.97},
		{name: "fast and late", limit: 500, callers: 1, late: 60 * time.Millisecond, long: 6 * time.Second, used: 0.01},
	} {
		if len(tt.members) == 0 {
			tt.members = []int{1, 4}
		}
		for _, members := range tt.members {
			t.Run(fmt.Sprintf("%s/%d", tt.name, members), func(t *testing.T) {
				if members > 4 && testing.Short() {
					t.Skip("takes long under the race detector")
				}
				t.Parallel()
				inBubble(t, func(t *testing.T, c *camp) {
					time.Sleep(rand.N(time.Second)) // seconds of the calendar begin anywhere
					c.cfg.Rate = tt.limit
					crew := c.crew(members)
					ctx, cancel := context.WithTimeout(t.Context(), tt.long)
					defer cancel()
					start, made := time.Now(), &calls{}
					var wg sync.WaitGroup
					for _, m := range crew {
						for range tt.callers {
							wg.Go(func() { m.caller(&stalling{Context: ctx, by: tt.late, some: tt.stall}, tt.rest, made) })
						}
					}
					wg.Wait()
					made.check(t, tt.limit)
					made.checkUsed(t, tt.used, tt.limit, start.Add(time.Second), tt.long-time.Second)
				})
			})
		}
	}
}

var members = flag.Int("members", 64, "how many members TestQuota_crowd has")

// TestQuota_idle: what was not used is gone, it does not make a burst; and while nobody
// waits nothing is reserved.
func TestQuota_idle(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		crew, made, tap := c.crew(3), &calls{}, c.tap()
		for range 5 {
			began := time.Now()
			var wg sync.WaitGroup
			for i := range 60 {
				wg.Go(func() {
					if err := crew[i%3].gate("a").Slot(t.Context(), fleet.Ask{}); err != nil {
						t.Errorf("Slot = %v", err)
					}
					made.note()
				})
			}
			wg.Wait()
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("60 calls took %v, want 3 s and a little", took)
			}
			before := tap.count()
			time.Sleep(time.Minute + rand.N(time.Second))
			if after := tap.count(); after != before {
				t.Errorf("%+v of the quota in an idle minute, before it %+v: want nothing sent", after, before)
			}
		}
		made.check(t, 20)
	})
}

// TestQuota_inOrder: the callers of a member get their slots in the order they ask.
func TestQuota_inOrder(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		g := c.crew(2)[0].gate("a")
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if err := g.Slot(t.Context(), fleet.Ask{}); err != nil {
					t.Errorf("Slot = %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait() // it has its slot, or waits for one
		}
		wg.Wait()
		if !slices.IsSorted(order) {
			t.Errorf("callers passed in the order %v, want that in which they asked", order)
		}
	})
}

// TestQuota_late: a call that is a little late goes, and one that is too late takes a
// new slot.
func TestQuota_late(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		c.cfg.Rate = 1
		const gap = 1020 * time.Millisecond
		g := c.join().gate("a")
		for _, tt := range []struct {
			late time.Duration
			took time.Duration
		}{
			{9 * time.Millisecond, gap + 9*time.Millisecond},
			{11 * time.Millisecond, 2*gap + 11*time.Millisecond}, // two slots: it was late before
			{900 * time.Millisecond, 2*gap + 900*time.Millisecond},
		} {
			time.Sleep(10 * time.Second)
			if err := g.Slot(t.Context(), fleet.Ask{}); err != nil { // so that the next one has to wait
				t.Fatal(err)
			}
			start := time.Now()
			if err := g.Slot(&stalling{Context: t.Context(), by: tt.late}, fleet.Ask{}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != tt.took {
				t.Errorf("Slot of a caller late by %v took %v, want %v", tt.late, took, tt.took)
			}
			gone := time.Now()
			if err := g.Slot(t.Context(), fleet.Ask{}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(gone); took < time.Second {
				t.Errorf("after a caller late by %v the next one came %v behind it, want at least a second", tt.late, took)
			}
		}
	})
}

func TestQuota_ends(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		why := errors.New("enough")
		for _, c.cfg.Rate = range []int{0, 1} {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(why)
			if err := c.join().gate("a").Slot(ctx, fleet.Ask{}); !errors.Is(err, why) {
				t.Errorf("limit %d: Slot = %v, want %v", c.cfg.Rate, err, why)
			}
		}
		g := c.join().gate("b")
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _ = g.Slot(t.Context(), fleet.Ask{}) })
		}
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, why)
		defer cancel()
		if err := g.Slot(ctx, fleet.Ask{}); !errors.Is(err, why) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("Slot = %v after %v, want %v after 100ms", err, time.Since(start), why)
		}
		wg.Wait()
	})
}

// TestQuota_action: the quota is the vendor action's, whichever lane and member calls it.
func TestQuota_action(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		const long = 10 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		start, both, other := time.Now(), &calls{}, &calls{}
		var wg sync.WaitGroup
		for _, m := range c.crew(2) {
			for lane, made := range map[string]*calls{"a": both, "b": both, "c": other} {
				g := gate(m.Fleet, lane, map[bool]string{true: "Grant", false: "Bind"}[made == other], "ess")
				for range 5 {
					wg.Go(func() {
						for g.Slot(ctx, fleet.Ask{}) == nil {
							made.note()
						}
					})
				}
			}
		}
		wg.Wait()
		for _, made := range []*calls{both, other} {
			made.check(t, 20)
			made.checkUsed(t, 0.97, 20, start, long)
		}
	})
}

// TestQuota_killed: a member that dies takes half a second's slots with it at most.
func TestQuota_killed(t *testing.T) {
	t.Parallel()
	for _, others := range []int{1, 7} {
		inBubble(t, func(t *testing.T, c *camp) {
			crew, victim := c.crew(others), c.join()
			ctx, cancel := context.WithCancel(t.Context())
			mortal, shoot := context.WithCancel(ctx)
			made := &calls{}
			var wg sync.WaitGroup
			for _, m := range crew {
				m.call(ctx, &wg, 25, made)
			}
			victim.call(mortal, &wg, 100, made) // it has most of what is given out
			time.Sleep(3*time.Second + rand.N(time.Second))
			shoot()
			victim.kill()
			died := time.Now()
			time.Sleep(5 * time.Second)
			cancel()
			wg.Wait()
			made.check(t, 20)
			if longest := made.pauseAfter(died); longest > 600*time.Millisecond {
				t.Errorf("%d others made no call for %v after a member was killed, want half a second at most", others, longest)
			}
			made.checkUsed(t, 0.95, 20, died.Add(time.Second), 4*time.Second)
		})
	}
}

func TestQuota_unlimited(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		c.cfg.Rate = 0
		crew, tap := c.crew(2), c.tap()
		g := crew[0].gate("a")
		if got := g.Limit(); got != 0 {
			t.Errorf("Limit() = %d, want 0", got)
		}
		start := time.Now()
		for range 1000 {
			if err := g.Slot(t.Context(), fleet.Ask{}); err != nil {
				t.Fatal(err)
			}
		}
		if took, sent := time.Since(start), tap.count(); took != 0 || sent.reads+sent.writes > 0 {
			t.Errorf("1000 calls without a limit took %v and sent %+v, want no time and nothing", took, sent)
		}
		patience := *throttled
		patience.RetryAfter = 3 * time.Second
		do(t, crew[1].gate("a"), fleet.Call{}, &patience) // the vendor asks for patience all the same
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		for range 2 {
			if err := g.Slot(t.Context(), fleet.Ask{}); err != nil || time.Since(start) != patience.RetryAfter {
				t.Errorf("after an answer that asks for 3s at another member: Slot = %v after %v, want 3s", err, time.Since(start))
			}
		}
	})
}
