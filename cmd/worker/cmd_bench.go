package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"essworker/internal/bench"
	"essworker/internal/natsconn"
	"essworker/internal/natsd"
	"essworker/internal/topology"
)

type benchCmd struct {
	Events      int      `default:"0" help:"How many events; the default is 20000, or ten seconds' worth with --rate." placeholder:"N"`
	Rate        float64  `default:"0" help:"Events published a second; the default is to store all before the worker may begin." placeholder:"N"`
	Type        []string `help:"Event types, in turn, with commas between them; the default is all." placeholder:"TYPE"`
	Concurrency int      `default:"32" help:"The worker's calls in flight, per action." placeholder:"N"`
	Limit       int      `default:"0" help:"The worker's quota, calls per second and action; the default is no limit." placeholder:"N"`
	JSON        bool     `help:"One JSON object."`

	Sync     string `default:"always" help:"When the command's own NATS server syncs: always (before it confirms) or default (every two minutes)." placeholder:"WHEN"`
	Dir      string `help:"A folder on the disk to be measured; the default is the system's for temporary files." placeholder:"DIR"`
	Endpoint string `help:"A simulator that runs already; the default is one of the command's own. Without a limit, and its clock must be ours." placeholder:"URL"`
	Prefix   string `default:"bench" help:"What the names of the streams begin with." placeholder:"WORD"`
	Replace  bool   `help:"Remove what a bench that was cut off has left under the prefix."`

	NATS natsconn.Config `embed:"" group:"NATS, if --nats-url is on the command line"`

	ServeIn string `name:"serve-in" hidden:"" help:"Be the NATS server of a bench, with its data here."`
}

// Help is shown behind the flags.
func (*benchCmd) Help() string {
	return `The worker is "worker run", as it is deployed. It, the NATS server and the vendor's
simulator are processes of their own, and measured from outside. A server that runs
already is used only if --nats-url names it on the command line; the streams made
there are removed at the end.

  worker bench                  how fast: 20,000 events are waiting
  worker bench --rate 50        how soon: 50 events a second
  worker bench --limit 20 --events 600

Each event must have been carried out once and have one success; the exit code is 1
if not.`
}

const (
	benchEvents = 20_000           // without --rate
	benchLong   = 10 * time.Second // with it
)

// Run measures the worker.
func (c *benchCmd) Run(ctx context.Context, k *kong.Context, src *sources, s streams) error {
	ctx, stop := quietSignals(ctx)
	defer stop()
	if c.ServeIn != "" {
		return c.serveNATS(ctx, s)
	}
	given := slices.ContainsFunc(k.Flags(), func(f *kong.Flag) bool {
		return f.Name == "nats-url" && src.origin(k, f) == fromFlag
	})
	if err := c.check(given); err != nil {
		return exit{exitUsage, err}
	}
	c.fill(given)
	dir, err := os.MkdirTemp(c.Dir, "essworker-bench-")
	if err != nil {
		return exit{exitUsage, fmt.Errorf("--dir: %w", err)}
	}
	defer func() { _ = os.RemoveAll(dir) }() // what cannot be removed is for the system to clear
	err = (&benchRun{benchCmd: c, streams: s, given: given, dir: dir}).all(ctx)
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		return fmt.Errorf("%w: there is nothing to report", err)
	}
	return err
}

// check names what cannot be measured.
func (c *benchCmd) check(given bool) error {
	for _, typ := range c.Type {
		if !slices.Contains(bench.Kinds(), typ) {
			return fmt.Errorf("--type: %w", noType(typ))
		}
	}
	switch {
	case c.Events < 0 || c.Events > bench.MaxEvents:
		return fmt.Errorf("--events: must be between 1 and %d, not %d", bench.MaxEvents, c.Events)
	case c.Rate < 0 || c.Rate > bench.MaxEvents:
		return fmt.Errorf("--rate: must be between 0 and %d, not %v", bench.MaxEvents, c.Rate)
	case c.Concurrency < 1 || c.Concurrency > 10_000:
		return fmt.Errorf("--concurrency: must be between 1 and 10000, not %d", c.Concurrency)
	case c.Limit < 0:
		return fmt.Errorf("--limit: must be 0 (no limit) or more, not %d", c.Limit)
	case c.Sync != "always" && c.Sync != "default":
		return fmt.Errorf("--sync: must be always or default, not %q", c.Sync)
	case !given && c.Replace:
		return errors.New("--replace: is for a server that --nats-url names; the command's own is empty")
	}
	if u, err := url.Parse(c.Endpoint); c.Endpoint != "" && (err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "") {
		return fmt.Errorf("--endpoint: %q is not the URL of a simulator: give a scheme, http, and a host, without a path", c.Endpoint)
	}
	return topology.Names{Prefix: c.Prefix}.Validate()
}

// fill puts in what was left out.
func (c *benchCmd) fill(given bool) {
	if len(c.Type) == 0 {
		c.Type = bench.Kinds()
	}
	if c.Events == 0 && c.Rate > 0 {
		c.Events = int(max(1, min(bench.MaxEvents, c.Rate*benchLong.Seconds())))
	} else if c.Events == 0 {
		c.Events = benchEvents
	}
	if !given { // who we are to some other server does not matter to our own
		c.NATS = natsconn.Config{}
	}
}

// serveNATS is the command as the NATS server of another, until it is stopped.
func (c *benchCmd) serveNATS(ctx context.Context, s streams) error {
	server, err := natsd.Start(natsd.Config{Dir: c.ServeIn, Addr: "127.0.0.1:0", NoSync: c.Sync == "default"})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "listens at %s\n", server.URL())
	<-ctx.Done()
	return server.Close()
}
