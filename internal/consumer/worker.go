// Package consumer takes events from arrival to settlement.
//
// There is one lane per event type. lane.go is its loop, handle.go the straight
// line of one event, judge.go the whole retry policy, settle.go what follows from
// it. Waiting happens before an event is taken, or in hand with its deadline
// extended; never by sleeping on top of a deadline.
//
// An event is acknowledged only when its result, or its letter and failure result,
// are confirmed stored. Everything a worker does can therefore be cut off at any
// instant: the event comes again, and the ledger of results tells how far it got.
package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// Worker is everything the lanes need. All fields are required. The streams must
// exist (package topology makes them).
type Worker struct {
	Config     Config
	Topology   topology.Config
	NC         *nats.Conn
	JS         jetstream.JetStream
	Fleet      *fleet.Fleet
	Routes     []event.Route
	Credential func(product string) string // names the key a product is called with
	// CallTimeout is how long one vendor call may take: an event that has not moved for
	// longer is stuck.
	CallTimeout time.Duration
	Name        string // host/pid and version, for letters
	Log         *slog.Logger
	Tracer      trace.TracerProvider
	Meter       metric.MeterProvider
}

// Run works until ctx ends: then it stops taking events, sees the calls in flight
// through for up to Config.Drain, hands everything else back at once and returns
// nil. It returns an error only if it cannot work at all.
func (w Worker) Run(ctx context.Context) error {
	letters, err := dlq.Open(ctx, w.JS, w.Topology.Names, w.Name)
	if err != nil {
		return err
	}
	attempts, err := fleet.OpenAttempts(ctx, w.JS, w.Topology.FleetBucket())
	if err != nil {
		return err
	}
	metrics, err := newMetrics(w.Meter.Meter("essworker/consumer"))
	if err != nil {
		return fmt.Errorf("consumer metrics: %w", err)
	}
	lookup, results := stream.NewLookup(w.NC, w.Topology.ResultsStream()), stream.NewPublisher(w.NC)
	lanes, ctx := errgroup.WithContext(ctx)
	for _, r := range w.Routes {
		gate := w.Fleet.Gate(r, w.Credential(r.Product))
		l := &lane{
			cfg: w.Config, topo: w.Topology, route: r, nc: w.NC, js: w.JS,
			gate: gate, attempts: attempts, letters: letters, ledger: lookup, results: results,
			log: w.Log, spans: newSpans(w.Tracer, r, w.Topology.Names), metrics: metrics.of(r, w.Topology.Names),
			policy: w.policy(), callTimeout: w.CallTimeout,
			consumer: topology.Consumer(r.Type),
			idle:     make(chan *delivery),
			slots:    make(chan struct{}, w.Config.Concurrency),
			seats:    make(chan struct{}, w.Config.Concurrency),
			hand:     hand{held: map[*delivery]struct{}{}},
		}
		lanes.Go(func() error { return l.run(ctx) })
	}
	return lanes.Wait()
}

func (w Worker) policy() policy {
	return policy{
		MaxAttempts: w.Config.MaxAttempts,
		BackoffMin:  w.Config.BackoffMin,
		BackoffMax:  w.Config.BackoffMax,
		Probe:       2 * w.Fleet.ProbeEvery(),
	}
}
