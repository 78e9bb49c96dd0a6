package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// Overdue reports whether an event was handed to a worker so long ago that it should
// have been acknowledged, had all gone well.
func Overdue(c *jetstream.ConsumerInfo, m *jetstream.RawStreamMsg, ackWait time.Duration) bool {
	return m.Sequence <= c.Delivered.Stream && c.TimeStamp.Sub(m.Time) >= 2*ackWait
}

// perLookup is how many events are looked up at once.
const perLookup = 200

// Settled gives the sequences of those events that have their result: all is done about
// them but the acknowledgement. For a replay that is its success.
func Settled(ctx context.Context, ledger *stream.Lookup, topo topology.Names, r event.Route, events []*jetstream.RawStreamMsg) ([]uint64, error) {
	var settled []uint64
	for some := range slices.Chunk(events, perLookup) {
		wanted := map[string][]uint64{} // sequences, by the subject of the result
		for _, m := range some {
			e, err := event.Parse(r.Type, m.Header, m.Data)
			if err != nil {
				continue
			}
			key := event.Key(e.Source(), e.ID())
			results := []string{topo.ResultSubject(r.Success, key)}
			if replays, _ := dlq.Generation(m.Header); replays == 0 {
				results = append(results, topo.ResultSubject(r.Failure, key))
			}
			for _, subject := range results {
				wanted[subject] = append(wanted[subject], m.Sequence)
			}
		}
		found, err := ledger.Last(ctx, slices.Collect(maps.Keys(wanted))...)
		if err != nil {
			return nil, fmt.Errorf("look for results: %w", err)
		}
		for subject := range found {
			settled = append(settled, wanted[subject]...)
		}
	}
	slices.Sort(settled)
	return slices.Compact(settled), nil
}
