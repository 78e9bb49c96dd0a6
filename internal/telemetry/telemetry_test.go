package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"essworker/internal/telemetry"
)

const (
	person = "620000198802020000"
	link   = "https://sign.example.com/s?token=abc"
)

func TestConfig_validate(t *testing.T) {
	tests := []struct {
		cfg  telemetry.Config
		want string
	}{
		{telemetry.Config{}, ""},
		{telemetry.Config{LogFormat: "json", HTTPAddr: "[::1]:0"}, ""},
		{telemetry.Config{LogFormat: "text", HTTPAddr: ":8080"}, ""},
		{telemetry.Config{LogFormat: "xml"}, `--log-format: must be text or json, got "xml"`},
		{telemetry.Config{HTTPAddr: "8080"}, `--http-addr: must be HOST:PORT or empty, got "8080"`},
		{telemetry.Config{HTTPAddr: "h:http"}, `--http-addr: the port must be a number up to 65535, got "http"`},
		{telemetry.Config{HTTPAddr: "h:65536"}, `--http-addr: the port must be a number up to 65535, got "65536"`},
	}
	for _, tt := range tests {
		got := ""
		if err := tt.cfg.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v.Validate() = %q, want %q", tt.cfg, got, tt.want)
		}
	}
}

func TestLog_forms(t *testing.T) {
	clearOTEL(t)
	t.Setenv("TERM", "xterm")
	const (
		asJSON = `{"time":`
		asText = `time=`
	)
	tests := []struct {
		name     string
		format   string
		terminal bool
		noColour string
		prefix   string
		contains string
	}{
		{"nothing set", "", false, "", asJSON, `"level":"INFO","msg":"event done","type":"employee.onboarded"}`},
		{"text into a file", "text", false, "", asText, ` level=INFO msg="event done" type=employee.onboarded`},
		{"json on a terminal", "json", true, "", asJSON, `"msg":"event done"`},
		{"terminal", "", true, "1", "", " INFO  event done               type=employee.onboarded\n"},
		{"terminal in colour", "text", true, "", "\x1b[2m", " \x1b[32mINFO \x1b[0m event done               type=employee.onboarded\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tt.noColour)
			var out bytes.Buffer
			tel := start(t, telemetry.Config{LogFormat: tt.format}, telemetry.Options{Stderr: &out, Terminal: tt.terminal})
			tel.Log.Debug("hidden")
			tel.Log.Info("event done", "type", "employee.onboarded")
			got := out.String()
			if !strings.HasPrefix(got, tt.prefix) || !strings.Contains(got, tt.contains) || strings.Count(got, "\n") != 1 {
				t.Errorf("logged %q, want one line that starts with %q and contains %q", got, tt.prefix, tt.contains)
			}
		})
	}
}

func TestLog_masksEverywhere(t *testing.T) {
	clearOTEL(t)
	tests := []struct {
		name string
		log  func(*slog.Logger)
	}{
		{"message", func(l *slog.Logger) { l.Info("no " + person) }},
		{"string", func(l *slog.Logger) { l.Info("m", "k", link) }},
		{"error", func(l *slog.Logger) { l.Info("m", "error", errors.New("no "+person)) }},
		{"bytes", func(l *slog.Logger) { l.Info("m", "body", []byte(`{"id":"`+person+`"}`)) }},
		{"struct", func(l *slog.Logger) { l.Info("m", "user", struct{ ID string }{person}) }},
		{"pointer", func(l *slog.Logger) { l.Info("m", "user", &struct{ ID string }{person}) }},
		{"group", func(l *slog.Logger) { l.Info("m", slog.Group("user", "id", person)) }},
		{"with", func(l *slog.Logger) { l.With("id", person).WithGroup("g").Info("m") }},
		{"json", func(l *slog.Logger) { l.Info("m", "raw", json.RawMessage(`"`+person+`"`)) }},
	}
	forms := map[string]struct {
		cfg telemetry.Config
		o   telemetry.Options
	}{
		"json":     {telemetry.Config{LogFormat: "json"}, telemetry.Options{}},
		"text":     {telemetry.Config{LogFormat: "text"}, telemetry.Options{}},
		"terminal": {telemetry.Config{}, telemetry.Options{Terminal: true}},
	}
	for form, f := range forms {
		for _, tt := range tests {
			t.Run(form+"/"+tt.name, func(t *testing.T) {
				var out bytes.Buffer
				f.o.Stderr = &out
				tt.log(start(t, f.cfg, f.o).Log)
				if got := out.String(); strings.Contains(got, person) || strings.Contains(got, "sign.example.com") || !strings.Contains(got, "***") {
					t.Errorf("logged %q, want the personal part masked", got)
				}
			})
		}
	}
}

