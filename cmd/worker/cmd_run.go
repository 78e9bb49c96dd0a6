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
	"syscall"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/consumer"
	"essworker/internal/essapi"
	"essworker/internal/fleet"
	"essworker/internal/gauges"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/replay"
	"essworker/internal/roles"
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
	Gauges    gauges.Config     `embed:"" group:"Telemetry"`
}

type runCmd struct {
	settings
	NoSetup bool `help:"Expect the streams to exist; see worker setup."`
}

// Run is the worker: it makes the streams, takes events until it is told to stop,
// and lets the calls in flight finish.
func (c *runCmd) Run(ctx context.Context, s streams) error {
	tel, err := startTelemetry(ctx, c.Telemetry, s)
	if err != nil {
		return err
	}
	defer closeTelemetry(tel)
	// Read here, where a wrong credential file is still a wrong setting and nothing has begun.
	api, err := c.vendor(nil, tel.Meter, tel.Log)
	if err != nil {
		return err
	}
	defer api.Close()
	ctx, stop := signals(ctx, tel.Log)
	defer stop()
	h, addr, stopHealth, err := serveHealth(ctx, c.Telemetry.HTTPAddr, tel.Metrics, tel.Log)
	if err != nil {
		return err
	}
	err = errors.Join(c.work(ctx, tel, api, h, addr), stopHealth())
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		return nil // told to stop before there was anything to finish
	}
	return notSetUp(err)
}

func (c *runCmd) work(ctx context.Context, tel *telemetry.Telemetry, api *essapi.Client, h *health, addr string) error {
	starting, begin := context.WithCancelCause(ctx)
	defer begin(nil)
	nc, err := natsconn.Connect(ctx, c.NATS, natsconn.Options{
		Name: "essworker " + workerName(), InboxPrefix: inboxOf(c.NATS, roles.Worker), Log: tel.Log,
		Meter: tel.Meter.Meter("essworker/natsconn"),
		// Once the worker works it goes on: what it was denied may be granted any moment.
		Denied: func(err *natsconn.DeniedError) { begin(err) },
	})
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("jetstream: %w", err)
	}
	ready := func() error { return setUp(starting, js, c.Topology, tel.Log) }
	if c.NoSetup {
		ready = func() error { return isSetUp(starting, js, c.Topology.Names) }
	}
	waits := func(why error) { tel.Log.Warn("waiting for JetStream", "why", why) }
	if err := whenLed(starting, waits, ready); err != nil {
		if _, no := errors.AsType[*natsconn.DeniedError](err); no {
			err = fmt.Errorf("%w; what the worker may not make, worker setup makes before it starts", err)
		}
		return err
	}
	return denied(starting, serve(ctx, worker{
		settings: c.settings, api: api, nc: nc, js: js, url: nc.ConnectedUrlRedacted(),
		log: tel.Log, tracer: tel.Tracer, meter: tel.Meter, health: h, addr: addr,
		ready: func() { begin(nil) },
	}))
}

// worker is what serve needs, from whichever command starts one.
type worker struct {
	settings
	api    *essapi.Client
	nc     *nats.Conn
	js     jetstream.JetStream
	url    string // of the server, for the log
	addr   string // where health is answered, for the log
	log    *slog.Logger
	tracer trace.TracerProvider
	meter  metric.MeterProvider
	health *health // told once the worker takes events; may be nil
	ready  func()  // called then; may be nil
	quiet  bool    // no gauges of the whole deployment
}

// vendor is the client of the vendor. The transport is the network if it is nil. An
// error is a wrong setting: a credential that cannot be read, say.
func (s *settings) vendor(transport http.RoundTripper, meter metric.MeterProvider, log *slog.Logger) (*essapi.Client, error) {
	api, err := essapi.New(s.Vendor, essapi.Options{
		Transport: transport, Concurrency: 3 * s.Lanes.Concurrency, Meter: meter.Meter("essworker/essapi"), Log: log,
	})
	if err != nil {
		return nil, exit{exitUsage, err}
	}
	return api, nil
}

