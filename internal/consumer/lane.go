package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

const (
	// seatsPaced is how many events of a paced lane wait in hand for their slot, or a
	// quarter of a second's worth if that is more: enough that the next slot never goes
	// unused, few enough that others find work.
	seatsPaced = 4
	// stuckAfter is when an event counts as stuck: so many ack waits, and the time one
	// call may take, since it was last seen to move.
	stuckAfter = 5
	// aheadTime is how long an event may wait for a slot with a worker whose vendor is
	// quick: a round trip to the server, in which slots would stand empty.
	aheadTime = 20 * time.Millisecond
	// settleGrace is what settling has left once calls in flight were cut off.
	settleGrace = 5 * time.Second
)

// lane is the path of one event type: one consumer, one action, one gate.
type lane struct {
	cfg      Config
	topo     topology.Config
	route    event.Route
	nc       *nats.Conn
	js       jetstream.JetStream
	ledger   *stream.Lookup // of the results: what has one is done
	results  *stream.Publisher
	headers  sync.Pool // of nats.Header, for results
	gate     *fleet.Gate
	attempts *fleet.Attempts
	letters  *dlq.Box
	log      *slog.Logger
	spans    spans
	metrics  laneMetrics
	policy   policy
	// callTimeout is how long one vendor call may take.
	callTimeout time.Duration
	consumer    string

	slots chan struct{}  // a call each
	idle  chan *delivery // to the goroutines that wait for their next event
	seats chan struct{}  // an event in hand that has not been called for yet, each
	taken int            // seats that the limit leaves empty
	hand  hand
	each  atomic.Int64 // how long an event keeps its slot lately, in nanoseconds
}

// run takes events until ctx ends, then sees the calls in flight through.
func (l *lane) run(ctx context.Context) error {
	unwatch, err := l.metrics.watch(&l.hand)
	if err != nil {
		return err
	}
	defer unwatch()
	work, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	last, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(l.cfg.Drain, func() { cut(fleet.ErrInterrupted) })
		time.AfterFunc(l.cfg.Drain+settleGrace, func() { end(fleet.ErrInterrupted) })
	})()

	var inFlight sync.WaitGroup
	beat, still := context.WithCancel(context.WithoutCancel(ctx))
	var beating sync.WaitGroup
	beating.Go(func() { l.hand.beat(beat, l.nc, l.topo.AckWait) })

	pull := newPuller(l.nc, l.topo.EventsStream(), l.consumer, 2*l.cfg.Concurrency, &l.hand, l.log)
	err = l.take(ctx, work, last, pull, &inFlight)
	close(l.idle)
	l.handBack(last, pull.withdraw())
	inFlight.Wait()
	still()
	beating.Wait()
	return err
}

// take is the loop: an open gate first, then a free slot, then an event.
func (l *lane) take(ctx, work, last context.Context, pull *puller, inFlight *sync.WaitGroup) error {
	for {
		l.seat()
		probe, err := l.enter(ctx, pull)
		if err != nil || !pull.reserve(ctx, l.slots, l.seats) {
			return nil //nolint:nilerr // the only error is the end of ctx, which is how a lane ends well
		}
		if l.taken < l.spare() { // the seat just got free, and is one too many
			l.taken++
			<-l.slots
			continue
		}
		d, err := l.next(ctx, pull, probe)
		if err != nil {
			l.release()
			if err := l.pause(ctx, err); err != nil {
				return err
			}
			continue
		}
		if probe {
			l.handle(ctx, work, last, d) // one at a time, and nothing beside it
		} else {
			l.dispatch(d, func(d *delivery) { l.handle(ctx, work, last, d) }, inFlight)
		}
	}
}

// enter waits at the gate. Before it waits, and before a probe, which has the lane to
// itself, what is on its way to the lane goes back: nobody would extend its deadline.
func (l *lane) enter(ctx context.Context, pull *puller) (probe bool, err error) {
	if probe, open := l.gate.Open(); !open || probe {
		l.handBack(ctx, pull.withdraw())
	}
	return l.gate.Enter(ctx)
}

// dispatch gives the event to a goroutine that has finished with an earlier one, or
// else starts one: a fresh stack would have to grow again for every event.
func (l *lane) dispatch(d *delivery, handle func(*delivery), hands *sync.WaitGroup) {
	select {
	case l.idle <- d:
	default:
		hands.Go(func() {
			handle(d)
			for d := range l.idle {
				handle(d)
			}
		})
	}
}

func (l *lane) release() { <-l.slots; <-l.seats }

// seat gives back the seats that a limit, which an operator may change, has left empty.
func (l *lane) seat() {
	for spare := l.spare(); l.taken > spare; l.taken-- {
		<-l.seats
	}
}

// spare is how many seats the limit leaves empty. One too many is taken once it is free.
func (l *lane) spare() int {
	if limit := l.gate.Limit(); limit > 0 {
		return max(0, cap(l.seats)-max(seatsPaced, limit/4))
	}
	return 0
}

// next takes one event.
func (l *lane) next(ctx context.Context, pull *puller, probe bool) (*delivery, error) {
	changed, closed := l.gate.Closed()
	if closed {
		return nil, errGate
	}
	if probe {
		return pull.next(ctx, 1, 0, changed)
	}
	free := min(cap(l.slots)-len(l.slots), cap(l.seats)-len(l.seats))
	return pull.next(ctx, 1+free, l.ahead(), changed)
}

// ahead is how many events are asked for beyond the free slots: as many as will have
// begun within aheadTime, by how long events have lately taken. A lane with a quota
// asks for none.
func (l *lane) ahead() int {
	each := l.each.Load()
	if l.gate.Limit() > 0 || each == 0 {
		return 0
	}
	n := int64(cap(l.slots))
	return int(min(n, n*int64(aheadTime)/each))
}

// took notes how long an event has kept its slot.
func (l *lane) took(d time.Duration) {
	each := l.each.Load()
	l.each.Store(each + (int64(d)-each)/16)
}

// pause draws the conclusion when no event came; its error ends the lane.
func (l *lane) pause(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // the end of ctx is how a lane ends well
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return fmt.Errorf("lane %s: %w", l.route.Type, err)
	case errors.Is(err, errGate):
		return nil
	}
	l.log.Warn("no events can be taken", "lane", l.route.Type, "why", err)
	select {
	case <-time.After(pullPause + jitter(pullPause)):
	case <-ctx.Done():
	}
	return nil
}

// handBack returns events that nothing was done with.
func (l *lane) handBack(ctx context.Context, came []*delivery) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleGrace)
	defer cancel()
	for _, d := range came {
		record, err := l.recall(ctx, d)
		if err == nil {
			err = l.wait(ctx, d, record, 0)
		}
		if err != nil {
			l.log.Warn("an event is not handed back and comes again after its ack wait", "lane", l.route.Type, "why", err)
		}
		l.hand.drop(d)
	}
}

// jitter is a random part of d, all of it included.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d) + 1 //nolint:gosec // spreads load, guards nothing
}
