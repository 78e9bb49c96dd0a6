package essapi

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"essworker/internal/fault"
)

// scope names the instrumentation of this package.
const scope = "essworker/essapi"

// Attributes of spans and metrics that are ours. All else follows the semantic
// conventions for HTTP clients.
const (
	keyAction    = attribute.Key("ess.action")
	keyCode      = attribute.Key("ess.code") // the fault's
	keyKind      = attribute.Key("ess.kind") // the fault's
	keyRequestID = attribute.Key("ess.request_id")
	keyAlready   = attribute.Key("ess.already") // the vendor refused since it was so already
)

func spanOptions(endpoint *url.URL, action string) []trace.SpanStartOption {
	port, _ := strconv.Atoi(endpoint.Port()) // none, or checked by url.Parse
	if port == 0 {
		port = map[string]int{"http": 80, "https": 443}[endpoint.Scheme]
	}
	return []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			semconv.HTTPRequestMethodPost,
			semconv.ServerAddress(endpoint.Hostname()),
			semconv.ServerPort(port),
			semconv.URLFull(endpoint.String()),
			keyAction.String(action),
		),
	}
}

// start begins the span of a call with the provider of the span around it, if that
// one is recorded; else none of its children would be.
func (a *action) start(ctx context.Context) (context.Context, trace.Span) {
	around := trace.SpanFromContext(ctx)
	if !around.IsRecording() {
		return ctx, noop.Span{}
	}
	return around.TracerProvider().Tracer(scope).Start(ctx, a.spanName, a.span...)
}

// record writes what came of a call to its span: codes and ids, no texts.
func record(span trace.Span, r reply, err error) {
	if !span.IsRecording() {
		return
	}
	if r.status != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(r.status))
	}
	if r.requestID != "" {
		span.SetAttributes(keyRequestID.String(r.requestID))
	}
	if r.already {
		span.SetAttributes(keyAlready.Bool(true))
	}
	if err == nil {
		return
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		span.SetAttributes(semconv.ErrorTypeKey.String("interrupted"))
		span.SetStatus(otelcodes.Error, "interrupted")
		return
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(f.Code), keyCode.String(f.Code), keyKind.String(string(f.Kind)))
	span.SetStatus(otelcodes.Error, f.Code)
}

// maxCodes is how many different codes stand in metrics; further ones count as
// otherCodes together, so that no answer can grow the metrics without end.
const (
	maxCodes   = 64
	otherCodes = "other"
)

type metrics struct {
	unknown, unmatched, reloads metric.Int64Counter

	mu   sync.Mutex
	seen map[string]bool
}

func newMetrics(m metric.Meter) (*metrics, error) {
	unknown, err := m.Int64Counter("ess_unknown_codes_total",
		metric.WithDescription("Vendor codes that the code table does not list."))
	if err != nil {
		return nil, fmt.Errorf("metric of unknown codes: %w", err)
	}
	unmatched, err := m.Int64Counter("ess_unmatched_messages_total",
		metric.WithDescription("Vendor messages that had to decide and matched no known text."))
	if err != nil {
		return nil, fmt.Errorf("metric of unmatched messages: %w", err)
	}
	reloads, err := m.Int64Counter("ess_credential_reloads_total",
		metric.WithDescription("Looks at changed credential files, by outcome: taken or failed."))
	if err != nil {
		return nil, fmt.Errorf("metric of credential reloads: %w", err)
	}
	return &metrics{unknown: unknown, unmatched: unmatched, reloads: reloads, seen: make(map[string]bool)}, nil
}

// count counts what the tables did not know.
func (m *metrics) count(ctx context.Context, action, code string, v verdict) {
	if !v.unlisted && !v.unmatched {
		return
	}
	attrs := metric.WithAttributes(attribute.String("action", action), attribute.String("code", m.label(code)))
	if v.unlisted {
		m.unknown.Add(ctx, 1, attrs)
	}
	if v.unmatched {
		m.unmatched.Add(ctx, 1, attrs)
	}
}

func (m *metrics) label(code string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.seen[code] && len(m.seen) >= maxCodes {
		return otherCodes
	}
	m.seen[code] = true
	return code
}
