package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/topology"
)

// The attributes of the metrics that are ours; all else follows the semantic
// conventions for messaging. None of them can take a value an event brings.
const (
	attrLane    = attribute.Key("lane")
	attrOutcome = attribute.Key("outcome")
	attrKind    = attribute.Key("kind")
	attrReason  = attribute.Key("reason")
	attrCode    = attribute.Key("code")
)

// metrics are the lanes' instruments.
type metrics struct {
	consumed metric.Int64Counter
	process  metric.Float64Histogram
	sent     metric.Int64Counter
	send     metric.Float64Histogram
	letters  metric.Int64Counter
	calls    metric.Int64Counter
	waitTime metric.Float64Histogram
	age      metric.Float64Histogram
	inHand   metric.Int64ObservableUpDownCounter
	meter    metric.Meter
	codes    *fault.Labels
}

func newMetrics(m metric.Meter) (metrics, error) {
	ms := metrics{meter: m, codes: &fault.Labels{}}
	var errs []error
	counter := func(into *metric.Int64Counter, name, unit, help string) {
		var err error
		*into, err = m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(help))
		errs = append(errs, err)
	}
	seconds := func(into *metric.Float64Histogram, name, help string) {
		var err error
		*into, err = m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(help))
		errs = append(errs, err)
	}
	counter(&ms.consumed, "messaging.client.consumed.messages", "{message}", "Deliveries of events, by lane and what they came to.")
	seconds(&ms.process, "messaging.process.duration", "From the arrival of an event at the worker to its settlement, by lane and what it came to.")
	counter(&ms.sent, "messaging.client.sent.messages", "{message}", "Results stored, by type.")
	seconds(&ms.send, "messaging.client.operation.duration", "How long it took until a result was confirmed stored, by type.")
	counter(&ms.letters, "essworker.letters", "{letter}", "Dead letters written, by lane, reason and code.")
	counter(&ms.calls, "essworker.vendor.calls", "{call}", "Vendor calls made, by lane and kind of fault, ok if none.")
	seconds(&ms.waitTime, "essworker.slot.wait", "How long events in hand waited for a slot of the quota, by lane.")
	seconds(&ms.age, "essworker.event.age", "From the acceptance of an event to its result, by lane.")
	var err error
	ms.inHand, err = m.Int64ObservableUpDownCounter("essworker.events.in_hand", metric.WithUnit("{event}"),
		metric.WithDescription("Events a worker holds at present, by lane."))
	return ms, errors.Join(append(errs, err)...)
}

// laneMetrics are the metrics of one lane, with what they are counted under made once.
type laneMetrics struct {
	metrics
	name     string
	lane     under
	outcomes map[string]under
	kinds    map[fault.Kind]under
	results  map[string]under
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

func (m metrics) of(route event.Route, topo topology.Names) laneMetrics {
	name := attrLane.String(route.Type)
	lm := laneMetrics{m, route.Type, newUnder(name), map[string]under{}, map[fault.Kind]under{}, map[string]under{}}
	for _, o := range []string{succeeded, duplicate, lettered, retrying, waited, unsettled} {
		attrs := append(processed(route.Type, topo.EventSubject(route.Type)), name, attrOutcome.String(o))
		if o == lettered || o == retrying || o == unsettled {
			attrs = append(attrs, semconv.ErrorTypeKey.String(o))
		}
		lm.outcomes[o] = newUnder(attrs...)
	}
	for _, k := range []fault.Kind{kindOK, fault.Transient, fault.Throttled, fault.Misconfigured, fault.Permanent} {
		lm.kinds[k] = newUnder(name, attrKind.String(string(k)))
	}
	for _, typ := range []string{route.Success, route.Failure} {
		lm.results[typ] = newUnder(append(sent(topo.ResultSubject(typ, "{key}")), name)...)
	}
	return lm
}

// processed are the semantic conventions' attributes of the work on an event.
func processed(typ, subject string) []attribute.KeyValue {
	return []attribute.KeyValue{
		messagingSystem, semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
		semconv.MessagingDestinationName(subject), semconv.MessagingConsumerGroupName(topology.Consumer(typ)),
	}
}

// sent are those of a message that is stored; its subject ends with a key of its own.
func sent(template string) []attribute.KeyValue {
	return []attribute.KeyValue{
		messagingSystem, semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("publish"),
		semconv.MessagingDestinationTemplate(template),
	}
}

var messagingSystem = semconv.MessagingSystemKey.String("nats")

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
	outcome := m.outcomes[t.cameTo()]
	m.consumed.Add(ctx, 1, outcome.add...)
	m.process.Record(ctx, now.Sub(t.start).Seconds(), outcome.record...)
	if t.made {
		kind := kindOK
		if t.fault != nil {
			kind = t.fault.Kind
		}
		m.calls.Add(ctx, 1, m.kinds[kind].add...)
		m.waitTime.Record(ctx, t.waited.Seconds(), m.lane.record...)
	}
	if t.outcome == lettered && t.err == nil {
		m.letters.Add(ctx, 1, metric.WithAttributes(
			attrLane.String(m.name), attrReason.String(string(t.reason)), attrCode.String(m.codes.Of(t.fault.Code))))
	}
	if t.result != "" && t.err == nil {
		// The server's clock may be ahead, and a sum that falls would read as a new start.
		m.age.Record(ctx, max(0, now.Sub(d.stored).Seconds()), m.lane.record...)
	}
}

// published counts a result that is stored.
func (m *laneMetrics) published(ctx context.Context, typ string, took time.Duration) {
	result := m.results[typ]
	m.sent.Add(ctx, 1, result.add...)
	m.send.Record(ctx, took.Seconds(), result.record...)
}
