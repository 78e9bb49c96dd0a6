package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"

	"essworker/internal/telemetry"
)

// TestMetrics_exemplars: a slow bucket leads to a trace that was in it, for who asks in
// the format that can say so.
func TestMetrics_exemplars(t *testing.T) {
	clearOTEL(t)
	tel := start(t, telemetry.Config{}, telemetry.Options{Stderr: io.Discard})
	h, err := tel.Meter.Meter("test").Float64Histogram("essworker.test", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	h.Record(propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": "00-" + traceID + "-b7ad6b7169203331-01"}), 3)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	rec := httptest.NewRecorder()
	tel.Metrics.ServeHTTP(rec, req)
	found := false
	for line := range strings.Lines(rec.Body.String()) {
		found = found || strings.HasPrefix(line, `essworker_test_seconds_bucket{le="5.0"} 1 # {`) && strings.Contains(line, `trace_id="`+traceID+`"`)
	}
	if !found {
		t.Errorf("no exemplar in\n%s", rec.Body.String())
	}
}
