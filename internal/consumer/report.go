package consumer

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"essworker/internal/mask"
)

// report writes the one log line about a delivery, its metrics and the end of its span.
func (l *lane) report(ctx context.Context, d *delivery, t *trip) {
	span := trace.SpanFromContext(ctx)
	defer span.End()
	l.metrics.record(ctx, d, t)
	id := mask.Cut(mask.Text(d.event.ID()), 128)
	if span.IsRecording() {
		span.SetAttributes(attribute.String("essworker.outcome", t.cameTo()),
			semconv.MessagingMessageID(id), attribute.Int64("essworker.delivery", int64(d.number))) //nolint:gosec // a delivery count
	}
	level := slog.LevelInfo
	attrs := append(make([]slog.Attr, 0, 24),
		slog.String("outcome", t.outcome), slog.String("lane", l.route.Type),
		slog.String("event", id), slog.String("source", mask.Cut(mask.Text(d.event.Source()), 128)),
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
		span.SetAttributes(semconv.ErrorTypeKey.String(t.fault.Code))
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
		span.SetAttributes(semconv.ErrorTypeKey.String(unsettled))
		span.SetStatus(codes.Error, "not settled")
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
