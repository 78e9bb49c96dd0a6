package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"essworker/internal/kv"
)

const (
	// slotMargin keeps slots further apart than the quota says, in parts of the gap:
	// with slots exactly 1/20 s apart, jitter on the way to the vendor puts 21 calls
	// into a second now and then. At 2 % the 21st is 20 ms away from that.
	slotMargin = 0.02
	// slotStale is how late a call may be for its slot. A later one (the process was
	// stalled, the machine busy) would crowd into its neighbours' second: it takes a new slot.
	slotStale = 10 * time.Millisecond
	// widest bounds how many slots a late caller takes at once to have room for being
	// late, and widestTime what they span where that is more.
	widest, widestTime = 8, 100 * time.Millisecond
	// horizon is how far ahead slots are given out: what the workers that die may have
	// taken with them altogether. The others wait until there is room again.
	horizon = 500 * time.Millisecond
	// spread is the time, for each worker that competes, over which they come back for
	// slots: so the fleet asks some 200 times a second for each action, whatever its size.
	spread = 10 * time.Millisecond
	// clockSlack is more than a clock that is kept right is ever put back by.
	clockSlack = time.Second
	// clockFresh is how long after the server's time was heard of a reservation need not
	// ask when it was stored.
	clockFresh = time.Second
	// longestPause is how long the next look at the record is put off at most: what keeps
	// everybody waiting may be lifted.
	longestPause = time.Second
	// forgotten is when who competed a while ago says nothing any more.
	forgotten = 30 * time.Second
)

// slot is a time at which one call may be made, and how late it may be for that.
type slot struct {
	from, until time.Time // by our own clock
	server      time.Time // from, by the server's
	refused     bool      // a replay must leave room for live events
}

// Ask says what a slot is for.
type Ask struct {
	Replay bool   // a replayed letter's event: live events come first
	Behind uint64 // events that wait behind it
}

// waiter is somebody who wants a slot.
type waiter struct {
	Ask
	width int // slots to take as one; more after each time it was late
	given chan slot
}

// quota paces the calls of one vendor action, over all workers, onto slots, so that no
// second, sliding or calendar, sees more calls than the limit. A worker takes slots for
// what waits in it now, several at a time, by compare-and-set on one record. It is safe
// for concurrent use; callers get their slots in the order they ask.
type quota struct {
	fleet             *Fleet
	key               string // of its record
	limitKey, pushKey string // of what else decides its pace

	mu      sync.Mutex
	waiting []*waiter
	booking bool

	// For the one goroutine of book.
	record reservation
	at     kv.Entry
	known  bool      // the record is as we left it, as far as we know
	lost   time.Time // set while the record is lost: until then others may hold slots of it
	asked  time.Time // when we last wanted a slot
	mine   uint64    // record.Times at our last reservation; 0 if that was long ago
	crowd  uint64    // workers that compete with us, us among them; 0 is unknown
}

func newQuota(f *Fleet, action string) *quota {
	return &quota{fleet: f, key: quotaKey(action), limitKey: limitKey(action), pushKey: pushKey(action)}
}

// wait returns when the caller may call, or with ctx's cause if that comes first. A
// slot given up that way may be wasted: waste never breaks a quota. A replay is refused
// with a *ClosedError when it would take from live events more than its share.
func (q *quota) wait(ctx context.Context, ask Ask) error {
	for width := 1; ; {
		if q.limit() == 0 {
			return sleepUntil(ctx, q.pushed())
		}
		w := &waiter{Ask: ask, width: width, given: make(chan slot, 1)}
		q.enqueue(w)
		select {
		case s := <-w.given:
			if s.refused {
				return &ClosedError{Why: "replays leave room for live events", RetryIn: replayPause, Most: replayMost}
			}
			if err := sleepUntil(ctx, s.from); err != nil {
				return err
			}
			switch {
			case time.Now().After(s.until):
				width = min(2*width, q.widest())
			case !s.server.Before(q.void()):
				return nil
			}
		case <-ctx.Done():
			q.leave(w)
			return context.Cause(ctx)
		}
	}
}

