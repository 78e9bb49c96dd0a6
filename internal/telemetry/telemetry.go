// Package telemetry sets up what the process says about itself (logs, traces,
// metrics) and serves it to operators, so that no other package knows a log
// format, an exporter or an OpenTelemetry variable: they are handed a
// *slog.Logger, a trace.TracerProvider and a metric.MeterProvider.
//
// Its one rule: nothing leaves the process that was not asked for. Without an
// OTEL_* variable that names an exporter or an endpoint no connection is made,
// and no log line is written without a last pass through package mask.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// serviceName is what traces and metrics are filed under unless
// OTEL_SERVICE_NAME says otherwise; the log bridge uses it too.
const serviceName = "essworker"

// flushLimit bounds how long Close waits for a collector that does not answer.
const flushLimit = 5 * time.Second

// complainEvery spaces the reports of an exporter that keeps failing.
const complainEvery = time.Minute

// Config holds the settings of logs and of the HTTP server. OpenTelemetry's own
// are the OTEL_* variables of its specification.
type Config struct {
	LogFormat string     `name:"log-format" env:"WORKER_LOG_FORMAT" placeholder:"FORMAT" help:"Form of log lines, text or json; the default is text on a terminal, else json."`
	LogLevel  slog.Level `name:"log-level" env:"WORKER_LOG_LEVEL" default:"info" placeholder:"LEVEL" help:"Least level that is logged: debug, info, warn or error."`
	HTTPAddr  string     `name:"http-addr" env:"WORKER_HTTP_ADDR" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of /healthz, /readyz, /metrics and the console; empty is off."`
}

// Validate names the setting that cannot be used and says what would do.
func (c Config) Validate() error {
	switch c.LogFormat {
	case "", formatText, formatJSON:
	default:
		return fmt.Errorf("--log-format: must be %s or %s, got %q", formatText, formatJSON, c.LogFormat)
	}
	if c.HTTPAddr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(c.HTTPAddr)
	if err != nil {
		return fmt.Errorf("--http-addr: must be HOST:PORT or empty, got %q", c.HTTPAddr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("--http-addr: the port must be a number up to 65535, got %q", port)
	}
	return nil
}

// Options are the facts about the process that Start cannot ask for itself.
type Options struct {
	Version  string    // of the program, for the resource
	Stderr   io.Writer // where log lines go; required
	Terminal bool      // whether Stderr is one
}

// Telemetry is what Start set up. All of it is safe for concurrent use.
type Telemetry struct {
	Log *slog.Logger
	// Tracer makes real spans when traces are exported. Otherwise it hands a trace
	// that came with an event on unchanged and starts one where none came.
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
	// Propagator reads and writes traceparent and tracestate.
	Propagator propagation.TextMapPropagator
	// Metrics answers GET /metrics in the Prometheus format: what Meter counts, and
	// the Go runtime's and the process's own figures.
	Metrics http.Handler

	closers []func(context.Context) error
}

// Start builds all three signals. It makes no connection before there is
// something to export, so a collector that is down does not keep the worker from
// starting. An OTEL_* variable it cannot use is an error that names it.
func Start(ctx context.Context, cfg Config, o Options) (*Telemetry, error) {
	lines := newLines(cfg, o)
	reportInternals(lines)
	res, err := newResource(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{Propagator: propagation.TraceContext{}}
	for _, set := range []func() error{
		func() error { return t.setLogs(ctx, lines, cfg.LogLevel, res) },
		func() error { return t.setTraces(ctx, res) },
		func() error { return t.setMetrics(ctx, slog.NewLogLogger(lines, slog.LevelWarn), res) },
	} {
		if err := set(); err != nil {
			return nil, errors.Join(err, t.Close(ctx))
		}
	}
	return t, nil
}

// Close exports what is still held and stops the exporters, within five seconds
// even if ctx has ended or a collector hangs. Log keeps writing to Stderr.
func (t *Telemetry) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancel()
	// All at once: a signal whose collector hangs must not use up the others' time.
	errs := make([]error, len(t.closers))
	var wg sync.WaitGroup
	for i, stop := range t.closers {
		wg.Go(func() { errs[i] = stop(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// newResource says who is speaking. The environment is read last and so wins:
// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
func newResource(ctx context.Context, version string) (*resource.Resource, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	res, err := resource.New(
		ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			semconv.ServiceName(serviceName),
			semconv.ServiceVersion(version),
			// Without it the metrics of two workers would overwrite each other at a collector.
			semconv.ServiceInstanceID(host+"/"+strconv.Itoa(os.Getpid())),
		),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return res, nil
}

// reportInternals sends OpenTelemetry's own complaints to the log, never to its
// exporters. These two settings are the process's whether we like it or not: the
// library offers no other way, and without them it prints to standard error on
// its own. No provider or propagator is ever made global.
func reportInternals(lines slog.Handler) {
	log := slog.New(lines)
	sometimes := rate.Sometimes{First: 1, Interval: complainEvery}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		sometimes.Do(func() { log.Warn("telemetry export", slog.Any("error", err)) })
	}))
	otel.SetLogger(logr.FromSlogHandler(lines))
}
