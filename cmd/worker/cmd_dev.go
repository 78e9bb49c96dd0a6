package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"essworker/internal/esssim"
	"essworker/internal/natsd"
	"essworker/internal/telemetry"
)

type devCmd struct {
	Telemetry telemetry.Config `embed:"" group:"Telemetry"`
	DataDir   string           `help:"Where the server keeps its data; the default is a folder that is removed at the end." placeholder:"DIR"`
	NATSPort  int              `name:"nats-port" default:"4222" help:"Port of the NATS server on 127.0.0.1; 0 is any free one." placeholder:"PORT"`
	SimAddr   string           `default:"127.0.0.1:9080" help:"Where the vendor simulator answers." placeholder:"HOST:PORT"`
	Rate      int              `default:"20" help:"Calls per second and action, for worker and simulator; 0 is no limit." placeholder:"N"`
}

// Run is a deployment on this machine until interrupted.
func (c *devCmd) Run(ctx context.Context, s streams) (err error) {
	switch {
	case c.NATSPort < 0 || c.NATSPort > 65535:
		return exit{exitUsage, fmt.Errorf("--nats-port: must be between 0 and 65535, not %d", c.NATSPort)}
	case c.Rate < 0:
		return exit{exitUsage, fmt.Errorf("--rate: must be 0 (no limit) or more, not %d", c.Rate)}
	}
	tel, err := startTelemetry(ctx, c.Telemetry, s)
	if err != nil {
		return err
	}
	defer closeTelemetry(tel)
	ctx, stop := signals(ctx, tel.Log)
	defer stop()
	dir := c.DataDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "essworker-dev-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // the system clears its temporary folder in the end
	}
	sim := esssim.New(esssim.Config{Rate: c.Rate})
	simCtx, stopSim := context.WithCancel(context.WithoutCancel(ctx)) // the vendor outlives the last call
	defer stopSim()
	simAddr, simDone, err := serveSim(simCtx, sim, "--sim-addr", c.SimAddr)
	if err != nil {
		return err
	}
	set := simulated("http://" + simAddr)
	set.Fleet.Rate, set.Telemetry = c.Rate, c.Telemetry
	api, err := set.vendor(nil, tel.Meter, tel.Log)
	if err != nil {
		return err
	}
	defer api.Close()
	e, err := startEmbedded(ctx, natsd.Config{
		Dir: filepath.Join(dir, "nats"), Addr: fmt.Sprintf("127.0.0.1:%d", c.NATSPort), Log: tel.Log,
	}, set.Topology)
	if err != nil {
		return fmt.Errorf("%w: choose another --nats-port (0 is any free one) or --data-dir", err)
	}
	h, addr, stopHealth, err := serveHealth(ctx, c.Telemetry.HTTPAddr, tel.Metrics, tel.Log)
	if err != nil {
		return errors.Join(err, e.close())
	}
	err = serve(ctx, worker{
		settings: set, api: api, nc: e.nc, js: e.js, url: e.server.URL(), log: tel.Log, tracer: tel.Tracer, meter: tel.Meter,
		health: h, addr: addr, ready: func() { c.welcome(s, e.server.URL(), simAddr, addr) },
	})
	stopSim()
	return errors.Join(err, stopHealth(), simDone(), e.close())
}

func (c *devCmd) welcome(s streams, natsURL, simAddr, addr string) {
	env := ""
	if natsURL != "nats://127.0.0.1:4222" {
		env = "  export NATS_URL=" + natsURL + "\n"
	}
	health := ""
	if addr != "" {
		health = "worker            http://" + addr + "  (/readyz, /metrics)\n"
	}
	fmt.Fprintf(s.out, `NATS server       %s
vendor simulator  http://%s  (/sim/state, /sim/calls, /sim/faults)
%s
In another terminal:
%s  echo '{"userId":"%s","openId":"%s"}' | worker publish employee.onboarded
  worker results --follow
  worker dlq groups

Ctrl-C ends it.

`, natsURL, simAddr, health, env, esssim.EmployeeUserID, esssim.EmployeeOpenID)
}
