package fleet

import (
	"context"
	"time"
)

const (
	// paceFloor is the slowest pace a throttled action falls to, in calls per second.
	paceFloor = 1.0
	// paceClimb is how much pace comes back in each second without a throttled answer,
	// in parts of the limit: half the pace is back after ten seconds.
	paceClimb = 0.05
	// pushOnce is the time in which throttled answers count as one: calls in flight
	// together are refused together, and each halving the pace would stop the lane.
	pushOnce = time.Second
	// pushTTL is how long a throttled answer is remembered: the pace has long been back.
	pushTTL = 2 * time.Minute
)

// push is what a throttled answer has done to an action. Times are the server's.
type push struct {
	At   time.Time `json:"at"`   // when the answer came
	Void time.Time `json:"void"` // no call before this
	Pace float64   `json:"pace"` // calls per second at At; it climbs from there
}

// Limit is a limit an operator has set for an action in place of WORKER_RATE.
type Limit struct {
	Rate int       `json:"rate"` // calls per second; 0 is no limit
	Why  string    `json:"why"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// Pause is why an operator has stopped a lane. The broker does the stopping.
type Pause struct {
	Why   string    `json:"why"`
	By    string    `json:"by"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"` // as the broker was told; zero is until somebody resumes it
}

// limit is the calls per second the action may make at most; 0 is no limit.
func (q *quota) limit() int {
	if l := q.fleet.agreed.get(q.limitKey).rate; !l.At.IsZero() {
		return l.Rate
	}
	return q.fleet.cfg.Rate
}

// pace is the calls per second the action makes at present; 0 is no limit.
func (q *quota) pace(now time.Time) float64 {
	return q.last(now).pace(float64(q.limit()), now)
}

func (p push) pace(limit float64, now time.Time) float64 {
	if p.At.IsZero() {
		return limit
	}
	// A worker without a limit, if there is one, does not know what to halve.
	from := max(p.Pace, min(paceFloor, limit))
	return min(limit, from+max(0, now.Sub(p.At).Seconds())*paceClimb*limit)
}

// last is the push in force; none if it was set by a server's clock put back since.
func (q *quota) last(now time.Time) push {
	if p := q.fleet.agreed.get(q.pushKey).push; !p.At.After(now.Add(clockSlack)) {
		return p
	}
	return push{}
}

// gap is the time between two slots.
func (q *quota) gap(now time.Time) time.Duration {
	pace := q.pace(now)
	if pace == 0 {
		return 0
	}
	return time.Duration((1 + slotMargin) / pace * float64(time.Second))
}

// void is the moment, by the server's clock, before which no slot is good.
func (q *quota) void() time.Time { return q.last(q.fleet.clock.now()).Void }

// pushed is the same moment by our own clock; the zero time if it is past.
func (q *quota) pushed() time.Time {
	void := q.void()
	if void.IsZero() || !void.After(q.fleet.clock.now()) {
		return time.Time{}
	}
	return q.fleet.clock.here(void)
}

// push puts every slot off by at least d after a throttled answer, those that were
// given out too, and halves the pace: here at once, and in the whole fleet.
func (q *quota) push(ctx context.Context, d time.Duration) {
	f, limit := q.fleet, float64(q.limit())
	edit := func(p *push, now time.Time) (changed bool, keep time.Duration) {
		if void := now.Add(d); void.Sub(p.Void) > pushOnce/10 { // calls in flight together are refused together
			p.Void, changed = void, true
		}
		if now.Sub(p.At) >= pushOnce {
			p.Pace, p.At, changed = max(p.pace(limit, now)/2, min(paceFloor, limit)), now, true
		}
		return changed, d + pushTTL
	}
	f.agreed.mu.Lock()
	r := f.agreed.records[q.pushKey]
	edit(&r.push, f.clock.now())
	f.agreed.records[q.pushKey] = r
	f.agreed.mu.Unlock()
	if _, err := alter(ctx, f.bucket, f.clock, q.pushKey, f.learn, edit); err != nil {
		f.unreachable("a throttled answer", err)
	}
}

func limitKey(action string) string { return gateKeys + "limit." + action }
func pushKey(action string) string  { return gateKeys + "push." + action }
