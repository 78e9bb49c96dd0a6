package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"essworker/internal/consumer"
	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natsd"
	"essworker/internal/roles"
	"essworker/internal/topology"
)

// embedded is a deployment within this process: a real NATS server and a worker.
// The vendor is a simulator.
type embedded struct {
	server *natsd.Server
	nc     *nats.Conn
	js     jetstream.JetStream
}

// startEmbedded starts the server and makes the streams.
func startEmbedded(ctx context.Context, cfg natsd.Config, names topology.Config) (*embedded, error) {
	server, err := natsd.Start(cfg)
	if err != nil {
		return nil, err
	}
	e := &embedded{server: server}
	e.nc, err = natsconn.Connect(ctx, natsconn.Config{}, natsconn.Options{
		Name: "essworker " + workerName(), InboxPrefix: roles.Worker.Inbox(), Log: cfg.Log, NoRetry: true, InProcess: server,
	})
	if err == nil {
		e.js, err = jetstream.New(e.nc)
	}
	if err == nil {
		_, err = topology.Apply(ctx, e.js, names, handlers.Types())
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *embedded) close() error {
	if e.nc != nil {
		e.nc.Close()
	}
	return e.server.Close()
}

// simulated are the settings of a worker whose vendor is the simulator.
func simulated(endpoint string) settings {
	return settings{
		Topology: topology.Config{
			Names: topology.Names{Prefix: "ess"}, Replicas: 1, ResultsMaxAge: 7 * 24 * time.Hour, AckWait: time.Minute,
		},
		Vendor: essapi.Config{
			Endpoint: endpoint, BasicEndpoint: endpoint, Timeout: 35 * time.Second,
			SecretID: esssim.SecretID, SecretKey: esssim.SecretKey,
		},
		Defaults: handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID},
		Fleet:    fleet.Config{Rate: 20, ReplayShare: 0.25, BreakerFailures: 5, BreakerCooldown: 30 * time.Second, HoldProbe: 30 * time.Second},
		Lanes: consumer.Config{
			Source: "/essworker", Concurrency: 32, MaxAttempts: 8, BackoffMin: time.Second, BackoffMax: 5 * time.Minute,
			PoisonAfter: 3, Drain: 30 * time.Second,
		},
	}
}

// silent is a worker without logs, traces and metrics.
func (e *embedded) silent(set settings, api *essapi.Client) worker {
	return worker{
		settings: set, api: api, nc: e.nc, js: e.js, log: slog.New(slog.DiscardHandler),
		tracer: tracenoop.NewTracerProvider(), meter: metricnoop.NewMeterProvider(), quiet: true,
	}
}
