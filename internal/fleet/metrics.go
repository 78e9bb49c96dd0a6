package fleet

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"essworker/internal/fault"
)

// metrics are the gates' instruments.
type metrics struct {
	transitions metric.Int64Counter
	codes       *fault.Labels
}

func newMetrics(m metric.Meter, f *Fleet) (metrics, error) {
	if m == nil {
		m = noop.Meter{}
	}
	transitions, err1 := m.Int64Counter("essworker.breaker.transitions", metric.WithUnit("{transition}"),
		metric.WithDescription("Changes of a lane's breaker: of the fleet's, counted by the worker that made it, or of a worker's own; to which state, and for an opening by which code."))
	open, err2 := m.Int64ObservableGauge("essworker.breaker.open",
		metric.WithDescription("1 while a lane's breaker is open or half-open, else 0."))
	held, err3 := m.Int64ObservableGauge("essworker.lane.held",
		metric.WithDescription("1 while a lane is held by a fault of ours (credentials, clock, permission, endpoint), else 0."))
	tenants, err4 := m.Int64ObservableGauge("essworker.tenants.held", metric.WithUnit("{tenant}"),
		metric.WithDescription("Tenants whose own events are held."))
	pace, err5 := m.Float64ObservableGauge("essworker.quota.pace",
		metric.WithDescription("Calls per second a lane is paced at; below the limit after throttled answers; 0 is no limit."))
	_, err6 := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, s := range f.States() {
			lane := metric.WithAttributes(attribute.String("lane", s.Lane))
			o.ObserveInt64(open, truth(s.Breaker != "closed"), lane)
			o.ObserveInt64(held, truth(s.Held != ""), lane)
			o.ObserveFloat64(pace, s.Pace, lane)
		}
		o.ObserveInt64(tenants, int64(len(f.HeldTenants())))
		return nil
	}, open, held, tenants, pace)
	return metrics{transitions, &fault.Labels{}}, errors.Join(err1, err2, err3, err4, err5, err6)
}

func (m metrics) transition(lane, of, to, code string) {
	if code != "" {
		code = m.codes.Of(code)
	}
	m.transitions.Add(context.Background(), 1, metric.WithAttributes(
		attribute.String("lane", lane), attribute.String("of", of), attribute.String("to", to), attribute.String("code", code)))
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
