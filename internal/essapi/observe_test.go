package essapi_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"essworker/internal/essapi"
)

func TestClient_spans(t *testing.T) {
	always := map[string]string{
		"http.request.method": "POST", "server.address": "ess.tencentcloudapi.com", "server.port": "443",
		"url.full": "https://ess.tencentcloudapi.com/", "ess.action": link,
	}
	refusal := `{"Response":{"Error":{"Code":"FailedOperation","Message":"` + personName + `用户未开通自动签"},"RequestId":"r1"}}`
	for _, tt := range []struct {
		name   string
		rt     http.RoundTripper
		status string
		extra  map[string]string
	}{
		{"success", says(200, successes[link]), "Unset", map[string]string{"http.response.status_code": "200", "ess.request_id": "s1"}},
		{"refusal", says(200, refusal), "Error", map[string]string{
			"http.response.status_code": "200", "ess.request_id": "r1",
			"error.type": "FailedOperation", "ess.code": "FailedOperation", "ess.kind": "permanent",
		}},
		{"bad gateway", says(502, personName), "Error", map[string]string{
			"http.response.status_code": "502", "error.type": "HTTP502", "ess.code": "HTTP502", "ess.kind": "transient",
		}},
		{"interrupted", wire(func(*http.Request) (*http.Response, error) { return nil, context.Canceled }), "Error", map[string]string{
			"error.type": "interrupted",
		}},
	} {
		spans := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		ctx, parent := provider.Tracer("test").Start(t.Context(), "event")
		if tt.name == "interrupted" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			cancel()
		}
		_, _ = call(ctx, newClient(t, tt.rt), link)

		ended := spans.Ended()
		if len(ended) != 1 {
			t.Fatalf("%s: %d spans, want 1", tt.name, len(ended))
		}
		s := ended[0]
		got := map[string]string{}
		for _, kv := range s.Attributes() {
			got[string(kv.Key)] = kv.Value.String()
		}
		want := maps.Clone(always)
		maps.Copy(want, tt.extra)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: attributes (-want +got):\n%s", tt.name, d)
		}
		if s.Name() != "POST "+link || s.SpanKind() != trace.SpanKindClient || s.Status().Code.String() != tt.status ||
			s.Parent().SpanID() != parent.SpanContext().SpanID() || s.InstrumentationScope().Name != "essworker/essapi" {
			t.Errorf("%s: span %s, kind %s, status %v, scope %s", tt.name, s.Name(), s.SpanKind(), s.Status(), s.InstrumentationScope().Name)
		}
		if text := fmt.Sprint(s.Status(), s.Events(), s.Attributes()); strings.Contains(text, personName) || strings.Contains(text, "essurl") {
			t.Errorf("%s: the span holds personal data: %s", tt.name, text)
		}
	}
}

// TestClient_duration: each request counts once, under how it ended.
func TestClient_duration(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	var rt http.RoundTripper
	c := newClientWith(t, config(), essapi.Options{
		Transport: wire(func(r *http.Request) (*http.Response, error) { return rt.RoundTrip(r) }),
		Meter:     sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test"),
	})
	for _, rt = range []http.RoundTripper{
		says(200, successes[bind]), says(200, successes[bind]), refuses("FailedOperation", "m"), says(502, ""),
		wire(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }),
	} {
		_, _ = call(t.Context(), c, bind)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "http.client.request.duration" {
				continue
			}
			if m.Unit != "s" {
				t.Errorf("unit %q, want s", m.Unit)
			}
			for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				got[p.Attributes.Encoded(attribute.DefaultEncoder())] += p.Count
			}
		}
	}
	want := map[string]uint64{
		"ess.action=BindEmployeeUserIdWithClientOpenId,http.request.method=POST,http.response.status_code=200,server.address=ess.tencentcloudapi.com,server.port=443":                3,
		"error.type=502,ess.action=BindEmployeeUserIdWithClientOpenId,http.request.method=POST,http.response.status_code=502,server.address=ess.tencentcloudapi.com,server.port=443": 1,
		"error.type=ConnectionBroken,ess.action=BindEmployeeUserIdWithClientOpenId,http.request.method=POST,server.address=ess.tencentcloudapi.com,server.port=443":                  1,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

// counters reads a client's counters as "name action code" or "name outcome".
func counters(t *testing.T, reader sdkmetric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok {
				continue // a histogram
			}
			for _, p := range sum.DataPoints {
				name := []string{m.Name}
				for _, key := range []attribute.Key{"action", "code", "outcome"} {
					if v, ok := p.Attributes.Value(key); ok {
						name = append(name, v.AsString())
					}
				}
				got[strings.Join(name, " ")] += p.Value
			}
		}
	}
	return got
}

func TestClient_countsWhatTheTableDoesNotKnow(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	var code, message string
	c := newClientWith(t, config(), essapi.Options{
		Transport: wire(func(r *http.Request) (*http.Response, error) { return refuses(code, message).RoundTrip(r) }),
		Meter:     sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test"),
	})
	for _, tt := range []struct{ action, code, message string }{
		{bind, "NeverSeen", "m"},
		{bind, "NeverSeen", "m"},
		{bind, "InvalidParameter.NeverSeen", "m"},               // unknown, and its family needs a text
		{bind, "InvalidParameter", "m"},                         // unmatched
		{bind, "InvalidParameter", "无需重新绑定"},                    // matched
		{grant, "InvalidParameter", "m"},                        // needs no text for this action
		{grant, "InvalidParameter.ParamError", "m"},             // unmatched
		{link, "FailedOperation", "m"},                          // unmatched
		{link, "FailedOperation", "用户未开通自动签"},                   // matched
		{link, "MissingParameter", "m"},                         // its texts are an exception
		{link, "UnauthorizedOperation", "m"},                    // unmatched
		{link, "UnauthorizedOperation.NoPermissionFeature", ""}, // the code decides
		{link, "InternalError", "m"},
	} {
		code, message = tt.code, tt.message
		_, _ = call(t.Context(), c, tt.action)
	}
	want := map[string]int64{
		"ess.unknown_codes " + bind + " NeverSeen":                         2,
		"ess.unknown_codes " + bind + " InvalidParameter.NeverSeen":        1,
		"ess.unmatched_messages " + bind + " InvalidParameter.NeverSeen":   1,
		"ess.unmatched_messages " + bind + " InvalidParameter":             1,
		"ess.unmatched_messages " + grant + " InvalidParameter.ParamError": 1,
		"ess.unmatched_messages " + link + " FailedOperation":              1,
		"ess.unmatched_messages " + link + " UnauthorizedOperation":        1,
	}
	if d := cmp.Diff(want, counters(t, reader)); d != "" {
		t.Errorf("counters (-want +got):\n%s", d)
	}
}

func TestClient_metricsStayBounded(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	n := 0
	c := newClientWith(t, config(), essapi.Options{
		Transport: wire(func(r *http.Request) (*http.Response, error) {
			n++
			return refuses(fmt.Sprintf("NeverSeen.N%d", n), "m").RoundTrip(r)
		}),
		Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test"),
	})
	for range 500 {
		_, _ = call(t.Context(), c, bind)
	}
	got := counters(t, reader)
	if len(got) != 65 || got["ess.unknown_codes "+bind+" other"] != 436 {
		t.Errorf("500 different codes made %d series, %d of them other; want 65 and 436", len(got), got["ess.unknown_codes "+bind+" other"])
	}
}
