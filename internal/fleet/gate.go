package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"essworker/internal/fault"
)

// ErrInterrupted is the cause of a call that was cut off by our own shutdown.
var ErrInterrupted = errors.New("interrupted by shutdown")

// ClosedError says that a call was not made because something is closed or held.
// It costs the event nothing.
type ClosedError struct {
	Why     string
	RetryIn time.Duration // when it may be worth another look; 0 is unknown
}

func (e *ClosedError) Error() string { return "not called: " + e.Why }

// Call says whose call a lane wants to make.
type Call struct {
	Tenant string // the vendor's organisation, operator or application
	Key    string // names the event, so that one event failing thrice is not three events
}

// Gate is what a lane waits at before it takes work and passes before each call.
// It is safe for concurrent use.
type Gate struct {
	fleet   *Fleet
	lane    string
	quota   *Quota
	breaker *breaker
	holds   []*hold // widest scope first
}

// Limit is how many calls per second the lane may make; 0 is no limit.
func (g *Gate) Limit() int { return g.fleet.cfg.Rate }

// Enter waits until the lane may take work. When probe is true it may take one
// event only and must see it through before it enters again.
func (g *Gate) Enter(ctx context.Context) (probe bool, err error) {
	for {
		changed := g.fleet.changed.wait()
		wait, probe := g.look(time.Now())
		if wait == 0 {
			return probe, context.Cause(ctx)
		}
		if err := g.rest(ctx, wait, changed); err != nil {
			return false, err
		}
	}
}

// Open tells without waiting whether the lane may take work, and whether that would
// be a probe.
func (g *Gate) Open() (probe, open bool) {
	wait, probe := g.look(time.Now())
	return probe, wait == 0
}

// Closed gives a channel that is closed at the next change of any gate, for a lane
// that has asked for work and must stop waiting for it when its gate closes.
func (g *Gate) Closed() (changed <-chan struct{}, closed bool) {
	changed = g.fleet.changed.wait()
	wait, _ := g.look(time.Now())
	return changed, wait != 0
}

// Check tells, before a slot of the quota is spent, whether a hold would refuse the call.
func (g *Gate) Check(c Call) error {
	g.fleet.mu.Lock()
	defer g.fleet.mu.Unlock()
	return g.refuse(g.held(c))
}

// Slot waits for the next slot of the quota.
func (g *Gate) Slot(ctx context.Context) error { return g.quota.Wait(ctx) }

// Do makes one call and tells breaker, holds and quota how it went. probe reports
// whether the call was the lane's question rather than the event's attempt. A
// *ClosedError means that no call was made. A panic of the call is passed on.
func (g *Gate) Do(ctx context.Context, c Call, call func(context.Context) ([]byte, error)) (out []byte, probe bool, err error) {
	claimed, err := g.claim(c)
	if err != nil {
		return nil, false, err
	}
	outcome := errCrashed
	defer func() { g.settle(c, claimed, outcome) }()
	out, probe, outcome = g.breaker.execute(func() ([]byte, error) { return call(ctx) })
	return out, probe || len(claimed) > 0, outcome
}

// claim takes the probes of whatever is held and due, or refuses.
func (g *Gate) claim(c Call) ([]*hold, error) {
	g.fleet.mu.Lock()
	defer g.fleet.mu.Unlock()
	held := g.held(c)
	if err := g.refuse(held); err != nil {
		return nil, err
	}
	for _, h := range held {
		h.probing = true
	}
	return held, nil
}

// refuse gives a *ClosedError if one of the holds is not due for a probe, or is being
// probed. Fleet.mu must be held.
func (g *Gate) refuse(held []*hold) error {
	now := time.Now()
	for _, h := range held {
		wait := h.due(now)
		if wait == 0 {
			continue
		}
		if wait < 0 { // how long the probe takes is unknown; if it fails, the next is that far away
			wait = g.fleet.cfg.HoldProbe
		}
		return &ClosedError{Why: h.name + " is held: " + h.why, RetryIn: wait}
	}
	return nil
}