// widest is how many slots a late caller takes at most.
func (q *quota) widest() int {
	return max(widest, int(widestTime/max(1, q.gap(q.fleet.clock.now()))))
}

func (q *quota) enqueue(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, w)
	if !q.booking {
		q.booking = true
		q.fleet.tasks.Go(q.book)
	}
}

func (q *quota) leave(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(other *waiter) bool { return other == w })
}

// want gives those who wait; if nobody does, book ends.
func (q *quota) want() []*waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.booking = len(q.waiting) > 0
	return slices.Clone(q.waiting)
}

// book reserves for those who wait, until nobody does or the worker has left.
func (q *quota) book() {
	for {
		waiting := q.want()
		if len(waiting) == 0 {
			return
		}
		pause, err := q.reserve(q.fleet.ctx, waiting)
		if err != nil {
			pause = q.fleet.unreachable("the quota", err)
		}
		if pause > 0 && sleep(q.fleet.ctx, pause) != nil {
			q.mu.Lock()
			q.booking = false
			q.mu.Unlock()
			return
		}
	}
}

// reserve takes slots for the first of those who wait, or says how long to pause.
func (q *quota) reserve(ctx context.Context, waiting []*waiter) (pause time.Duration, err error) {
	if err := q.refresh(ctx); err != nil {
		return 0, err
	}
	now := q.fleet.clock.now()
	gap := q.gap(now)
	if gap == 0 { // the limit was taken away meanwhile
		for _, w := range waiting {
			q.give(w, slot{from: time.Now(), until: time.Now().Add(time.Hour), server: now})
		}
		return 0, nil
	}
	most := ahead(gap)
	if !q.fleet.clock.settled(most) { // slots given out before the server's clock moved run out first
		q.known = false
		return most / 2, nil
	}
	from := latest(latest(q.record.free(q.at.At), q.lost), q.void())
	full := from.Sub(now)
	if waiting = q.refuse(waiting, now, full); len(waiting) == 0 {
		return 0, nil
	}
	if full > most-gap {
		q.known = q.known && q.crowd == 1 // 0 is unknown: others may well have written
		return min(full-(most-gap)+q.scatter(), longestPause), nil
	}
	next := q.record
	next.From, next.Gap, next.Slots, next.Times = from, gap, 0, q.record.Times+1
	served, room := 0, int((most-max(full, 0))/gap)
	for _, w := range waiting {
		if served > 0 && next.Slots+w.width > room {
			break
		}
		served, next.Slots = served+1, next.Slots+w.width
		if w.Replay {
			// From now on, lest what they had beyond their share be held against them.
			next.Replay = now.Add(time.Duration(float64(gap) / q.fleet.cfg.ReplayShare))
		} else {
			next.Live = now
		}
	}
	next.count(now, next.Slots)
	first, err := q.write(ctx, next)
	if errors.Is(err, kv.ErrStale) {
		q.known = false
		return rand.N(time.Millisecond), nil //nolint:gosec // spreads load, guards nothing
	}
	if err != nil || first.IsZero() {
		q.known = false
		return 0, err
	}
	for _, w := range waiting[:served] {
		here := q.fleet.clock.here(first)
		q.give(w, slot{from: here, until: here.Add(time.Duration(w.width-1)*gap + slotStale), server: first})
		first = first.Add(time.Duration(w.width) * gap)
	}
	return 0, nil
}

func (q *quota) give(w *waiter, s slot) {
	q.leave(w)
	w.given <- s
}

