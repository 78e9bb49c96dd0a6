package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/topology"
)

const (
	// oldEvent is when an event counts as having waited too long.
	oldEvent = time.Hour
	// quiet is how long nothing may be handed out while events wait. A lane that is held
	// or whose breaker is open tries one event every half minute.
	quiet = 10 * time.Minute
	// oldest is how many events of a lane are looked at one by one.
	oldest = 20
)

// lanes tells what waits on each lane and whether somebody takes it.
func (b *broker) lanes(ctx context.Context, pauses map[string]fleet.Pause) {
	heads, errs := make([]peeked, len(b.Routes)), make([]error, len(b.Routes))
	stream := b.Topology.EventsStream()
	var asked sync.WaitGroup
	for i, r := range b.Routes {
		if b.consumers[topology.Consumer(r.Type)] != nil && !b.denied[directGet+stream] {
			asked.Go(func() { heads[i], errs[i] = b.peek(ctx, stream, b.Topology.EventSubject(r.Type), oldest) })
		}
	}
	asked.Wait()
	b.heads = map[string]peeked{}
	for i, r := range b.Routes {
		c := b.consumers[topology.Consumer(r.Type)]
		switch {
		case c == nil: // said by now
		case errs[i] != nil:
			b.tell.warn("lane "+r.Type, "see the findings on stream "+stream, "its events could not be looked at: %s", b.silence(errs[i]))
		default:
			b.heads[r.Type] = heads[i]
			b.lane(r, c, heads[i], pauses[r.Type])
		}
	}
}

// lane speaks of one lane. Its head is empty if no event waits or none may be seen.
func (b *broker) lane(r event.Route, c *jetstream.ConsumerInfo, head peeked, note fleet.Pause) {
	check := "lane " + r.Type
	found := fmt.Sprintf("%d waiting, %d in hand or to be tried again", c.NumPending, c.NumAckPending)
	if until, paused := topology.Paused(c); paused {
		end := "until somebody resumes it"
		if !until.IsZero() {
			end = "until " + until.UTC().Format(time.DateTime) + " UTC"
		}
		why := "no reason on record"
		if note.Until.Equal(until) && note.Why != "" { // else it is about an earlier pause
			why = note.By + ": " + note.Why
		}
		b.tell.warn(check, "`worker resume "+r.Type+"` when the reason is gone", "paused %s (%s); %s", end, why, found)
		return
	}
	if len(head.first) == 0 {
		b.tell.ok(check, "%s", found)
		return
	}
	waited, still := c.TimeStamp.Sub(head.first[0].Time), c.TimeStamp.Sub(lastMove(c, head))
	found += ", the oldest for " + age(waited)
	limit := max(quiet, 5*b.Topology.AckWait)
	switch {
	case c.NumPending > 0 && still > limit && c.NumWaiting == 0:
		b.tell.bad(check, "start a worker, or see why the one there is takes none: `worker status`, /readyz",
			"%s; nobody has asked for one for %s", found, age(still))
	case c.NumPending > 0 && still > limit:
		b.tell.bad(check, "see the findings on the consumer; else move it to another server (`nats consumer cluster down`) or restart this one: that loses nothing",
			"%s; workers ask for them and the server has handed out none for %s", found, age(still))
	case still > limit:
		b.tell.warn(check, "all is well if WORKER_BACKOFF_MAX is as long; else see whether a worker is there that asks for them",
			"%s; none has come again for %s", found, age(still))
	case waited > oldEvent:
		b.tell.warn(check, "`worker status` shows what holds the lane up", "%s", found)
	default:
		b.tell.ok(check, "%s", found)
	}
}

// lastMove is when the lane last did something: handed out an event, or let one go,
// or, when it never did, was given its oldest.
func lastMove(c *jetstream.ConsumerInfo, head peeked) time.Time {
	last := c.Created
	if at := head.first[0].Time; at.After(last) {
		last = at
	}
	for _, at := range []*time.Time{c.Delivered.Last, c.AckFloor.Last} {
		if at != nil && at.After(last) {
			last = *at
		}
	}
	return last
}
