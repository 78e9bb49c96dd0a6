package fleet

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"essworker/internal/fault"
)

// ErrInterrupted is the cause of a call that was cut off by our own shutdown.
var ErrInterrupted = errors.New("interrupted by shutdown")

// ClosedError says that a call was not made because something is closed or held, or
// must leave room for others. It costs the event nothing.
type ClosedError struct {
	Why     string
	RetryIn time.Duration // when it may be worth another look; 0 is unknown
	Most    time.Duration // the longest it should stay away; 0 is no bound of the fleet's
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
	fleet      *Fleet
	lane       string
	action     string
	credential string
	breakerKey string
	bars       []string // keys of what may keep the whole lane back, widest scope first
	quota      *quota
	breaker    *breaker
	calls      atomic.Int64 // under way
}

const (
	// callLease is what a claim to a probe gets on top of the longest a call may take: if
	// the worker dies meanwhile, another one probes then.
	callLease = 5 * time.Second
	// probeSpread keeps the lanes of all workers from taking an event each as soon as a
	// probe is due: one is enough, and the others see its claim.
	probeSpread = 500 * time.Millisecond
)

// Limit is how many calls per second the lane may make; 0 is no limit.
func (g *Gate) Limit() int { return g.quota.limit() }

// Enter waits until the lane may take work. When probe is true that may become the
// fleet's one probe, or its worker's own: the lane may take one event only and must see
// it through before it enters again.
func (g *Gate) Enter(ctx context.Context) (probe bool, err error) {
	var turn time.Time // when this lane's chance at a probe comes
	for {
		changed := g.fleet.changed.wait()
		wait, shut, probe := g.look()
		switch {
		case wait != 0:
			turn = time.Time{}
		case shut && turn.IsZero():
			turn = time.Now().Add(rand.N(probeSpread)) //nolint:gosec // spreads load, guards nothing
			fallthrough
		case shut && time.Until(turn) > 0:
			wait = time.Until(turn)
		}
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
	wait, _, probe := g.look()
	return probe, wait == 0
}

// Closed gives a channel that is closed at the next change of any gate, for a lane
// that has asked for work and must stop waiting for it when its gate closes.
func (g *Gate) Closed() (changed <-chan struct{}, closed bool) {
	changed = g.fleet.changed.wait()
	wait, _, _ := g.look()
	return changed, wait != 0
}

// Check tells, before a slot of the quota is spent, whether a hold would refuse the call.
func (g *Gate) Check(c Call) error {
	f := g.fleet
	if f.agreed.quiet() {
		return nil
	}
	now := f.clock.now()
	for _, key := range g.inWay(c) {
		if b := f.agreed.bar(key); b.Shut() {
			if wait := b.due(now); wait > 0 {
				return f.closed(b, wait)
			}
		}
	}
	return nil
}

// inWay lists what may keep a call back.
func (g *Gate) inWay(c Call) []string { return append(slices.Clone(g.bars), tenantKey(c.Tenant)) }

// Slot waits for the next slot of the quota.
func (g *Gate) Slot(ctx context.Context, ask Ask) error {
	return g.quota.wait(ctx, ask)
}

// Do makes one call and tells breaker, holds and quota how it went. probe reports
// whether the call was the lane's question rather than the event's attempt. A
// *ClosedError means that no call was made. A panic of the call is passed on.
func (g *Gate) Do(ctx context.Context, c Call, call func(context.Context) ([]byte, error)) (out []byte, probe bool, err error) {
	claims, err := g.take(ctx, c)
	if err != nil {
		return nil, false, err
	}
	g.calls.Add(1)
	defer g.calls.Add(-1)
	outcome := errCrashed
	defer func() { g.settle(c, claims, outcome) }()
	if slices.ContainsFunc(claims, func(cl claim) bool { return cl.key == g.breakerKey }) {
		// The fleet asks whether the vendor is back, whatever this worker has seen of it.
		start := time.Now()
		out, err = call(ctx)
		if outcome = err; err == nil && g.breaker.slow(time.Since(start)) {
			outcome = g.breaker.tooSlow()
		}
		return out, true, err
	}
	out, probe, outcome = g.breaker.execute(func() ([]byte, error) { return call(ctx) })
	return out, probe || len(claims) > 0, outcome
}

// claim is the right to probe one bar.
type claim struct{ key, by string }

// take makes sure that what is shut in the call's way is this call's to probe, for as
// long as it may take, or refuses. The widest comes first, so that two calls never hold
// half each.
func (g *Gate) take(ctx context.Context, c Call) (claims []claim, err error) {
	f := g.fleet
	if f.agreed.quiet() {
		return nil, nil
	}
	by := f.id + "/" + g.lane + " " + c.Key
	for _, key := range g.inWay(c) {
		if !f.agreed.bar(key).Shut() {
			continue
		}
		ours := false
		b, err := f.change(ctx, key, func(b *Bar, now time.Time) bool {
			ours = b.claim(by, now, f.callTimeout+callLease)
			return ours
		})
		switch {
		case err != nil:
			g.drop(claims)
			return nil, f.closed(b, f.unreachable("a probe", err))
		case ours:
			claims = append(claims, claim{key, by})
		case b.Shut():
			g.drop(claims)
			return nil, f.closed(b, b.due(f.clock.now()))
		}
	}
	return claims, nil
}

// drop gives claims back: they have asked nothing.
func (g *Gate) drop(claims []claim) {
	f := g.fleet
	for _, cl := range claims {
		_, err := f.change(f.ctx, cl.key, func(b *Bar, _ time.Time) bool { return b.drop(cl.by) })
		if err != nil {
			f.unreachable("a probe", err) // the claim runs out
		}
	}
}

// look tells how long the lane must wait: 0 not at all, less than 0 until something
// changes. shut says that the fleet lets probes through only.
func (g *Gate) look() (wait time.Duration, shut, probe bool) {
	f, open := g.fleet, true // the breaker of this worker has a say
	if !f.agreed.quiet() {
		now := f.clock.now()
		for _, key := range g.bars {
			if b := f.agreed.bar(key); b.Shut() {
				shut, wait = true, max(wait, b.due(now))
				if b.Kind != Breaker && b.By == f.id { // the fault may be ours: others ask first, if there are any
					wait = max(wait, b.ProbeAt.Add(2*probeSpread).Sub(now))
				}
				open = open && key != g.breakerKey
			}
		}
	}
	if !open {
		return wait, shut, true
	}
	own, probe := g.breaker.look()
	if own < 0 {
		return own, shut, false
	}
	return max(wait, own), shut, probe || shut
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
