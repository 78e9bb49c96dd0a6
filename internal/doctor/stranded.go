package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/reconcile"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// stranded looks for events that wait for nobody, or come again and again.
func (b *broker) stranded(ctx context.Context) {
	if b.streams[b.Topology.EventsStream()] == nil {
		return
	}
	sound := b.unheld(ctx)
	sound = b.homeless(ctx) && sound
	sound = b.restless(ctx) && sound
	for _, r := range b.Routes {
		if c := b.consumers[topology.Consumer(r.Type)]; c != nil {
			sound = b.acknowledged(ctx, r, c, b.heads[r.Type]) && sound
		}
	}
	switch {
	case !sound:
	case b.denied[directGet+b.Topology.EventsStream()]:
		b.tell.ok("stranded", "no event waits where no worker gets it; the events themselves this user may not read")
	default:
		b.tell.ok("stranded", "no event waits where no worker gets it, none comes again and again")
	}
}

// unheld compares what is stored for each lane with what its consumer knows of. What
// the consumer has given up, for it had a limit of deliveries, stays in the stream
// and shows nowhere else.
func (b *broker) unheld(ctx context.Context) (sound bool) {
	const rounds = 3 // work goes on meanwhile: what differs by chance, differs once
	least := map[string]uint64{}
	for round := range rounds {
		before := b.held(ctx)
		stored, err := b.stored(ctx)
		if err != nil {
			b.tell.warn("stranded", "look again", "events could not be counted: %s", b.silence(err))
			return false
		}
		after := b.held(ctx)
		even := true
		for _, r := range b.Routes {
			name := topology.Consumer(r.Type)
			was, known := before[name]
			is, still := after[name]
			if !known || !still || b.consumers[name].Config.FilterSubject != b.Topology.EventSubject(r.Type) {
				continue
			}
			more := stored[b.Topology.EventSubject(r.Type)]
			more -= min(more, max(was, is))
			if round > 0 {
				more = min(more, least[r.Type])
			}
			least[r.Type] = more
			even = even && more == 0
		}
		if even {
			return true
		}
		pause(ctx, 100*time.Millisecond)
	}
	sound = true
	for _, r := range b.Routes {
		if n := least[r.Type]; n > 0 {
			sound = false
			b.tell.bad("stranded", fmt.Sprintf("run worker setup, which lifts the limit, then `nats consumer reset %s %s` hands them out again",
				b.Topology.EventsStream(), topology.Consumer(r.Type)),
				"%d events of %s are stored and their consumer has given them up: it had a limit of deliveries", n, r.Type)
		}
	}
	return sound
}

// held is how many events each consumer knows of: waiting, in hand, or to come again.
func (b *broker) held(ctx context.Context) map[string]uint64 {
	held := map[string]uint64{}
	for name := range b.consumers {
		if c, err := b.consumer(ctx, name); err == nil {
			held[name] = c.NumPending + uint64(c.NumAckPending) //nolint:gosec // a count
		}
	}
	return held
}

// stored is how many events are on each subject.
func (b *broker) stored(ctx context.Context) (map[string]uint64, error) {
	ctx, cancel := b.patient(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, b.Topology.EventsStream())
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return nil, err
	}
	return info.State.Subjects, nil
}

// homeless looks for events on subjects that no consumer has.
func (b *broker) homeless(ctx context.Context) (sound bool) {
	stored, err := b.stored(ctx)
	if err != nil {
		return true // said by unheld
	}
	for _, r := range b.Routes {
		if c := b.consumers[topology.Consumer(r.Type)]; c != nil {
			delete(stored, c.Config.FilterSubject)
		}
	}
	if len(stored) == 0 {
		return true
	}
	if b.denied[consumerList+b.Topology.EventsStream()] {
		b.tell.warn("stranded", "look again with a user that may publish to "+consumerList+b.Topology.EventsStream(),
			"there are events on %s, and this user may not see who takes them", some(slices.Sorted(maps.Keys(stored))))
		return false
	}
	ctx, cancel := b.patient(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, b.Topology.EventsStream())
	if err != nil {
		return true
	}
	list := s.ListConsumers(ctx)
	for c := range list.Info() {
		maps.DeleteFunc(stored, func(subject string, _ uint64) bool { return takes(c, subject) })
	}
	if err := list.Err(); err != nil {
		b.tell.warn("stranded", "look again", "consumers could not be listed: %s", b.silence(err))
		return false
	}
	for _, subject := range slices.Sorted(maps.Keys(stored)) {
		b.tell.bad("stranded", "run the version of the worker that knows this type, or worker setup if it is this one",
			"%d events on %s, which no consumer takes", stored[subject], subject)
	}
	return len(stored) == 0
}

