package fleet_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"essworker/internal/fault"
	"essworker/internal/fleet"
)

// TestQuota_clockSteps moves the server's clock under a quota in use, as a step of NTP
// or a new leader does. What was given out before overlaps once, by half a second at
// most, and calls go on soon.
func TestQuota_clockSteps(t *testing.T) {
	const once = 10 // slots in half a second
	for _, members := range []int{2, 8} {
		for _, step := range []time.Duration{time.Second, 3 * time.Second, time.Hour, -2 * time.Second, -time.Hour} {
			t.Run(fmt.Sprint(members, step), func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, c *camp) {
					crew := c.crew(members)
					ctx, cancel := context.WithCancel(t.Context())
					var wg sync.WaitGroup
					made := &calls{}
					for _, m := range crew {
						m.call(ctx, &wg, 4, made)
					}
					time.Sleep(12 * time.Second)
					for _, m := range crew {
						m.ShiftClock(step)
					}
					moved := time.Now()
					time.Sleep(15 * time.Second)
					cancel()
					wg.Wait()
					if sliding, calendar := made.most(); sliding > 20+once || calendar > 20+once {
						t.Errorf("%d calls in a sliding second, %d in a calendar second, want at most 20 and %d once", sliding, calendar, once)
					}
					if got := made.between(moved.Add(5*time.Second), 10*time.Second); got < 190 {
						t.Errorf("%d calls in ten seconds, five after the clock moved, want nearly 200", got)
					}
				})
			})
		}
	}
}

// TestHold_refutedForGood: a worker with a key of its own that is wrong holds everybody
// once, not every few minutes.
func TestHold_refutedForGood(t *testing.T) {
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(2)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var waited time.Duration
		loop := func(g *fleet.Gate, err error, name string, waited *time.Duration) {
			for i := 0; ; i++ {
				began := time.Now()
				if _, err := g.Enter(ctx); err != nil {
					return
				}
				*waited += time.Since(began)
				_, _, _ = g.Do(ctx, fleet.Call{Tenant: "t", Key: fmt.Sprint(name, i)}, answer(err))
				time.Sleep(100 * time.Millisecond)
			}
		}
		wg.Go(func() { loop(crew[0].gate("a"), misconfigured(fault.Credential), "bad", new(time.Duration)) })
		wg.Go(func() { loop(crew[1].gate("a"), nil, "good", &waited) })
		time.Sleep(2 * time.Hour)
		cancel()
		wg.Wait()
		if waited > 3*holdProbe {
			t.Errorf("the good worker waited %v in two hours, want about %v, once", waited, holdProbe)
		}
	})
}
