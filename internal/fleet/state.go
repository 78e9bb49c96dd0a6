package fleet

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// State is how one lane's gate stands, for people and for /readyz.
type State struct {
	Lane    string
	Breaker string  // "closed", "open" or "half-open"
	Alone   bool    // the breaker is this worker's own: the fleet's is closed
	Pace    float64 // calls per second at present; 0 is no limit
	Held    string  // why the lane is held; empty if it is not
	Since   time.Time
}

// States gives the state of every gate, sorted by lane.
func (f *Fleet) States() []State {
	f.mu.Lock()
	gates := slices.Collect(maps.Values(f.gates))
	f.mu.Unlock()
	states := make([]State, 0, len(gates))
	for _, g := range gates {
		states = append(states, g.state())
	}
	slices.SortFunc(states, func(a, b State) int { return strings.Compare(a.Lane, b.Lane) })
	return states
}

func (g *Gate) state() State {
	f := g.fleet
	now := f.clock.now()
	s := State{Lane: g.lane, Breaker: g.breaker.own.Load().State().String(), Pace: g.quota.pace(now)}
	s.Alone = s.Breaker != "closed"
	if b := f.agreed.bar(g.breakerKey); b.Shut() {
		s.Breaker, s.Alone = "open", false
		if !b.ProbeAt.After(now) {
			s.Breaker = "half-open"
		}
	}
	for _, key := range g.bars {
		if b := f.agreed.bar(key); b.Kind != Breaker && b.Shut() && s.Held == "" {
			s.Held, s.Since = string(b.Kind)+" "+b.Name+": "+b.text(), b.Since
		}
	}
	return s
}

// text is the cause with its code.
func (b Bar) text() string {
	if b.Code == "" || b.Why == "" {
		return b.Code + b.Why
	}
	return b.Code + ": " + b.Why
}

// HeldTenant is a tenant whose own events wait while everybody else's go on.
type HeldTenant struct {
	Tenant string
	Why    string
	Since  time.Time
}

// HeldTenants lists them, sorted by name.
func (f *Fleet) HeldTenants() []HeldTenant {
	var held []HeldTenant
	if f.agreed.quiet() {
		return held
	}
	f.agreed.mu.Lock()
	for _, r := range f.agreed.records {
		if r.bar.Kind == Tenant && r.bar.Shut() {
			held = append(held, HeldTenant{r.bar.Name, r.bar.text(), r.bar.Since})
		}
	}
	f.agreed.mu.Unlock()
	slices.SortFunc(held, func(a, b HeldTenant) int { return strings.Compare(a.Tenant, b.Tenant) })
	return held
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
