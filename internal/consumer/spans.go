package consumer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/topology"
)

// spans begins a lane's spans, by the semantic conventions for messaging: one for each
// delivery and, below it, one for each message that comes of it.
type spans struct {
	tracer  trace.Tracer
	name    string
	same    []attribute.KeyValue // of all deliveries
	letter  sends
	results map[string]sends // by type
}

// sends is what is the same in all spans of one kind of message that is stored.
type sends struct {
	name string
	same []trace.SpanStartOption
}

func newSpans(p trace.TracerProvider, route event.Route, topo topology.Names) spans {
	s := spans{
		tracer: p.Tracer("essworker/consumer"), name: "process " + route.Type,
		same:    processed(route.Type, topo.EventSubject(route.Type)),
		letter:  newSends(route.Type+" letter", topo.LetterSubject("{reason}", route.Type, "{key}")),
		results: map[string]sends{},
	}
	for _, typ := range []string{route.Success, route.Failure} {
		s.results[typ] = newSends(typ, topo.ResultSubject(typ, "{key}"))
	}
	return s
}

func newSends(what, template string) sends {
	return sends{"publish " + what, []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(sent(template)...),
	}}
}

// start begins the span of one delivery, as a child of the event's own trace, so that
// one trace tells all, and linked to it, as the conventions want it. The span of a replay
// is linked to the one that wrote the letter. Most spans are not sampled: what only a
// sampled one needs comes after that is known.
func (s spans) start(ctx context.Context, d *delivery, at time.Time) context.Context {
	parent, state := event.TraceParent(d.event)
	ctx = extract(ctx, parent, state)
	publisher := trace.SpanContextFromContext(ctx)
	ctx, span := s.tracer.Start(ctx, s.name, consumerSpan, trace.WithTimestamp(at))
	if !span.IsRecording() {
		return ctx
	}
	span.SetAttributes(s.same...)
	if publisher.IsValid() {
		span.AddLink(trace.Link{SpanContext: publisher})
	}
	replays, origin := dlq.Generation(d.msg.Header)
	if writer := trace.SpanContextFromContext(extract(context.Background(), dlq.TraceOf(d.msg.Header), "")); replays > 0 && writer.IsValid() {
		span.AddLink(trace.Link{SpanContext: writer, Attributes: []attribute.KeyValue{
			attribute.Int64("essworker.letter", int64(origin)), //nolint:gosec // a sequence number
		}})
	}
	return ctx
}

var consumerSpan = trace.WithSpanKind(trace.SpanKindConsumer)

// send stores a message within a span of its own.
func (s spans) send(ctx context.Context, what sends, store func(context.Context) error) error {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return store(ctx)
	}
	ctx, span := s.tracer.Start(ctx, what.name, what.same...)
	defer span.End()
	err := store(ctx)
	if err != nil {
		span.SetAttributes(semconv.ErrorTypeOther)
		span.SetStatus(codes.Error, "not stored")
	}
	return err
}

func extract(ctx context.Context, parent, state string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent, "tracestate": state})
}

// sampled is the span in ctx as a header if anybody will see it.
func sampled(ctx context.Context) string {
	if trace.SpanContextFromContext(ctx).IsSampled() {
		return traceParent(ctx)
	}
	return ""
}

// traceParent is the span in ctx as a header; a trace begins here when neither the
// event nor a tracer has brought one.
func traceParent(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
	}
	var id [24]byte
	_, _ = rand.Read(id[:]) // never fails
	return "00-" + hex.EncodeToString(id[:16]) + "-" + hex.EncodeToString(id[16:]) + "-00"
}
