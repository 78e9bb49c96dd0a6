package fleet

import (
	"sync"
	"time"
)

// drift is how far two clocks may run apart, in parts of the time that has passed.
const drift = 100e-6

// clock tells the server's time by this process's monotonic clock, so that no wall
// clock of any worker matters. Each write of ours was stored, by the server's clock,
// at some moment between sending it and hearing of it; what several writes have in
// common is known to well under a millisecond. It is safe for concurrent use.
type clock struct {
	base time.Time // of the monotonic clock

	mu        sync.Mutex
	low, high time.Time     // the server's time at base lies between these
	heard     time.Duration // since base, when that was last known so well
	stepped   time.Duration // since base, when the server's clock was last found to have moved
}

// steppedBy is how far the server's clock must have moved to have been set: less is the
// difference between two servers' that are kept right, which slots have room for.
const steppedBy = 5 * time.Millisecond

func newClock() *clock { return &clock{base: time.Now()} }

// saw takes in that the server stored something at the given time of its own, which
// here was sent and confirmed at the other two. A clock that does not agree with what
// is known any more (another server leads now, or was set right) is believed anew.
func (c *clock) saw(stored, sent, confirmed time.Time) {
	low, high := stored.Add(-confirmed.Sub(c.base)), stored.Add(-sent.Sub(c.base))
	c.mu.Lock()
	defer c.mu.Unlock()
	now := confirmed.Sub(c.base)
	if !c.high.IsZero() {
		if low.Sub(c.high) > steppedBy || c.low.Sub(high) > steppedBy {
			c.stepped = now
		}
		slack := time.Duration(drift * float64(now-c.heard))
		if l := c.low.Add(-slack); l.After(low) && !l.After(high) {
			low = l
		}
		if h := c.high.Add(slack); h.Before(high) && !h.Before(low) {
			high = h
		}
	}
	c.low, c.high, c.heard = low, high, now
}

// now is the server's time at present. Before anything was heard it is ours.
func (c *clock) now() time.Time { return c.zero().Add(time.Since(c.base)) }

// settled reports whether the server's clock has not been found to move for d.
func (c *clock) settled(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stepped == 0 || time.Since(c.base)-c.stepped >= d
}

// fresh reports whether the server's time was heard of within d.
func (c *clock) fresh(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.high.IsZero() && time.Since(c.base)-c.heard <= d
}

// latest is the latest that the server's time can be at present.
func (c *clock) latest() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := time.Since(c.base)
	if c.high.IsZero() {
		return c.base.Round(0).Add(since)
	}
	return c.high.Add(since + time.Duration(drift*float64(since-c.heard)))
}

// here is the moment of our own clock at which the server's shows t.
func (c *clock) here(t time.Time) time.Time { return c.base.Add(t.Sub(c.zero())) }

// zero is the server's time at base, as well as it is known.
func (c *clock) zero() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.high.IsZero() {
		return c.base.Round(0)
	}
	return c.low.Add(c.high.Sub(c.low) / 2)
}
