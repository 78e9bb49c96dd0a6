package telemetry

import (
	"context"
	"crypto/rand"
	"fmt"
	stdlog "log"
	"log/slog"
	"os"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	promexport "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"

	"essworker/internal/mask"
)

// The signals as OTEL_* variables spell them.
const (
	signalLogs    = "LOGS"
	signalTraces  = "TRACES"
	signalMetrics = "METRICS"
)

// asked reports whether the environment asks for a signal to be exported. The
// autoexport package would send to a collector on localhost when nothing is set.
func asked(signal string) bool {
	if off, err := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); err == nil && off {
		return false
	}
	switch os.Getenv("OTEL_" + signal + "_EXPORTER") {
	case "none":
		return false
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" ||
			os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
	default:
		return true
	}
}

// exporterError names the variables that made an exporter impossible.
func exporterError(signal string, err error) error {
	return fmt.Errorf("OTEL_%s_EXPORTER=%q, OTEL_EXPORTER_OTLP_PROTOCOL=%q: %w",
		signal, os.Getenv("OTEL_"+signal+"_EXPORTER"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), err)
}

// setLogs writes log lines, and exports the same records if asked.
func (t *Telemetry) setLogs(ctx context.Context, lines slog.Handler, level slog.Level, res *resource.Resource) error {
	t.Log = slog.New(lines)
	if !asked(signalLogs) {
		return nil
	}
	exporter, err := autoexport.NewLogExporter(ctx)
	if err != nil {
		return exporterError(signalLogs, err)
	}
	p := sdklog.NewLoggerProvider(
		sdklog.WithResource(res),
		sdklog.WithProcessor(maskRecord{sdklog.NewBatchProcessor(exporter), severity(level)}),
	)
	t.closers = append(t.closers, p.Shutdown)
	t.Log = slog.New(slog.NewMultiHandler(lines, otelslog.NewHandler(serviceName, otelslog.WithLoggerProvider(p))))
	return nil
}

// setTraces makes spans if they are exported and else only relays traces.
func (t *Telemetry) setTraces(ctx context.Context, res *resource.Resource) error {
	if !asked(signalTraces) {
		t.Tracer = relays{}
		return nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return exporterError(signalTraces, err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(exporter))
	t.closers = append(t.closers, p.Shutdown)
	t.Tracer = p
	return nil
}

// secondsBuckets suits everything timed here, from a broker's answer in under a
// millisecond to an event that waited out an outage of a day.
func secondsBuckets() []float64 {
	return []float64{
		.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800, 86400,
	}
}

// setMetrics serves metrics for Prometheus always, and exports them if asked.
func (t *Telemetry) setMetrics(ctx context.Context, warn *stdlog.Logger, res *resource.Resource) error {
	// A registry of our own: the default one holds whatever a library put there.
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	scrape, err := promexport.New(promexport.WithRegisterer(registry), promexport.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("metrics for Prometheus: %w", err)
	}
	opts := []sdkmetric.Option{
		sdkmetric.WithResource(res),
		sdkmetric.WithReader(scrape),
		// OpenTelemetry's default buckets are meant for milliseconds.
		sdkmetric.WithView(sdkmetric.NewView(
			sdkmetric.Instrument{Kind: sdkmetric.InstrumentKindHistogram, Unit: "s"},
			sdkmetric.Stream{Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: secondsBuckets()}},
		)),
	}
	if asked(signalMetrics) {
		push, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return exporterError(signalMetrics, err)
		}
		opts = append(opts, sdkmetric.WithReader(push))
	}
	p := sdkmetric.NewMeterProvider(opts...)
	t.closers = append(t.closers, p.Shutdown)
	t.Meter = p
	t.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:          warn,
		ErrorHandling:     promhttp.ContinueOnError, // one bad collector must not hide all others
		EnableOpenMetrics: true,                     // carries exemplars: from a slow bucket to its trace
	})
	return nil
}

// relays is the tracer of a worker that exports no traces. A span of its own
// would be a parent that nobody can ever find, so it hands a trace on as it came.
type relays struct{ embedded.TracerProvider }

// Tracer gives a tracer that relays.
func (relays) Tracer(string, ...trace.TracerOption) trace.Tracer { return relay{} }

type relay struct{ embedded.Tracer }

// Start gives the span in ctx, or begins a trace, not sampled, if there is none.
func (relay) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		var begun trace.SpanContextConfig
		_, _ = rand.Read(begun.TraceID[:]) // never fails
		_, _ = rand.Read(begun.SpanID[:])
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(begun))
	}
	return ctx, trace.SpanFromContext(ctx)
}

// maskRecord is maskAttr for exported log records, and holds them to the level
// of the log lines.
type maskRecord struct {
	sdklog.Processor
	least log.Severity
}

// Enabled reports whether the level is logged.
func (m maskRecord) Enabled(ctx context.Context, p sdklog.EnabledParameters) bool {
	return p.Severity >= m.least && m.Processor.Enabled(ctx, p)
}

// OnEmit masks the record and passes it on.
func (m maskRecord) OnEmit(ctx context.Context, r *sdklog.Record) error {
	r.SetBody(maskValue(r.Body()))
	masked := make([]attribute.KeyValue, 0, r.AttributesLen())
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		masked = append(masked, attribute.KeyValue{Key: kv.Key, Value: maskValue(kv.Value)})
		return true
	})
	r.SetAttributes(masked...)
	return m.Processor.OnEmit(ctx, r)
}

// maskValue masks every text within v. Bytes become text, as in maskAttr.
func maskValue(v attribute.Value) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		return attribute.StringValue(mask.Text(v.AsString()))
	case attribute.BYTESLICE:
		return attribute.StringValue(mask.Text(string(v.AsByteSlice())))
	case attribute.STRINGSLICE:
		texts := v.AsStringSlice()
		for i, s := range texts {
			texts[i] = mask.Text(s)
		}
		return attribute.StringSliceValue(texts)
	case attribute.SLICE:
		values := v.AsSlice()
		for i, e := range values {
			values[i] = maskValue(e)
		}
		return attribute.SliceValue(values...)
	case attribute.MAP:
		pairs := v.AsMap()
		for i, kv := range pairs {
			pairs[i].Value = maskValue(kv.Value)
		}
		return attribute.MapValue(pairs...)
	default: // numbers and truth values
		return v
	}
}

// severity is the log bridge's own mapping of levels.
func severity(level slog.Level) log.Severity {
	return log.Severity(int(level) + int(log.SeverityInfo1))
}