// takes reports whether a consumer is for a subject of events; those have no wildcards.
func takes(c *jetstream.ConsumerInfo, subject string) bool {
	filters := c.Config.FilterSubjects
	if c.Config.FilterSubject != "" {
		filters = []string{c.Config.FilterSubject}
	}
	return len(filters) == 0 || slices.Contains(filters, subject)
}

const (
	// manyDeliveries is from where an event is spoken of. Behind a breaker or a hold an
	// event comes again every five minutes at most: so many are four hours of it.
	manyDeliveries = 50
	// records is how many attempts are read: those longest unchanged.
	records = 500
)

// restless looks through the attempts of events that have failed.
func (b *broker) restless(ctx context.Context) (sound bool) {
	name := b.Topology.FleetStream()
	if b.streams[name] == nil || b.denied[directGet+name] {
		return true
	}
	keys := "$KV." + b.Topology.FleetBucket() + ".attempts."
	p, err := b.peek(ctx, name, keys+">", records)
	if err != nil {
		b.tell.warn("stranded", "see the findings on stream "+name, "attempts could not be read: %s", b.silence(err))
		return false
	}
	var crashed, often []string
	for _, m := range p.first {
		var r fleet.Record
		if json.Unmarshal(m.Data, &r) != nil { // a key that was removed leaves a mark without one
			continue
		}
		consumer, seq, _ := strings.Cut(strings.TrimPrefix(m.Subject, keys), ".")
		if !b.waits(seq) {
			continue
		}
		switch {
		case r.Crashes > 0:
			crashed = append(crashed, fmt.Sprintf("event %s of %s (%d times)", seq, consumer, r.Crashes))
		case r.Seen >= manyDeliveries:
			often = append(often, fmt.Sprintf("event %s of %s (%d times, %d calls)", seq, consumer, r.Seen, r.Made))
		}
	}
	if len(crashed) > 0 {
		b.tell.warn("stranded", "look for `an event crashed its handler` and for killed workers in the logs; after WORKER_POISON_AFTER of them it is a letter",
			"handed out and ended without a trace: %s", some(crashed))
	}
	if len(often) > 0 {
		b.tell.warn("stranded", "`worker status` shows whether its lane or its tenant is held", "handed out again and again: %s", some(often))
	}
	return len(crashed)+len(often) == 0
}

// waits reports whether an event may still be in its stream: a record outlives it if
// somebody else removed it.
func (b *broker) waits(seq string) bool {
	n, err := strconv.ParseUint(seq, 10, 64)
	return err == nil && n >= b.streams[b.Topology.EventsStream()].State.FirstSeq && n < math.MaxUint64
}

// acknowledged looks for events among a lane's oldest that were handed out and have
// their result: all is done about them but the acknowledgement.
func (b *broker) acknowledged(ctx context.Context, r event.Route, c *jetstream.ConsumerInfo, head peeked) (sound bool) {
	ctx, cancel := b.patient(ctx)
	defer cancel()
	var handed []*jetstream.RawStreamMsg
	for _, m := range head.first {
		if reconcile.Overdue(c, m, b.Topology.AckWait) {
			handed = append(handed, m)
		}
	}
	ledger := stream.NewLookup(b.nc, b.Topology.ResultsStream())
	settled, err := reconcile.Settled(ctx, ledger, b.Topology.Names, r, handed)
	if err != nil || len(settled) == 0 {
		return true // a lookup that fails is said by others
	}
	var done []string
	for _, seq := range settled {
		done = append(done, strconv.FormatUint(seq, 10))
	}
	b.tell.warn("stranded", "each is acknowledged, without a call, when it comes again; if they stay, no worker takes the lane",
		"events of %s that have their result and were not acknowledged: %s", r.Type, some(done))
	return false
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