// serve runs a worker on a connection whose streams exist, until ctx ends.
func serve(ctx context.Context, w worker) error {
	gates, err := fleet.Join(ctx, w.Fleet, fleet.Member{
		NC: w.nc, JS: w.js, Bucket: w.Topology.FleetBucket(), Host: hostname(), PID: os.Getpid(), Version: version(),
		CallTimeout: w.Vendor.Timeout, Log: w.log, Meter: w.meter.Meter("essworker/fleet"),
	})
	if err != nil {
		return err
	}
	defer gates.Leave()
	routes := handlers.Routes(w.api, w.Defaults)
	if w.health != nil {
		w.health.working(w.nc, gates)
	}
	w.log.Info("working", "version", version(), "worker", workerName(), "nats", w.url,
		"lanes", len(routes), "rate", w.Fleet.Rate, "concurrency", w.Lanes.Concurrency, "http", w.addr)
	if w.ready != nil {
		w.ready()
	}
	office, err := replay.Open(ctx, w.nc, w.js, w.Topology.Names, routes)
	if err != nil {
		return err
	}
	run, runCtx := errgroup.WithContext(ctx)
	run.Go(func() error {
		return replay.Runner{Office: office, Name: workerName(), Log: w.log}.Serve(runCtx)
	})
	if !w.quiet {
		run.Go(func() error {
			g := gauges.Gauges{
				Config: w.Gauges, JS: w.js, Topology: w.Topology.Names, Routes: routes, Office: office,
				Meter: w.meter.Meter("essworker/gauges"), Log: w.log,
			}
			return g.Serve(runCtx, w.nc)
		})
	}
	run.Go(func() error {
		return consumer.Worker{
			Config: w.Lanes, Topology: w.Topology, NC: w.nc, JS: w.js, Fleet: gates, Routes: routes,
			Credential: w.Vendor.Credential, CallTimeout: w.Vendor.Timeout, Name: workerName() + " " + version(),
			Log: w.log, Tracer: w.tracer, Meter: w.meter,
		}.Run(runCtx)
	})
	err = run.Wait()
	if w.nc.IsConnected() { // what was handed back last is still on its way to the server
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		err = errors.Join(err, w.nc.FlushWithContext(flush))
		cancel()
	}
	return err
}

const flushTimeout = 2 * time.Second

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

// isSetUp looks at those streams that a worker opens.
func isSetUp(ctx context.Context, js jetstream.JetStream, names topology.Names) error {
	for _, name := range []string{names.FleetStream(), names.LettersStream()} {
		if _, err := js.Stream(ctx, name); err != nil {
			return fmt.Errorf("look at stream %s: %w", name, err)
		}
	}
	return nil
}

// leaderWait is how long a worker, or its setup, waits for a cluster that has no leader.
// An election takes seconds, all servers of a deployment starting at once take minutes.
const leaderWait = 5 * time.Minute

// whenLed takes a step that needs the leaders of the cluster. While they are missing it
// says so and tries again, for up to leaderWait.
func whenLed(ctx context.Context, say func(why error), step func() error) error {
	for began, pause := time.Now(), 250*time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := step()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil || !topology.Passing(err) || time.Since(began) > leaderWait {
			return err
		}
		say(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// signals gives a context that the first SIGINT or SIGTERM ends. The second one
// ends the process, as if nothing had caught it.
func signals(ctx context.Context, log *slog.Logger) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	unheard := context.AfterFunc(ctx, func() {
		stop()
		log.Info("stopping: calls in flight finish, the rest goes back; a second signal ends the process now", "why", context.Cause(ctx))
	})
	return ctx, func() {
		unheard() // an end of its own accord is no signal
		stop()
	}
}

// quietSignals is signals for commands that have nothing to finish.
func quietSignals(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func workerName() string { return fmt.Sprintf("%s/%d", hostname(), os.Getpid()) }

func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}

// startTelemetry takes the settings of telemetry and the OTEL_* variables; an error is
// a wrong one.
func startTelemetry(ctx context.Context, cfg telemetry.Config, s streams) (*telemetry.Telemetry, error) {
	tel, err := telemetry.Start(ctx, cfg, telemetry.Options{Version: version(), Stderr: s.err, Terminal: isTerminal(s.err)})
	if err != nil {
		return nil, exit{exitUsage, err}
	}
	return tel, nil
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