func TestLog_survivesNilError(t *testing.T) {
	clearOTEL(t)
	var out bytes.Buffer
	var none *os.PathError // its Error method panics
	start(t, telemetry.Config{}, telemetry.Options{Stderr: &out}).Log.Info("m", "error", none)
	if got, want := out.String(), `"error":"<nil>"`; !strings.Contains(got, want) {
		t.Errorf("logged %q, want %s in it", got, want)
	}
}

func TestLog_terminalFromManyGoroutines(t *testing.T) {
	clearOTEL(t)
	var out bytes.Buffer
	log := start(t, telemetry.Config{}, telemetry.Options{Stderr: &out, Terminal: true}).Log
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				log.With("lane", "x").Info("event done", "n", 1)
			}
		})
	}
	wg.Wait()
	lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 400 {
		t.Fatalf("%d lines, want 400", len(lines))
	}
	for _, line := range lines {
		if !strings.HasSuffix(strings.TrimSpace(line), "lane=x n=1") {
			t.Fatalf("line %q is not whole", line)
		}
	}
}

func TestStart_nothingSet(t *testing.T) {
	clearOTEL(t)
	var out bytes.Buffer
	tel := start(t, telemetry.Config{}, telemetry.Options{Stderr: &out})
	_, span := tel.Tracer.Tracer("test").Start(t.Context(), "event")
	span.End()
	if err := tel.Close(t.Context()); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if out.Len() > 0 {
		t.Errorf("with no OTEL_* variable something was tried and logged: %s", out.String())
	}
}

func TestStart_badVariable(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"OTEL_TRACES_EXPORTER", "jaeger", `OTEL_TRACES_EXPORTER="jaeger"`},
		{"OTEL_METRICS_EXPORTER", "statsd", `OTEL_METRICS_EXPORTER="statsd"`},
		{"OTEL_LOGS_EXPORTER", "loki", `OTEL_LOGS_EXPORTER="loki"`},
		{"OTEL_RESOURCE_ATTRIBUTES", "nonsense", "OTEL_RESOURCE_ATTRIBUTES: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearOTEL(t)
			t.Setenv(tt.name, tt.value)
			_, err := telemetry.Start(t.Context(), telemetry.Config{}, telemetry.Options{Stderr: io.Discard})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Start with %s=%s = %v, want an error with %s", tt.name, tt.value, err, tt.want)
			}
		})
	}
}

