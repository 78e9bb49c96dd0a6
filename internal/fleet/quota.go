package fleet

import (
	"context"
	"sync"
	"time"
)

const (
	// slotMargin keeps slots further apart than the quota says, in parts of the gap:
	// with slots exactly 1/20 s apart, jitter on the way to the vendor puts 21 calls
	// into a second now and then. At 2 % the 21st is 20 ms away from that.
	slotMargin = 0.02
	// slotStale is how late a call may be for its slot. A later one (the process was
	// stalled, the machine busy) would crowd into its neighbours' second: it takes a new slot.
	slotStale = 10 * time.Millisecond
	// paceFloor is the slowest pace a throttled quota falls to, in calls per second.
	paceFloor = 1.0
	// paceClimb is how much pace comes back in each second without a throttled answer,
	// in parts of the limit: half the pace is back after ten seconds.
	paceClimb = 0.05
	// pushOnce is the time in which throttled answers count as one: calls in flight
	// together are refused together, and each halving the pace would stop the lane.
	pushOnce = time.Second
)

// Quota paces the calls of one vendor action onto slots, so that no second, sliding
// or calendar, sees more calls than the limit. It is safe for concurrent use;
// callers get their slots in the order they ask, but for those a Push sends back.
type Quota struct {
	mu     sync.Mutex
	limit  float64   // calls per second; 0 is no limit
	pace   float64   // what is used of it at present
	paced  time.Time // when pace was last brought up to date
	next   time.Time // the first free slot
	from   time.Time // no slot before this is good any more
	last   time.Time // when a caller was last let go
	pushed time.Time // the last throttled answer that counted
}

// NewQuota gives a quota of perSecond calls; 0 is no limit.
func NewQuota(perSecond int) *Quota {
	return &Quota{limit: float64(perSecond), pace: float64(perSecond)}
}

// Limited reports whether there is a limit at all.
func (q *Quota) Limited() bool { return q.limit > 0 }

// Wait returns when the caller may call, or with ctx's cause if that comes first.
// A slot given up that way is not handed on: waste never breaks a quota.
func (q *Quota) Wait(ctx context.Context) error {
	for {
		slot := q.take(time.Now())
		if err := sleepUntil(ctx, slot); err != nil {
			return err
		}
		if q.good(slot, time.Now()) {
			return nil
		}
	}
}

// good reports whether a slot may be used now that its time has come: the caller is
// not late for it, and no throttled answer has come in between. A late caller goes
// all the same if nobody went for the time of a slot, and keeps that distance to the
// next: else a machine whose every timer is late would let nobody go.
func (q *Quota) good(slot, now time.Time) bool {
	if slot.IsZero() {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if slot.Before(q.from) {
		return false
	}
	if now.Sub(slot) > slotStale {
		if now.Sub(q.last) < q.gap() {
			return false
		}
		q.from = now.Add(q.gap()) // slots that others hold before this are no good any more
		if q.next.Before(q.from) {
			q.next = q.from
		}
	}
	q.last = now
	return true
}

// Push puts every slot off by at least d after a throttled answer, those that callers
// wait for too, and halves the pace.
func (q *Quota) Push(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if from := now.Add(d); q.from.Before(from) {
		q.from = from
	}
	if q.next.Before(q.from) {
		q.next = q.from
	}
	if q.limit > 0 && now.Sub(q.pushed) >= pushOnce {
		q.pushed = now
		q.climb(now)
		q.pace = max(q.pace/2, min(paceFloor, q.limit))
	}
}

// Pace is the present pace in calls per second; 0 is no limit.
func (q *Quota) Pace() float64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.climb(time.Now())
	return q.pace
}

// take gives the next free slot; the zero time means at once.
func (q *Quota) take(now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.limit == 0 {
		if q.next.After(now) {
			return q.next // pushed by a throttled answer all the same
		}
		return time.Time{}
	}
	q.climb(now)
	slot := now
	if q.next.After(now) {
		slot = q.next
	}
	q.next = slot.Add(q.gap())
	return slot
}

// gap is the time between two slots at the present pace. q.mu must be held.
func (q *Quota) gap() time.Duration {
	if q.pace == 0 {
		return 0
	}
	return time.Duration((1 + slotMargin) / q.pace * float64(time.Second))
}

func (q *Quota) climb(now time.Time) {
	if q.pace < q.limit {
		q.pace = min(q.limit, q.pace+now.Sub(q.paced).Seconds()*paceClimb*q.limit)
	}
	q.paced = now
}

// sleepUntil waits for t; the zero time is now.
func sleepUntil(ctx context.Context, t time.Time) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	wait := time.Until(t)
	if t.IsZero() || wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
