// Package fleet holds what decides whether a lane may work at all: quota, breaker,
// hold, and the attempts an event has had.
//
// A lane passes through its Gate and knows nothing of what is behind it. In this
// version quota, breaker and hold are agreed on within one process; the attempts
// are in KV and belong to the whole fleet.
package fleet

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"essworker/internal/event"
	"essworker/internal/fault"
)

// Config is the pace of the lanes and what makes them stand still.
type Config struct {
	Rate            int           `default:"20" env:"WORKER_RATE" help:"Calls per second and vendor action; 0 is no limit." placeholder:"N"`
	BreakerFailures int           `default:"5" env:"WORKER_BREAKER_FAILURES" help:"Consecutive failures that open the breaker." placeholder:"N"`
	BreakerCooldown time.Duration `default:"30s" env:"WORKER_BREAKER_COOLDOWN" help:"How long the breaker stays open before a probe." placeholder:"DURATION"`
	HoldProbe       time.Duration `default:"30s" env:"WORKER_HOLD_PROBE" help:"How often a held lane is probed." placeholder:"DURATION"`
}

// Validate names the first setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Rate < 0:
		return errors.New("--rate: must be 0 (no limit) or more")
	case c.BreakerFailures < 1 || c.BreakerFailures > 10_000:
		return errors.New("--breaker-failures: must be between 1 and 10000")
	case c.BreakerCooldown <= 0:
		return errors.New("--breaker-cooldown: must be more than zero, for example 30s")
	case c.HoldProbe <= 0:
		return errors.New("--hold-probe: must be more than zero, for example 30s")
	}
	return nil
}

// Fleet is the state the gates of all lanes share. It is safe for concurrent use.
type Fleet struct {
	cfg     Config
	log     *slog.Logger
	metrics metrics
	changed signal

	mu      sync.Mutex
	gates   map[string]*Gate
	quotas  map[string]*Quota // by vendor action: routes of one action share it
	holds   map[string]*hold
	tenants map[string]*tenant
}

// New gives a fleet with nothing held and every breaker closed. The meter may be nil.
func New(cfg Config, log *slog.Logger, meter metric.Meter) (*Fleet, error) {
	f := &Fleet{
		cfg: cfg, log: log,
		gates: map[string]*Gate{}, quotas: map[string]*Quota{}, holds: map[string]*hold{}, tenants: map[string]*tenant{},
	}
	var err error
	if f.metrics, err = newMetrics(meter, f); err != nil {
		return nil, fmt.Errorf("fleet metrics: %w", err)
	}
	return f, nil
}

// ProbeEvery is the longest time between two probes of anything shut.
func (f *Fleet) ProbeEvery() time.Duration { return max(f.cfg.BreakerCooldown, f.cfg.HoldProbe) }

// Gate gives the gate of a route's lane, the same one each time. The credential
// names the key the route's product is called with: a fault of that scope holds
// every lane that shares it.
func (f *Fleet) Gate(r event.Route, credential string) *Gate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g, ok := f.gates[r.Type]; ok {
		return g
	}
	g := &Gate{
		fleet: f, lane: r.Type, quota: f.quota(r.Product + " " + r.Action),
		holds: []*hold{
			f.hold(fault.Credential, credential),
			f.hold(fault.Action, r.Action),
		},
	}
	g.breaker = newBreaker(g)
	f.gates[r.Type] = g
	return g
}

// State is how one lane's gate stands, for people and for /readyz.
type State struct {
	Lane    string
	Breaker string  // "closed", "open" or "half-open"
	Pace    float64 // calls per second at present; 0 is no limit
	Held    string  // why the lane is held; empty if it is not
	Since   time.Time
}

// States gives the state of every gate, sorted by lane.
func (f *Fleet) States() []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	states := make([]State, 0, len(f.gates))
	for _, g := range f.gates {
		states = append(states, g.state())
	}
	sortBy(states, func(s State) string { return s.Lane })
	return states
}

// HeldTenant is a tenant whose own events wait while everybody else's go on.
type HeldTenant struct {
	Tenant string
	Why    string
	Since  time.Time
}

// HeldTenants lists them, sorted by name.
func (f *Fleet) HeldTenants() []HeldTenant {
	f.mu.Lock()
	defer f.mu.Unlock()
	var held []HeldTenant
	for name, t := range f.tenants {
		if t.held() {
			held = append(held, HeldTenant{name, t.why, t.since})
		}
	}
	sortBy(held, func(h HeldTenant) string { return h.Tenant })
	return held
}

// quota gives the quota of a vendor action, making it if there is none. f.mu must be held.
func (f *Fleet) quota(action string) *Quota {
	q, ok := f.quotas[action]
	if !ok {
		q = NewQuota(f.cfg.Rate)
		f.quotas[action] = q
	}
	return q
}

// hold gives the named hold, making it if there is none. f.mu must be held.
func (f *Fleet) hold(scope fault.Scope, name string) *hold {
	key := string(scope) + " " + name
	h, ok := f.holds[key]
	if !ok {
		h = &hold{name: key, scope: scope}
		f.holds[key] = h
	}
	return h
}
