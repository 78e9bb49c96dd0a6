package replay

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"essworker/internal/dlq"
)

// guardEvery is how often the letters are looked at for one that nobody has touched.
const guardEvery = 30 * time.Second

// guard is the alarm about letters that nobody looks after: the age of the oldest one
// that was never replayed.
type guard struct {
	office *Office
	oldest atomic.Int64 // when it failed, in Unix nanoseconds; 0 is none
}

// newGuard registers the metric; without a meter it does nothing.
func newGuard(o *Office, m metric.Meter) (*guard, error) {
	g := &guard{office: o}
	if m == nil {
		return g, nil
	}
	_, err := m.Float64ObservableGauge("essworker_letters_oldest_untouched_seconds",
		metric.WithDescription("Age of the oldest letter that was never replayed nor is to be ignored; 0 without one. The same at every worker."),
		metric.WithFloat64Callback(func(_ context.Context, out metric.Float64Observer) error {
			age := 0.0
			if at := g.oldest.Load(); at != 0 {
				age = max(0, time.Since(time.Unix(0, at)).Seconds())
			}
			out.Observe(age)
			return nil
		}))
	if err != nil {
		return nil, fmt.Errorf("replay metrics: %w", err)
	}
	return g, nil
}

// watch looks now and then until ctx ends.
func (g *guard) watch(ctx context.Context) {
	var letters dlq.Untouched
	for pause := time.Duration(0); ; pause = guardEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		switch err := letters.Look(ctx, g.office.nc, g.office.topo); {
		case err != nil: // the broker is away; others say so
		case letters.ID == 0:
			g.oldest.Store(0)
		default:
			g.oldest.Store(letters.FailedAt.UnixNano())
		}
	}
}
