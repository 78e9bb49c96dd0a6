package fleet_test

import (
	"context"
	"errors"
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
	for i, t := range c.at {
		n := 0
		for j := i; j >= 0 && t.Sub(c.at[j]) < time.Second; j-- {
			n++
		}
		sliding = max(sliding, n)
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

func (c *calls) check(t *testing.T, limit int) {
	t.Helper()
	if sliding, calendar := c.most(); sliding > limit || calendar > limit {
		t.Errorf("%d calls in a sliding and %d in a calendar second, want at most %d", sliding, calendar, limit)
	}
}

// stalling is a context whose owner is held up each time it asks: between taking a
// slot and waiting for it, as when the machine is busy or the process was stopped.
type stalling struct {
	context.Context //nolint:containedctx // it is one

	by func() time.Duration
}

func (s stalling) Err() error {
	time.Sleep(s.by())
	return s.Context.Err()
}

// callers keep n goroutines calling until ctx ends, each with a pause between calls.
func callers(ctx context.Context, q *fleet.Quota, n int, pause func() time.Duration) (made *calls, wait func()) {
	made = &calls{}
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for q.Wait(ctx) == nil {
				made.note()
				time.Sleep(pause())
			}
		})
	}
	return made, wg.Wait
}

func TestQuota(t *testing.T) {
	for _, limit := range []int{1, 2, 7, 20, 100} {
		for name, pause := range map[string]func() time.Duration{
			"steady": func() time.Duration { return 0 },
			"uneven": func() time.Duration { return rand.N(300 * time.Millisecond) },
		} {
			t.Run(fmt.Sprintf("%d %s", limit, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(rand.N(time.Second)) // seconds of the calendar begin anywhere
					const long = 100 * time.Second
					start := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), long)
					defer cancel()
					made, wait := callers(ctx, fleet.NewQuota(limit), 2*limit+5, pause)
					wait()
					made.check(t, limit)
					steady := long - 10*time.Second
					if got, want := made.between(start.Add(10*time.Second), steady), 0.97*float64(limit)*steady.Seconds(); float64(got) < want {
						t.Errorf("%d calls in %v, want at least %.0f, 97 %% of the quota", got, steady, want)
					}
				})
			})
		}
	}
}

// TestQuota_idle: what was not used is gone, it does not make a burst.
func TestQuota_idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, made := fleet.NewQuota(20), &calls{}
		for range 5 {
			time.Sleep(time.Minute + rand.N(time.Second))
			began := time.Now()
			var wg sync.WaitGroup
			for range 60 {
				wg.Go(func() {
					if err := q.Wait(t.Context()); err != nil {
						t.Errorf("Wait = %v", err)
					}
					made.note()
				})
			}
			wg.Wait()
			if took := time.Since(began); took > 3100*time.Millisecond {
				t.Errorf("60 calls took %v, want 3 s and no more", took)
			}
		}
		made.check(t, 20)
	})
}

func TestQuota_inOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fleet.NewQuota(20)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if err := q.Wait(t.Context()); err != nil {
					t.Errorf("Wait = %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait() // it has its slot
		}
		wg.Wait()
		if !slices.IsSorted(order) {
			t.Errorf("callers passed in the order %v, want that in which they asked", order)
		}
	})
}

// TestQuota_stalled: who is late for a slot takes another one, lest the calls of two
// seconds be made in one.
func TestQuota_stalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		q := fleet.NewQuota(20)
		late := stalling{ctx, func() time.Duration {
			if rand.IntN(3) > 0 {
				return 0
			}
			return rand.N(400 * time.Millisecond)
		}}
		made, wait := callers(late, q, 30, func() time.Duration { return 0 })
		wait()
		made.check(t, 20)
		if n := len(made.at); n < 500 {
			t.Errorf("%d calls in 100 s, want some: only slots that were missed are lost", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		q := fleet.NewQuota(1)
		if err := q.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, by := range []time.Duration{9 * time.Millisecond, 11 * time.Millisecond, 3 * time.Second} {
			time.Sleep(5 * time.Second)
			start := time.Now()
			if err := q.Wait(stalling{t.Context(), func() time.Duration { return by }}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != by {
				t.Errorf("late by %v, and nobody went before: Wait took %v, want no more", by, took)
			}
			gone := time.Now()
			if err := q.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took, least := time.Since(gone), time.Second; took < least {
				t.Errorf("after a caller late by %v: the next one came %v behind it, want at least %v", by, took, least)
			}
		}
	})
	// Every timer is late, as on a machine that is short of time: calls go all the same.
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		made, wait := callers(stalling{ctx, func() time.Duration { return 15 * time.Millisecond }}, fleet.NewQuota(20), 8, func() time.Duration { return 0 })
		wait()
		made.check(t, 20)
		if n := len(made.at); n < 1000 {
			t.Errorf("%d calls in 100 s of late timers, want at least half of the quota", n)
		}
	})
}

