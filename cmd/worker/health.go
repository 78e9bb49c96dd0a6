package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/fleet"
	"essworker/internal/telemetry"
)

// health is what /readyz says, from the first moment of the process to its last.
type health struct {
	ctx context.Context //nolint:containedctx // its end is what "shutting down" means

	mu    sync.Mutex
	nc    *nats.Conn // nil until connected and set up
	gates *fleet.Fleet
}

// serveHealth answers /healthz, /readyz and /metrics until stop is called: from before
// the worker has connected until its last event is settled.
func serveHealth(ctx context.Context, httpAddr string, metrics http.Handler, log *slog.Logger) (h *health, addr string, stop func() error, err error) {
	h = &health{ctx: ctx}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	addr, wait, err := telemetry.Serve(serving, httpAddr, telemetry.Admin{Metrics: metrics, Ready: h.ready}, log)
	if err != nil {
		end()
		return nil, "", nil, err
	}
	return h, addr, func() error { end(); return wait() }, nil
}

// working notes that the worker takes events.
func (h *health) working(nc *nats.Conn, gates *fleet.Fleet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nc, h.gates = nc, gates
}

// ready says whether the worker can do its work, and if not, why.
func (h *health) ready() (bool, []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var why []string
	if h.ctx.Err() != nil {
		why = append(why, "shutting down")
	}
	if h.nc == nil {
		return false, append(why, "starting: not connected to NATS, or the streams are not made yet")
	}
	if !h.nc.IsConnected() {
		why = append(why, "not connected to NATS: "+strings.ToLower(h.nc.Status().String()))
	}
	for _, s := range h.gates.States() {
		if s.Held != "" {
			why = append(why, fmt.Sprintf("lane %s is held since %s: %s", s.Lane, s.Since.UTC().Format(time.RFC3339), s.Held))
		}
	}
	for _, t := range h.gates.HeldTenants() {
		if strings.HasSuffix(t.Tenant, ":") { // nobody's: a default of ours is missing
			why = append(why, fmt.Sprintf("events that need a default wait since %s: %s", t.Since.UTC().Format(time.RFC3339), t.Why))
		}
	}
	return len(why) == 0, why
}
