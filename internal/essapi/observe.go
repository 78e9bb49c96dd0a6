package essapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

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

// givenUp is the type of the error of a call that was given up.
const givenUp = "interrupted"

// attributes are those of every request of an action, in spans and in metrics.
func attributes(endpoint *url.URL, action string) []attribute.KeyValue {
	port, _ := strconv.Atoi(endpoint.Port()) // none, or checked by url.Parse
	if port == 0 {
		port = map[string]int{"http": 80, "https": 443}[endpoint.Scheme]
	}
	return []attribute.KeyValue{
		semconv.HTTPRequestMethodPost,
		semconv.ServerAddress(endpoint.Hostname()),
		semconv.ServerPort(port),
		keyAction.String(action),
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
		span.SetAttributes(semconv.ErrorTypeKey.String(givenUp))
		span.SetStatus(otelcodes.Error, givenUp)
		return
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(f.Code), keyCode.String(f.Code), keyKind.String(string(f.Kind)))
	span.SetStatus(otelcodes.Error, f.Code)
}

type metrics struct {
	duration                    metric.Float64Histogram
	unknown, unmatched, reloads metric.Int64Counter
	labels                      fault.Labels
	ends                        sync.Map // ending: []metric.RecordOption, made once for each
}

// ending is what the duration of a request is counted under.
type ending struct {
	action *action
	status int
	err    string
}

func newMetrics(m metric.Meter) (*metrics, error) {
	duration, err := m.Float64Histogram("http.client.request.duration", metric.WithUnit("s"),
		metric.WithDescription("How long requests to the vendor took, until the answer was read."))
	if err != nil {
		return nil, fmt.Errorf("metric of requests: %w", err)
	}
	unknown, err := m.Int64Counter("ess.unknown_codes", metric.WithUnit("{answer}"),
		metric.WithDescription("Vendor codes that the code table does not list, by action and code."))
	if err != nil {
		return nil, fmt.Errorf("metric of unknown codes: %w", err)
	}
	unmatched, err := m.Int64Counter("ess.unmatched_messages", metric.WithUnit("{answer}"),
		metric.WithDescription("Vendor messages that had to decide and matched no known text, by action and code."))
	if err != nil {
		return nil, fmt.Errorf("metric of unmatched messages: %w", err)
	}
	reloads, err := m.Int64Counter("ess.credential_reloads", metric.WithUnit("{look}"),
		metric.WithDescription("Looks at changed credential files, by outcome: taken or failed."))
	if err != nil {
		return nil, fmt.Errorf("metric of credential reloads: %w", err)
	}
	return &metrics{duration: duration, unknown: unknown, unmatched: unmatched, reloads: reloads}, nil
}

// request counts one request, however it ended.
func (m *metrics) request(ctx context.Context, a *action, took time.Duration, r reply, err error) {
	end := ending{action: a, status: r.status}
	switch f, ok := errors.AsType[*fault.Error](err); {
	case r.status >= http.StatusBadRequest:
		end.err = strconv.Itoa(r.status)
	case r.status != 0 || err == nil:
	case ok:
		end.err = f.Code // ours: nothing came back
	default:
		end.err = givenUp
	}
	opts, ok := m.ends.Load(end)
	if !ok {
		attrs := slices.Clone(a.attrs)
		if end.status != 0 {
			attrs = append(attrs, semconv.HTTPResponseStatusCode(end.status))
		}
		if end.err != "" {
			attrs = append(attrs, semconv.ErrorTypeKey.String(end.err))
		}
		opts, _ = m.ends.LoadOrStore(end, []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs...))})
	}
	m.duration.Record(ctx, took.Seconds(), opts.([]metric.RecordOption)...)
}

// count counts what the tables did not know.
func (m *metrics) count(ctx context.Context, action, code string, v verdict) {
	if !v.unlisted && !v.unmatched {
		return
	}
	attrs := metric.WithAttributes(attribute.String("action", action), attribute.String("code", m.labels.Of(code)))
	if v.unlisted {
		m.unknown.Add(ctx, 1, attrs)
	}
	if v.unmatched {
		m.unmatched.Add(ctx, 1, attrs)
	}
}
