package consumer

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The attributes of the metrics. None of them can take a value an event brings.
const (
	attrLane    = attribute.Key("lane")
	attrOutcome = attribute.Key("outcome")
	attrKind    = attribute.Key("kind")
	attrReason  = attribute.Key("reason")
)

// metrics are the lanes' instruments. Names carry their unit.
type metrics struct {
	events   metric.Int64Counter
	letters  metric.Int64Counter
	calls    metric.Int64Counter
	callTime metric.Float64Histogram
	waitTime metric.Float64Histogram
	duration metric.Float64Histogram
	age      metric.Float64Histogram
	inFlight metric.Int64UpDownCounter
}

// seconds are the bounds of every histogram of time: from an idle broker's answer
// to a backlog of hours.
var seconds = metric.WithExplicitBucketBoundaries(
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)

func newMetrics(m metric.Meter) (metrics, error) {
	var errs [8]error
	var ms metrics
	ms.events, errs[0] = m.Int64Counter("essworker_events_total",
		metric.WithDescription("Deliveries of events, by lane and what they came to."))
	ms.letters, errs[1] = m.Int64Counter("essworker_letters_total",
		metric.WithDescription("Dead letters written, by lane and reason."))
	ms.calls, errs[2] = m.Int64Counter("essworker_vendor_calls_total",
		metric.WithDescription("Vendor calls made, by lane and kind of fault, ok if none."))
	ms.callTime, errs[3] = m.Float64Histogram("essworker_vendor_call_seconds", seconds,
		metric.WithDescription("How long vendor calls took."))
	ms.waitTime, errs[4] = m.Float64Histogram("essworker_slot_wait_seconds", seconds,
		metric.WithDescription("How long events in hand waited for a slot of the quota."))
	ms.duration, errs[5] = m.Float64Histogram("essworker_event_seconds", seconds,
		metric.WithDescription("From the arrival of an event at the worker to its settlement."))
	ms.age, errs[6] = m.Float64Histogram("essworker_event_age_seconds", seconds,
		metric.WithDescription("From the acceptance of an event to its result."))
	ms.inFlight, errs[7] = m.Int64UpDownCounter("essworker_events_in_hand",
		metric.WithDescription("Events a worker holds at present."))
	return ms, errors.Join(errs[:]...)
}

// laneMetrics are the metrics of one lane, with the attribute sets made once.
type laneMetrics struct {
	metrics
	lane     metric.MeasurementOption
	outcomes map[string]metric.MeasurementOption
}

func (m metrics) of(lane string) laneMetrics {
	lm := laneMetrics{m, metric.WithAttributeSet(attribute.NewSet(attrLane.String(lane))), map[string]metric.MeasurementOption{}}
	for _, o := range []string{succeeded, duplicate, lettered, retrying, waited} {
		lm.outcomes[o] = metric.WithAttributeSet(attribute.NewSet(attrLane.String(lane), attrOutcome.String(o)))
	}
	return lm
}

// record counts one delivery.
func (m laneMetrics) record(ctx context.Context, d *delivery, t *trip) {
	m.events.Add(ctx, 1, m.outcomes[t.outcome])
	m.duration.Record(ctx, time.Since(t.start).Seconds(), m.outcomes[t.outcome])
	if t.made {
		kind := "ok"
		if t.fault != nil {
			kind = string(t.fault.Kind)
		}
		m.calls.Add(ctx, 1, m.lane, metric.WithAttributes(attrKind.String(kind)))
		m.callTime.Record(ctx, t.called.Seconds(), m.lane)
		m.waitTime.Record(ctx, t.waited.Seconds(), m.lane)
	}
	if t.outcome == lettered && t.err == nil {
		m.letters.Add(ctx, 1, m.lane, metric.WithAttributes(attrReason.String(string(t.reason))))
	}
	if t.result != "" && t.err == nil {
		m.age.Record(ctx, time.Since(d.stored).Seconds(), m.lane)
	}
}
