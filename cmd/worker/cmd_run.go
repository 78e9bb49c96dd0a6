package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/consumer"
	"essworker/internal/essapi"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/telemetry"
	"essworker/internal/topology"
)

// settings are all the settings of the worker, each declared beside the code it
// configures.
type settings struct {
	NATS      natsconn.Config   `embed:"" group:"NATS"`
	Topology  topology.Config   `embed:"" group:"Streams"`
	Vendor    essapi.Config     `embed:"" group:"Vendor"`
	Defaults  handlers.Defaults `embed:"" group:"Vendor"`
	Fleet     fleet.Config      `embed:"" group:"Pace"`
	Lanes     consumer.Config   `embed:"" group:"Lanes"`
	Telemetry telemetry.Config  `embed:"" group:"Telemetry"`
}

type runCmd struct {
	settings
	NoSetup bool `help:"Expect the streams to exist; see worker setup."`
}

// Run is the worker: it makes the streams, takes events until it is told to stop,
// and lets the calls in flight finish.
func (c *runCmd) Run(ctx context.Context, s streams) error {
	tel, err := telemetry.Start(ctx, c.Telemetry, telemetry.Options{Version: version(), Stderr: s.err, Terminal: isTerminal(s.err)})
	if err != nil {
		return err
	}
	defer closeTelemetry(tel)
	ctx, stop := signals(ctx, tel.Log)
	defer stop()
	nc, err := natsconn.Connect(ctx, c.NATS, natsconn.Options{
		Name: "essworker " + workerName(), InboxPrefix: "_INBOX_wrk", Log: tel.Log,
		Meter: tel.Meter.Meter("essworker/natsconn"),
	})
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("jetstream: %w", err)
	}
	if !c.NoSetup {
		if err := setUp(ctx, js, c.Topology, tel.Log); err != nil {
			return err
		}
	}
	return serve(ctx, worker{settings: c.settings, nc: nc, js: js, log: tel.Log, tracer: tel.Tracer, meter: tel.Meter, metrics: tel.Metrics})
}

// worker is what serve needs, from whichever command starts one.
type worker struct {
	settings
	nc        *nats.Conn
	js        jetstream.JetStream
	log       *slog.Logger
	tracer    trace.TracerProvider
	meter     metric.MeterProvider
	metrics   http.Handler
	transport http.RoundTripper // nil: the network
	ready     func(addr string) // called once the worker takes events; may be nil
}

// serve runs a worker on a connection whose streams exist, until ctx ends.
func serve(ctx context.Context, w worker) error {
	api, err := essapi.New(w.Vendor, essapi.Options{
		Transport: w.transport, Concurrency: 3 * w.Lanes.Concurrency, Meter: w.meter.Meter("essworker/essapi"),
	})
	if err != nil {
		return err
	}
	defer api.Close()
	gates, err := fleet.New(w.Fleet, w.log, w.meter.Meter("essworker/fleet"))
	if err != nil {
		return err
	}
	routes := handlers.Routes(api, w.Defaults)
	// Health is asked for until the last event is settled, so it outlives ctx.
	admin, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAdmin()
	addr, wait, err := telemetry.Serve(admin, w.Telemetry.HTTPAddr, telemetry.Admin{
		Metrics: w.metrics,
		Ready:   func() (bool, []string) { return ready(ctx, w.nc, gates) },
	}, w.log)
	if err != nil {
		return err
	}
	w.log.Info("working", "version", version(), "worker", workerName(), "nats", w.nc.ConnectedUrlRedacted(),
		"lanes", len(routes), "rate", w.Fleet.Rate, "concurrency", w.Lanes.Concurrency, "http", addr)
	if w.ready != nil {
		w.ready(addr)
	}
	err = consumer.Worker{
		Config: w.Lanes, Topology: w.Topology, NC: w.nc, JS: w.js, Fleet: gates, Routes: routes,
		Credential: w.Vendor.Credential, Name: workerName() + " " + version(),
		Log: w.log, Tracer: w.tracer, Meter: w.meter,
	}.Run(ctx)
	if w.nc.IsConnected() { // what was handed back last is still on its way to the server
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		err = errors.Join(err, w.nc.FlushWithContext(flush))
		cancel()
	}
	stopAdmin()
	return errors.Join(err, wait())
}

const flushTimeout = 2 * time.Second

// ready says whether the worker can do its work, and if not, why.
func ready(ctx context.Context, nc *nats.Conn, gates *fleet.Fleet) (bool, []string) {
	var why []string
	if ctx.Err() != nil {
		why = append(why, "shutting down")
	}
	if !nc.IsConnected() {
		why = append(why, "not connected to NATS: "+strings.ToLower(nc.Status().String()))
	}
	for _, s := range gates.States() {
		if s.Held != "" {
			why = append(why, fmt.Sprintf("lane %s is held since %s: %s", s.Lane, s.Since.UTC().Format(time.RFC3339), s.Held))
		}
	}
	return len(why) == 0, why
}

// setUp makes or updates the streams and logs each change.
func setUp(ctx context.Context, js jetstream.JetStream, cfg topology.Config, log *slog.Logger) error {
	done, err := topology.Apply(ctx, js, cfg, handlers.Types())
	for _, c := range done.Changes {
		log.Info("set up", "change", c.String())
	}
	for _, w := range done.Warnings {
		log.Warn("set up", "note", w)
	}
	return err
}

// signals gives a context that the first SIGINT or SIGTERM ends. The second one
// ends the process, as if nothing had caught it.
func signals(ctx context.Context, log *slog.Logger) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop()
		log.Info("stopping: calls in flight finish, the rest goes back; a second signal ends the process now", "why", context.Cause(ctx))
	})
	return ctx, stop
}

// quietSignals is signals for commands that have nothing to finish.
func quietSignals(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

func closeTelemetry(tel *telemetry.Telemetry) {
	if err := tel.Close(context.Background()); err != nil {
		tel.Log.Warn("telemetry not flushed", "why", err)
	}
}

// streams are the process's, so that tests can run a command in their own.
type streams struct {
	in       io.Reader
	out, err io.Writer
}