// held lists what is held in the call's way. Fleet.mu must be held.
func (g *Gate) held(c Call) []*hold {
	var held []*hold
	for _, h := range g.holds {
		if h.held() {
			held = append(held, h)
		}
	}
	if t, ok := g.fleet.tenants[c.Tenant]; ok && t.held() {
		held = append(held, &t.hold)
	}
	return held
}

func (g *Gate) settle(c Call, claimed []*hold, err error) {
	f := g.fleet
	flt := fault.Of(err)
	if err != nil && unasked(err) {
		f.release(claimed)
	} else {
		f.mu.Lock()
		f.settleHolds(g, c, flt, claimed, time.Now())
		f.mu.Unlock()
	}
	if flt != nil && flt.Kind == fault.Throttled {
		g.throttled(flt)
	}
	if flt != nil || len(claimed) > 0 {
		f.changed.changed()
	}
}

// release gives probes back that asked nothing.
func (f *Fleet) release(claimed []*hold) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range claimed {
		h.probing = false
	}
}

// throttled slows down the action, or every action of the credential when the
// vendor limits the account or the address.
func (g *Gate) throttled(flt *fault.Error) {
	f := g.fleet
	d := max(time.Second, flt.RetryAfter)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, other := range f.gates {
		if other == g || (flt.Scope == fault.Credential && other.holds[0] == g.holds[0]) {
			other.quota.Push(d)
		}
	}
}

// look tells how long the lane must wait: 0 not at all, less than 0 until
// something changes.
func (g *Gate) look(now time.Time) (wait time.Duration, probe bool) {
	g.fleet.mu.Lock()
	for _, h := range g.holds {
		if h.held() {
			probe = true
			if wait = h.due(now); wait != 0 {
				break
			}
		}
	}
	g.fleet.mu.Unlock()
	if wait != 0 {
		return wait, false
	}
	switch g.breaker.State() {
	case gobreaker.StateOpen:
		// gobreaker moves on only when its time is strictly past.
		return max(g.breaker.until.Load().Sub(now), 0) + time.Nanosecond, false
	case gobreaker.StateHalfOpen:
		if g.breaker.probing.Load() {
			return -1, false
		}
		return 0, true
	case gobreaker.StateClosed:
	}
	return 0, probe
}

// rest waits for a change or, if wait is above 0, for that long.
func (g *Gate) rest(ctx context.Context, wait time.Duration, changed <-chan struct{}) error {
	var after <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-after:
	case <-changed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (g *Gate) state() State {
	s := State{Lane: g.lane, Breaker: g.breaker.State().String(), Pace: g.quota.Pace()}
	for _, h := range g.holds {
		if h.held() && s.Held == "" {
			s.Held, s.Since = h.name+": "+h.why, h.since
		}
	}
	return s
}

// transition is one log line and one metric for every change of the breaker.
func (g *Gate) transition(from, to gobreaker.State, why *fault.Error) {
	log := g.fleet.log.With("lane", g.lane, "from", from.String(), "to", to.String())
	if to == gobreaker.StateOpen && why != nil {
		log.Warn("breaker opened", "code", why.Code, "why", why.Message, "request_id", why.RequestID,
			"cooldown", g.fleet.cfg.BreakerCooldown.String())
	} else {
		log.Info("breaker moved")
	}
	g.fleet.metrics.transition(g.lane, to.String())
	g.fleet.changed.changed()
}

// errCrashed is the outcome of a call that panicked.
var errCrashed = errors.New("the call crashed")

// unasked reports whether the vendor had no say in how a call ended: it was not made,
// our own side found first that it was too late or wrong, or shutdown cut it off.
func unasked(err error) bool {
	if _, closed := errors.AsType[*ClosedError](err); closed {
		return true
	}
	reason := fault.Of(err).Reason
	return errors.Is(err, context.Canceled) || errors.Is(err, ErrInterrupted) || errors.Is(err, errCrashed) ||
		reason == fault.Expired || reason == fault.Invalid
}

func kindIn(err error, kinds ...fault.Kind) bool {
	return slices.Contains(kinds, fault.Of(err).Kind)
}

func sortBy[T any](s []T, key func(T) string) {
	slices.SortFunc(s, func(a, b T) int { return strings.Compare(key(a), key(b)) })
}