func TestStart_exports(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string // {} is the collector's URL
		want map[string]bool
	}{
		{
			"one endpoint",
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "{}"},
			map[string]bool{"/v1/logs": true, "/v1/metrics": true, "/v1/traces": true},
		},
		{
			"traces only",
			map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{}/v1/traces"},
			map[string]bool{"/v1/traces": true},
		},
		{
			"no logs",
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "{}", "OTEL_LOGS_EXPORTER": "none"},
			map[string]bool{"/v1/metrics": true, "/v1/traces": true},
		},
		{
			"disabled",
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "{}", "OTEL_SDK_DISABLED": "true"},
			map[string]bool{},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearOTEL(t)
			c := newCollector(t)
			for k, v := range tt.env {
				t.Setenv(k, strings.ReplaceAll(v, "{}", c.url))
			}
			t.Setenv("OTEL_SERVICE_NAME", "signing")
			var out bytes.Buffer
			tel := start(t, telemetry.Config{}, telemetry.Options{Stderr: &out, Version: "v1.2.3"})
			ctx, span := tel.Tracer.Tracer("test").Start(t.Context(), "event")
			tel.Log.InfoContext(
				ctx, "bound "+person, "url", link, "ids", []string{person},
				slog.Group("user", "id", person), "error", errors.New(person),
			)
			tel.Log.DebugContext(ctx, "not logged")
			count(t, tel)
			span.End()
			if err := tel.Close(t.Context()); err != nil {
				t.Errorf("Close() = %v, want nil", err)
			}
			got := map[string]bool{}
			for path, body := range c.received() {
				got[path] = true
				for _, want := range []string{"signing", "v1.2.3"} {
					if !strings.Contains(body, want) {
						t.Errorf("%s does not name %q", path, want)
					}
				}
				for _, not := range []string{person, "sign.example.com", "not logged"} {
					if strings.Contains(body, not) {
						t.Errorf("%s holds %q", path, not)
					}
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("signals exported (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStart_collectorDown(t *testing.T) {
	clearOTEL(t)
	c := newCollector(t)
	c.server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.url)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
	var out bytes.Buffer
	tel := start(t, telemetry.Config{}, telemetry.Options{Stderr: &out})
	otel.Handle(errors.New("no collector, says " + person))
	otel.Handle(errors.New("again"))
	got := out.String()
	if !strings.Contains(got, `"msg":"telemetry export","error":"no collector, says ***"`) || strings.Contains(got, "again") {
		t.Errorf("logged %q, want the first complaint masked and no second one within a minute", got)
	}
	_ = tel.Close(t.Context()) // nothing is held, so whether it fails is the exporter's business
}

func TestTracer_relays(t *testing.T) {
	clearOTEL(t)
	tel := start(t, telemetry.Config{}, telemetry.Options{Stderr: io.Discard})
	tracer := tel.Tracer.Tracer("test")
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	in := propagation.MapCarrier{"traceparent": parent}
	ctx, span := tracer.Start(tel.Propagator.Extract(t.Context(), in), "event")
	span.End()
	out := propagation.MapCarrier{}
	tel.Propagator.Inject(ctx, out)
	if out["traceparent"] != parent {
		t.Errorf("traceparent = %q, want the event's own %q", out["traceparent"], parent)
	}

	ctx, span = tracer.Start(t.Context(), "event")
	defer span.End()
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() || sc.IsSampled() || !span.SpanContext().Equal(sc) {
		t.Errorf("with no trace to relay the span context is %v (sampled %t), want a valid, unsampled one", sc, sc.IsSampled())
	}
}

func TestMetrics(t *testing.T) {
	clearOTEL(t)
	tel := start(t, telemetry.Config{}, telemetry.Options{Stderr: io.Discard, Version: "v1.2.3"})
	count(t, tel)
	rec := httptest.NewRecorder()
	tel.Metrics.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	got := rec.Body.String()
	for _, want := range []string{
		`ess_events_total{lane="employee.onboarded",outcome="success"} 1`,
		`ess_event_duration_seconds_bucket{le="0.001"} 0`,
		`ess_event_duration_seconds_bucket{le="86400"} 1`,
		`service_version="v1.2.3"`,
		"go_goroutines ", "process_cpu_seconds_total ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(got, "otel_scope") {
		t.Error("/metrics labels every series with otel_scope")
	}
}

// count uses the meter as the consumer does.
func count(t *testing.T, tel *telemetry.Telemetry) {
	t.Helper()
	meter := tel.Meter.Meter("test")
	events, err := meter.Int64Counter("ess.events")
	if err != nil {
		t.Fatal(err)
	}
	events.Add(t.Context(), 1, metric.WithAttributes(
		attribute.String("lane", "employee.onboarded"), attribute.String("outcome", "success"),
	))
	took, err := meter.Float64Histogram("ess.event.duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	took.Record(t.Context(), 0.3)
}

// start calls Start and closes what it gave; a second Close does no harm.
func start(t *testing.T, cfg telemetry.Config, o telemetry.Options) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.Start(t.Context(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Close(context.Background()) })
	return tel
}

// clearOTEL gives the test an environment without OpenTelemetry's variables.
func clearOTEL(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

// collector is an OTLP endpoint that keeps what it is sent.
type collector struct {
	url    string
	server *httptest.Server
	mu     sync.Mutex
	got    map[string]string // by path
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{got: map[string]string{}}
	c.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read what was exported: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got[r.URL.Path] += string(body)
	}))
	t.Cleanup(c.server.Close)
	c.url = c.server.URL
	return c
}

func (c *collector) received() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}