// write stores a reservation and gives its first slot, by the server's clock; the zero
// time if others have written since, so that we cannot know it, or if the server's clock
// has been put back. That reservation is wasted.
func (q *quota) write(ctx context.Context, next reservation) (first time.Time, err error) {
	value, err := json.Marshal(next)
	if err != nil {
		return first, fmt.Errorf("encode reservation: %w", err)
	}
	sent := time.Now()
	rev, err := q.fleet.bucket.Put(ctx, q.key, value, q.at.Rev, 0)
	if err != nil {
		return first, err
	}
	confirmed := time.Now()
	if others := next.Times - q.mine; q.crowd == 0 {
		q.crowd = others
	} else {
		q.crowd = (q.crowd + others + 1) / 2
	}
	q.mine = next.Times
	if q.lost.IsZero() && next.From.After(q.fleet.clock.latest()) && q.fleet.clock.fresh(clockFresh) {
		// It was stored before that, and need not be known when. Under load it is nearly
		// always so: one message less, and nothing wasted if others have written meanwhile.
		q.record, q.at, q.known = next, kv.Entry{Rev: rev}, q.crowd <= 1
		return next.From, nil
	}
	stored, err := q.fleet.bucket.Get(ctx, q.key)
	if err != nil || stored.Rev != rev {
		return first, err
	}
	q.fleet.clock.saw(stored.At, sent, confirmed)
	first = next.first(stored.At)
	if !q.fleet.clock.settled(ahead(next.Gap)) || first.Sub(q.fleet.clock.now()) > ahead(next.Gap)+clockSlack {
		return time.Time{}, nil
	}
	q.lost = time.Time{}
	q.record, q.at, q.known = next, stored, q.crowd <= 1 // others will have written before we do again
	return first, nil
}

// refresh reads the record, unless it is as we left it.
func (q *quota) refresh(ctx context.Context) (err error) {
	asked := time.Now()
	if asked.Sub(q.asked) > forgotten {
		q.mine, q.crowd = 0, 0
	}
	q.asked = asked
	if !q.known {
		if q.at, err = q.fleet.bucket.Get(ctx, q.key); err != nil {
			return err
		}
		if err := q.read(ctx); err != nil {
			return err
		}
		q.known = true
	}
	if q.mine == 0 || q.mine > q.record.Times {
		q.mine = q.record.Times
	}
	return nil
}

// read takes in what was stored. A record that is gone, cannot be read, or was set by a
// server's clock that has been put back since, is begun anew: behind the slots that may
// have been given out of it.
func (q *quota) read(ctx context.Context) error {
	f := q.fleet
	now := f.clock.now()
	most, lost := ahead(q.gap(now)), q.record.Times > 0
	q.record = reservation{}
	if q.at.Value != nil {
		if err := json.Unmarshal(q.at.Value, &q.record); err != nil {
			q.record, lost = reservation{}, true
			if q.lost.IsZero() {
				q.fleet.log.Warn("the record of a quota cannot be read and is begun anew", "key", q.key, "why", err)
			}
		}
	}
	if future := func() bool { return q.record.free(q.at.At).Sub(f.clock.now()) > most+clockSlack }; future() {
		sent := time.Now()
		server, err := f.bucket.Time(ctx) // perhaps it is our idea of the time that is wrong
		if err != nil {
			return err
		}
		f.clock.saw(server, sent, time.Now())
		if now = f.clock.now(); future() {
			q.record, q.at.At, lost = reservation{}, time.Time{}, true
		}
	}
	switch {
	case q.record.Times > 0:
		q.lost = time.Time{}
	case lost && (q.lost.IsZero() || q.lost.Sub(now) > most):
		q.lost = now.Add(most)
	}
	return nil
}

// ahead is how far ahead slots of a gap are given out.
func ahead(gap time.Duration) time.Duration { return max(horizon, 2*gap) }

// scatter keeps those who compete from all coming back at once.
func (q *quota) scatter() time.Duration {
	crowd := q.crowd
	if crowd == 0 {
		crowd = q.record.Times - q.mine
	}
	return rand.N(time.Duration(min(max(crowd, 1), 1000)) * spread) //nolint:gosec // as above
}

func quotaKey(action string) string { return "quota." + action }

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// sleepUntil waits for t; the zero time is now.
func sleepUntil(ctx context.Context, t time.Time) error {
	if t.IsZero() {
		return context.Cause(ctx)
	}
	return sleep(ctx, time.Until(t))
}

func sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil || d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
