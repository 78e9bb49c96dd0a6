// Package gauges gives out as metrics how the whole deployment stands: what waits, for
// how long, what is shut, how many letters nobody looks after. A lane's own package can
// count only what passes through its own hands.
//
// Its one rule: every worker gives out the same, so that the figures stay whichever
// worker dies; whoever reads them takes the largest, never the sum. What could not be
// read lately is not given out at all.
package gauges

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"

	"essworker/internal/doctor"
	"essworker/internal/event"
	"essworker/internal/replay"
	"essworker/internal/status"
	"essworker/internal/topology"
)

const (
	// lookEvery is how often the deployment is looked at: as often as it is usually scraped.
	lookEvery = 15 * time.Second
	// lookWait bounds one look.
	lookWait = 10 * time.Second
	// staleAfter is after how long without a look nothing is given out.
	staleAfter = time.Minute
	// syncsEvery is how often the servers are asked how they sync, which changes with
	// their configuration only.
	syncsEvery = 5 * time.Minute
)

// Config holds the settings of the gauges.
type Config struct {
	Monitors []*url.URL `name:"nats-monitor" env:"NATS_MONITOR" help:"Monitoring of the NATS servers, as in http://host:8222; tells the metrics how they sync." placeholder:"URL,…"`
}

// Validate says which setting cannot be used.
func (c Config) Validate() error {
	for _, u := range c.Monitors {
		if err := doctor.CheckMonitor(u); err != nil {
			return fmt.Errorf("--nats-monitor: %w", err)
		}
	}
	return nil
}

// Gauges are the gauges of one deployment.
type Gauges struct {
	Config

	JS       jetstream.JetStream
	Topology topology.Names
	Routes   []event.Route
	Office   *replay.Office
	Meter    metric.Meter
	Log      *slog.Logger

	seen  atomic.Pointer[seen]
	syncs map[string]bool // by server
	asked time.Time       // for syncs
}

// seen is what the last look has found.
type seen struct {
	at     time.Time // by this machine's clock
	now    status.Snapshot
	jobs   map[replay.State]int
	copies map[string][2]int // of a stream: configured, and up to date
	syncs  map[string]bool   // by server
}

// Serve looks at the deployment now and then until ctx ends.
func (g *Gauges) Serve(ctx context.Context, nc *nats.Conn) error {
	unregister, err := g.register()
	if err != nil {
		return fmt.Errorf("metrics of the deployment: %w", err)
	}
	defer unregister()
	reader := status.NewReader(nc, g.JS, g.Topology, g.Routes)
	for pause := time.Duration(0); ; pause = lookEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if err := g.look(ctx, reader); err != nil && ctx.Err() == nil {
			g.Log.Debug("the deployment cannot be looked at for its metrics", "error", err)
		}
	}
}

func (g *Gauges) look(ctx context.Context, reader *status.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	now, err := reader.Look(ctx)
	if err != nil {
		return err
	}
	jobs, err := g.Office.List(ctx)
	if err != nil {
		return err
	}
	s := seen{at: time.Now(), now: now, jobs: map[replay.State]int{}, copies: map[string][2]int{}, syncs: g.howSynced(ctx)}
	for _, j := range jobs {
		if !j.Over() {
			s.jobs[j.State]++
		}
	}
	for _, name := range g.Topology.Streams() {
		stream, err := g.JS.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("look at stream %q: %w", name, err)
		}
		s.copies[name] = copies(stream.CachedInfo())
	}
	g.seen.Store(&s)
	return nil
}

// howSynced asks the servers' monitoring now and then.
func (g *Gauges) howSynced(ctx context.Context) map[string]bool {
	if len(g.Monitors) == 0 || g.syncs != nil && time.Since(g.asked) < syncsEvery {
		return g.syncs
	}
	g.syncs, g.asked = map[string]bool{}, time.Now()
	for _, u := range g.Monitors {
		always, err := g.asksSync(ctx, u)
		if err != nil {
			g.Log.Warn("the server's monitoring does not tell how it syncs", "url", u.Redacted(), "error", err)
			continue
		}
		g.syncs[u.Host] = always
	}
	return g.syncs
}

// asksSync asks one server, which has its share of half a look: one that hangs must not
// cost the rest of what is looked at.
func (g *Gauges) asksSync(ctx context.Context, u *url.URL) (always bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait/2/time.Duration(len(g.Monitors)))
	defer cancel()
	return doctor.SyncsAlways(ctx, u)
}

// copies are how many copies a stream is to have, and how many are up to date.
func copies(info *jetstream.StreamInfo) [2]int {
	n := [2]int{info.Config.Replicas, 1}
	if info.Cluster == nil {
		return n
	}
	if n[1] = 0; info.Cluster.Leader != "" {
		n[1]++
	}
	for _, r := range info.Cluster.Replicas {
		if r.Current && !r.Offline {
			n[1]++
		}
	}
	return n
}