func TestQuota_Wait_ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		for _, limit := range []int{0, 1} {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(why)
			if err := fleet.NewQuota(limit).Wait(ctx); !errors.Is(err, why) {
				t.Errorf("limit %d: Wait = %v, want %v", limit, err, why)
			}
		}
		q := fleet.NewQuota(1)
		for range 3 {
			go func() { _ = q.Wait(t.Context()) }()
		}
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, why)
		defer cancel()
		if err := q.Wait(ctx); !errors.Is(err, why) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("Wait = %v after %v, want %v after 100ms", err, time.Since(start), why)
		}
		time.Sleep(10 * time.Second)
	})
}

func TestQuota_unlimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fleet.NewQuota(0)
		if q.Limited() || q.Pace() != 0 || !fleet.NewQuota(1).Limited() {
			t.Errorf("a quota of 0: limited %t, pace %v, want false and 0", q.Limited(), q.Pace())
		}
		start := time.Now()
		for range 1000 {
			if err := q.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("1000 calls without a limit took %v, want no time", took)
		}
		q.Push(3 * time.Second) // the vendor asks for patience all the same
		if err := q.Wait(t.Context()); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("after Push(3s): Wait = %v after %v, want 3s", err, time.Since(start))
		}
		if err := q.Wait(t.Context()); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("then: Wait = %v after %v, want no time", err, time.Since(start)-3*time.Second)
		}
	})
}

// TestQuota_Push: a throttled answer stops everybody, also those who have a slot,
// halves the pace once a second, and the pace climbs back.
func TestQuota_Push(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 20
		q := fleet.NewQuota(limit)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		made, wait := callers(ctx, q, 40, func() time.Duration { return 0 })
		time.Sleep(30 * time.Second)

		at := time.Now()
		for range 10 { // calls in flight together are refused together
			q.Push(2 * time.Second)
		}
		if got := q.Pace(); got != limit/2 {
			t.Errorf("pace %v after ten throttled answers at once, want half, %d", got, limit/2)
		}
		time.Sleep(30 * time.Second)
		if n := made.between(at.Add(1), 2*time.Second-1); n != 0 {
			t.Errorf("%d calls in the 2 s after Push(2s), want none", n)
		}
		if n := made.between(at.Add(2*time.Second), time.Second); n < 1 || n > limit*3/4 {
			t.Errorf("%d calls in the second after, want some at about half pace", n)
		}
		if got := q.Pace(); got != limit {
			t.Errorf("pace %v after half a minute of peace, want %d again", got, limit)
		}
		if n := made.between(at.Add(20*time.Second), 10*time.Second); float64(n) < 0.97*10*limit {
			t.Errorf("%d calls in 10 s after that, want the quota used again", n)
		}

		for range 20 { // a vendor that stays unhappy
			q.Push(time.Second)
			time.Sleep(time.Second)
		}
		if got := q.Pace(); got < 1 || got > 3 {
			t.Errorf("pace %v after 20 s of throttling, want it near the floor of 1", got)
		}
		before, slow := q.Pace(), time.Now()
		time.Sleep(5 * time.Second)
		if got, want := q.Pace(), before+5; got < want-0.1 || got > want+0.1 {
			t.Errorf("pace %v after 5 s of peace, want %v, up by a twentieth of the limit each second", got, want)
		}
		if n := made.between(slow, 5*time.Second); n < 5 || n > 40 {
			t.Errorf("%d calls in those 5 s, want 5 to 40", n)
		}
		cancel()
		wait()
		made.check(t, limit)
	})
}

func TestQuota_Push_small(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fleet.NewQuota(1)
		for range 5 {
			q.Push(time.Second)
			time.Sleep(time.Second)
		}
		if got := q.Pace(); got != 1 {
			t.Errorf("pace %v of a quota of 1, want it never below 1", got)
		}
		if err := q.Wait(t.Context()); err != nil { // so that the next ones have to wait
			t.Fatal(err)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := q.Wait(t.Context()); err != nil || time.Since(start) < 10*time.Second {
					t.Errorf("Wait = %v after %v, want 10s", err, time.Since(start))
				}
			})
		}
		synctest.Wait()
		q.Push(10 * time.Second)
		q.Push(time.Second) // a smaller one takes nothing back
		wg.Wait()
	})
}
