package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"essworker/internal/fault"
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
	inHand   metric.Int64ObservableUpDownCounter
	meter    metric.Meter
}

// seconds are the bounds of every histogram of time: from an idle broker's answer
// to a backlog of hours.
var seconds = metric.WithExplicitBucketBoundaries(
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)

func newMetrics(m metric.Meter) (metrics, error) {
	var errs [8]error
	ms := metrics{meter: m}
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
	ms.inHand, errs[7] = m.Int64ObservableUpDownCounter("essworker_events_in_hand",
		metric.WithDescription("Events a worker holds at present."))
	return ms, errors.Join(errs[:]...)
}

// laneMetrics are the metrics of one lane, with what they are counted under made once.
type laneMetrics struct {
	metrics
	lane     under
	outcomes map[string]under
	kinds    map[fault.Kind]under
	reasons  map[fault.Reason]under
}

// under is a set of attributes, in the forms that instruments take it.
type under struct {
	any    metric.MeasurementOption
	add    []metric.AddOption
	record []metric.RecordOption
}

func newUnder(attrs ...attribute.KeyValue) under {
	set := metric.WithAttributeSet(attribute.NewSet(attrs...))
	return under{set, []metric.AddOption{set}, []metric.RecordOption{set}}
}

// kindOK stands for the kind of a call without a fault.
const kindOK fault.Kind = "ok"

func (m metrics) of(lane string) laneMetrics {
	name := attrLane.String(lane)
	lm := laneMetrics{m, newUnder(name), map[string]under{}, map[fault.Kind]under{}, map[fault.Reason]under{}}
	for _, o := range []string{succeeded, duplicate, lettered, retrying, waited} {
		lm.outcomes[o] = newUnder(name, attrOutcome.String(o))
	}
	for _, k := range []fault.Kind{kindOK, fault.Transient, fault.Throttled, fault.Misconfigured, fault.Permanent} {
		lm.kinds[k] = newUnder(name, attrKind.String(string(k)))
	}
	for _, r := range []fault.Reason{fault.Invalid, fault.Rejected, fault.Exhausted, fault.Poison, fault.Expired} {
		lm.reasons[r] = newUnder(name, attrReason.String(string(r)))
	}
	return lm
}

// watch gives out how many events are in hand whenever somebody asks, until stop.
func (m *laneMetrics) watch(h *hand) (stop func(), err error) {
	r, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(m.inHand, int64(h.count()), m.lane.any)
		return nil
	}, m.inHand)
	if err != nil {
		return nil, fmt.Errorf("metric of events in hand: %w", err)
	}
	return func() { _ = r.Unregister() }, nil
}

// record counts one delivery.
func (m *laneMetrics) record(ctx context.Context, d *delivery, t *trip) {
	now := time.Now()
	outcome := m.outcomes[t.outcome]
	m.events.Add(ctx, 1, outcome.add...)
	m.duration.Record(ctx, now.Sub(t.start).Seconds(), outcome.record...)
	if t.made {
		kind := kindOK
		if t.fault != nil {
			kind = t.fault.Kind
		}
		m.calls.Add(ctx, 1, m.kinds[kind].add...)
		m.callTime.Record(ctx, t.called.Seconds(), m.lane.record...)
		m.waitTime.Record(ctx, t.waited.Seconds(), m.lane.record...)
	}
	if t.outcome == lettered && t.err == nil {
		m.letters.Add(ctx, 1, m.reasons[t.reason].add...)
	}
	if t.result != "" && t.err == nil {
		m.age.Record(ctx, now.Sub(d.stored).Seconds(), m.lane.record...)
	}
}
