package consumer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"essworker/internal/event"
	"essworker/internal/mask"
	"essworker/internal/topology"
)

// spans begins a lane's spans, one for each delivery.
type spans struct {
	tracer trace.Tracer
	name   string
	same   []trace.SpanStartOption // for all of them, made once
}

func newSpans(p trace.TracerProvider, typ, subject string) spans {
	return spans{p.Tracer("essworker/consumer"), "process " + typ, []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.operation.name", "process"),
			attribute.String("messaging.destination.name", subject),
			attribute.String("messaging.consumer.group.name", topology.Consumer(typ)),
		),
	}}
}

// start begins the span of one delivery, as a child of the event's own trace.
func (s spans) start(ctx context.Context, e event.Event, at time.Time) context.Context {
	if parent, state := event.TraceParent(e); parent != "" {
		carrier := propagation.MapCarrier{"traceparent": parent, "tracestate": state}
		ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	}
	ctx, _ = s.tracer.Start(ctx, s.name, append(slices.Clip(s.same), trace.WithTimestamp(at))...)
	return ctx
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

// report writes the one log line about a delivery, its metrics and the end of its span.
func (l *lane) report(ctx context.Context, d *delivery, t *trip) {
	span := trace.SpanFromContext(ctx)
	defer span.End()
	l.metrics.record(ctx, d, t)
	span.SetAttributes(attribute.String("essworker.outcome", t.outcome), attribute.Int64("essworker.delivery", int64(d.number))) //nolint:gosec // a delivery count
	level := slog.LevelInfo
	attrs := append(make([]slog.Attr, 0, 24),
		slog.String("outcome", t.outcome), slog.String("lane", l.route.Type),
		slog.String("event", mask.Text(mask.Cut(d.event.ID(), 128))), slog.String("source", mask.Text(mask.Cut(d.event.Source(), 128))),
		slog.Uint64("seq", d.seq), slog.Uint64("delivery", d.number), slog.Int("calls", t.record.Made),
		millis("age_ms", time.Since(d.stored)), millis("took_ms", time.Since(t.start)),
	)
	if t.made {
		attrs = append(attrs, millis("call_ms", t.called))
	}
	if t.waited > time.Millisecond {
		attrs = append(attrs, millis("waited_ms", t.waited))
	}
	if t.probe {
		attrs = append(attrs, slog.Bool("probe", true))
	}
	if t.fault != nil {
		level = slog.LevelWarn
		span.SetStatus(codes.Error, t.fault.Code)
		attrs = append(attrs, slog.String("kind", string(t.fault.Kind)), slog.String("code", t.fault.Code),
			slog.String("message", mask.Text(t.fault.Text())), slog.String("request_id", t.fault.RequestID))
	}
	if t.letter > 0 {
		attrs = append(attrs, slog.String("reason", string(t.reason)), slog.Uint64("letter", t.letter))
	}
	if t.delay > 0 {
		attrs = append(attrs, millis("again_in_ms", t.delay))
	}
	if t.err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("not_settled", mask.Text(t.err.Error())))
	}
	if sc := span.SpanContext(); sc.IsSampled() {
		attrs = append(attrs, slog.String("trace", sc.TraceID().String()))
	}
	l.log.LogAttrs(ctx, level, "event", attrs...)
}

// millis is a duration in milliseconds, to the microsecond.
func millis(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Round(time.Microsecond))/float64(time.Millisecond))
}
