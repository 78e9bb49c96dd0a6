package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// State is a lane's in one word; of several that apply, the one an operator should
// look at first.
type State string

// The states of a lane, the one to look at first before the others.
const (
	Missing   State = "not set up" // its consumer is not there
	Paused    State = "paused"     // by an operator
	Held      State = "held"       // by a fault of ours: credential, endpoint, permission
	Open      State = "open"       // the breaker
	Probing   State = "probing"    // the breaker or a hold, and somebody asks just now
	NoWorker  State = "no worker"
	Throttled State = "throttled" // the vendor has slowed it down
	Working   State = "working"
	Idle      State = "idle"
)

// Lane is one event type's.
type Lane struct {
	Type     string
	Consumer string
	Action   string // as fleet.ActionOf has it
	State    State
	// Waiting, Calls and Retry divide the backlog; their sum is exact. Calls is the
	// workers' word, up to ten seconds old. Retry may hold some that a worker has again.
	Waiting uint64 // for their turn, in the stream or in a worker's hand
	Calls   uint64 // being called for
	Retry   uint64 // come again later: a worker has given them back
	Oldest  time.Time
	Quota   Quota
	Shut    []fleet.Bar // what keeps the whole lane back
	Pause   Pause       // if State is Paused
	Workers int         // that have the lane
	Letters map[fault.Reason]uint64
	// Empty is when the backlog will be gone, as things are, from now on; less than 0 is
	// unknown, or never.
	Empty time.Duration
}

// Backlog is how many events are not settled.
func (l Lane) Backlog() uint64 { return l.Waiting + l.Calls + l.Retry }

// Pause is an operator's. Without a note somebody has used another tool.
type Pause struct {
	Until time.Time    // zero is until somebody resumes it
	Note  *fleet.Pause // who and why
}

// reading is what the streams say of one lane.
type reading struct {
	info   *jetstream.ConsumerInfo // nil if there is no consumer
	back   uint64                  // events that were given back, about
	oldest time.Time               // event that is not settled
	fresh  time.Time               // oldest event that nobody was given yet
}

func (r *Reader) read(ctx context.Context, route event.Route) (got reading, err error) {
	name := topology.Consumer(route.Type)
	c, err := r.js.Consumer(ctx, r.topo.EventsStream(), name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return got, nil
	}
	if err != nil {
		return got, fmt.Errorf("read consumer %q: %w", name, err)
	}
	got.info = c.CachedInfo()
	if got.info.NumPending+uint64(got.info.NumAckPending) == 0 { //nolint:gosec // a count
		return got, nil
	}
	if got.info.NumAckPending > 0 {
		if got.back, err = r.office.HandedBack(ctx, name); err != nil {
			return got, err
		}
	}
	subject := r.topo.EventSubject(route.Type)
	first, at, err := stream.First(ctx, r.nc, r.topo.EventsStream(), subject, 1)
	if got.oldest = at; err == nil && got.info.NumPending > 0 {
		if got.fresh = at; first <= got.info.Delivered.Stream {
			_, got.fresh, err = stream.First(ctx, r.nc, r.topo.EventsStream(), subject, got.info.Delivered.Stream+1)
		}
	}
	if err != nil && !errors.Is(err, stream.ErrNoMessage) { // settled meanwhile
		return got, err
	}
	return got, nil
}

// laneOf puts together what the streams and the fleet's records say of a lane.
func laneOf(route event.Route, got reading, v fleet.Overview, now time.Time) Lane {
	action := fleet.ActionOf(route)
	l := Lane{
		Type: route.Type, Consumer: topology.Consumer(route.Type), Action: action,
		Oldest: got.oldest, Quota: quotaOf(action, v, now), Empty: -1,
	}
	var calls uint64
	credentials := map[string]bool{}
	for _, w := range v.Workers {
		share, ok := w.Lanes[route.Type]
		if ok || len(w.Lanes) == 0 { // one that has just started has not said yet which lanes it has
			l.Workers++
		}
		calls += uint64(share.Calls) //nolint:gosec // a count
		if ok {
			credentials[share.Credential] = true
		}
	}
	for _, b := range v.Bars {
		if b.Kind == fleet.Breaker && b.Name == route.Type || b.Kind == fleet.Action && b.Name == action ||
			b.Kind == fleet.Credential && (credentials[b.Name] || len(credentials) == 0 && b.Name == route.Product) {
			l.Shut = append(l.Shut, b)
		}
	}
	if got.info == nil {
		l.State = Missing
		return l
	}
	given := uint64(got.info.NumAckPending) //nolint:gosec // a count
	l.Calls = min(calls, given)
	l.Retry = min(got.back, given-l.Calls)
	l.Waiting = got.info.NumPending + given - l.Calls - l.Retry
	var paused bool
	if l.Pause.Until, paused = topology.Paused(got.info); paused {
		if note, ok := v.Pauses[route.Type]; ok && note.Until.Equal(l.Pause.Until) {
			l.Pause.Note = &note
		}
	}
	l.State = l.state(paused, now)
	switch {
	case l.Backlog() == 0:
		l.Empty = 0
	case l.State == Working || l.State == Throttled:
		l.Empty = empty(l.Backlog(), l.Quota, got.fresh, now)
	}
	return l
}

func (l Lane) state(paused bool, now time.Time) State {
	shut := Open
	for _, b := range l.Shut {
		if b.Kind != fleet.Breaker {
			shut = Held
		}
	}
	for _, b := range l.Shut {
		if b.Probe != nil && b.Probe.Until.After(now) {
			shut = Probing
		}
	}
	switch {
	case paused:
		return Paused
	case len(l.Shut) > 0:
		return shut
	case l.Workers == 0:
		return NoWorker
	case !l.Quota.Throttled.IsZero():
		return Throttled
	case l.Backlog() > 0:
		return Working
	}
	return Idle
}

// empty is how long a backlog lasts at the pace of the quota; or, if that is not what
// limits the lane while events have waited for their turn for more than a minute, at what
// the last minute has brought: then it is the vendor's speed, or the number of workers.
func empty(backlog uint64, q Quota, fresh, now time.Time) time.Duration {
	pace := q.Pace
	if used := q.Used / 60; !q.Full && used > 0 && !fresh.IsZero() && now.Sub(fresh) > time.Minute {
		pace = min(used, pace)
	}
	if pace <= 0 {
		return -1
	}
	return time.Duration(float64(backlog) / pace * float64(time.Second))
}
