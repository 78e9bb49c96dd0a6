package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"essworker/internal/fault"
	"essworker/internal/mask"
)

// ownKeys begin the keys of bars that are this worker's alone and never written.
const ownKeys = "own."

// settle draws the conclusions of one call: what its fault begins, what its success as
// a probe ends, what a throttled answer slows down.
func (g *Gate) settle(c Call, claims []claim, err error) {
	f := g.fleet
	if err != nil && unasked(err) {
		if len(claims) > 0 {
			g.drop(claims)
			f.changed.changed()
		}
		return
	}
	flt := fault.Of(err)
	for _, cl := range claims {
		if err := g.answered(cl.key, flt); err != nil {
			f.tasks.Go(func() { g.insist(cl.key, flt, err) })
		}
	}
	switch {
	case flt == nil:
		if f.agreed.quiet() {
			return
		}
		if b := f.agreed.bar(tenantKey(c.Tenant)); !b.blank() { // a call that began before the hold, too
			g.end(tenantKey(c.Tenant))
		}
	case flt.Scope == fault.Tenant && (flt.Kind == fault.Misconfigured || flt.Kind == fault.Permanent):
		g.tenantFailed(c, flt)
	case flt.Kind == fault.Misconfigured:
		g.hold(flt)
	case flt.Kind == fault.Throttled:
		g.throttled(flt)
	}
	if flt != nil || len(claims) > 0 {
		f.changed.changed()
	}
}

// answered takes in the answer to the fleet's probe of a bar.
func (g *Gate) answered(key string, flt *fault.Error) error {
	f := g.fleet
	var before Bar
	defer f.answer(key)()
	after, err := f.change(f.ctx, key, func(b *Bar, now time.Time) bool {
		before = *b
		if !b.Shut() {
			return false
		}
		if b.mended(flt) {
			b.open()
			return true
		}
		every := f.cfg.HoldProbe
		if b.Kind == Breaker {
			every = f.cfg.BreakerCooldown
		}
		b.again(flt, now, every)
		return true
	})
	switch {
	case err != nil:
		return err
	case !before.Shut():
	case before.Kind == Breaker && after.Shut():
		g.transition(ofFleet, "half-open", "open", flt)
	case before.Kind == Breaker:
		g.transition(ofFleet, "half-open", "closed", nil)
	case !after.Shut():
		g.ended(before)
	}
	return nil
}

// insist tells the fleet the answer to a probe that it could not be told at once, until
// the claim runs out and somebody probes again.
func (g *Gate) insist(key string, flt *fault.Error, err error) {
	f := g.fleet
	for end := time.Now().Add(f.callTimeout); err != nil && time.Now().Before(end); {
		if sleep(f.ctx, f.unreachable("the answer to a probe", err)) != nil {
			return
		}
		err = g.answered(key, flt)
	}
	f.changed.changed()
}

// hold begins the hold of a fault's scope for the whole fleet, or, if the others have
// found nothing wrong with it a short while ago, for this worker alone.
func (g *Gate) hold(flt *fault.Error) {
	f := g.fleet
	kind, name, key := Action, g.action, actionKey(g.action)
	if flt.Scope == fault.Credential {
		kind, name, key = Credential, g.credential, credentialKey(g.credential)
	}
	if own := ownKeys + key; f.refuted(key) || f.agreed.bar(own).Shut() {
		key = own
	}
	began := false
	_, err := f.change(f.ctx, key, func(b *Bar, now time.Time) bool {
		b.Kind, b.Name = kind, name
		began = b.shut(flt, f.id, now, f.cfg.HoldProbe)
		return began
	})
	if err != nil {
		f.unreachable("a hold", err)
	}
	if began {
		g.began(string(kind)+" "+name, flt, strings.HasPrefix(key, ownKeys))
	}
}

// tenantFailed counts a failure against the tenant, and holds its events when several
// different ones have failed in a row.
func (g *Gate) tenantFailed(c Call, flt *fault.Error) {
	f := g.fleet
	began := false
	_, err := f.change(f.ctx, tenantKey(c.Tenant), func(b *Bar, now time.Time) bool {
		b.Kind, b.Name, began = Tenant, mask.Text(c.Tenant), false
		if b.Shut() {
			return false
		}
		if b.event(c.Key) {
			began = b.shut(flt, f.id, now, f.cfg.HoldProbe)
		}
		return true
	})
	if err != nil {
		f.unreachable("a tenant's failure", err)
	}
	if began {
		g.began("tenant "+c.Tenant, flt, false)
	}
}

// end opens a bar without a probe.
func (g *Gate) end(key string) {
	f := g.fleet
	var before Bar
	_, err := f.change(f.ctx, key, func(b *Bar, _ time.Time) bool {
		before = *b
		b.open()
		return !before.blank()
	})
	if err != nil {
		f.unreachable("the end of a hold", err)
	} else if before.Shut() {
		g.ended(before)
	}
}

// throttled slows down the action, or every action of the credential when the vendor
// limits the account or the address.
func (g *Gate) throttled(flt *fault.Error) {
	f := g.fleet
	d := max(time.Second, flt.RetryAfter)
	for q := range f.quotasOf(g, flt.Scope == fault.Credential) {
		q.push(f.ctx, d)
	}
	f.log.Warn("throttled: every call of the action waits and the pace is halved",
		"lane", g.lane, "code", flt.Code, "why", flt.Text(), "request_id", flt.RequestID, "wait", d.String())
}

// moved follows a bar that has shut or opened: the worker's own breaker starts afresh,
// and a hold of ours that another worker has ended is ours alone from now on.
func (f *Fleet) moved(before, after Bar) {
	if before.Shut() == after.Shut() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kind, name := after.Kind, after.Name
	if name == "" {
		kind, name = before.Kind, before.Name
	}
	switch {
	case kind == Breaker:
		if g, ok := f.gates[name]; ok {
			g.breaker.reset()
		}
	case kind != Tenant && before.Shut() && before.By == f.id && f.answering[holdKey(kind, name)] == 0:
		f.refutedAt[holdKey(kind, name)] = time.Now()
	}
}

// answer notes a bar that this worker is about to end or prolong, until it has.
func (f *Fleet) answer(key string) (told func()) {
	count := func(n int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.answering[key] += n; f.answering[key] == 0 {
			delete(f.answering, key)
		}
	}
	count(1)
	return func() { count(-1) }
}

// refuted reports whether others have ended a hold that this worker began lately: then
// the fault is this worker's own, its clock or its key file perhaps.
func (f *Fleet) refuted(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.refutedAt[key]
	return ok && time.Since(at) < 10*f.cfg.HoldProbe
}

// began and ended are one log line for each hold, whichever worker noticed.
func (g *Gate) began(what string, flt *fault.Error, alone bool) {
	g.fleet.log.Error("hold began: nothing is lost, work waits until this is mended",
		"hold", what, "lane", g.lane, "code", flt.Code, "why", flt.Text(), "request_id", flt.RequestID,
		"probe_every", g.fleet.cfg.HoldProbe.String(), "this_worker_only", alone)
}

func (g *Gate) ended(b Bar) {
	g.fleet.log.Info("hold ended", "hold", string(b.Kind)+" "+b.Name, "lane", g.lane,
		"held_for", g.fleet.clock.now().Sub(b.Since).String())
}

// transition is one log line and one metric for every change of a breaker: of the
// fleet's, at the worker that made it, or of a worker's own. Why is nil unless it opens.
func (g *Gate) transition(of, from, to string, why *fault.Error) {
	log := g.fleet.log.With("lane", g.lane, "of", of, "from", from, "to", to)
	code := ""
	if why == nil {
		log.Info("breaker moved")
	} else {
		code = why.Code
		log.Warn("breaker opened", "code", code, "why", why.Text(), "request_id", why.RequestID,
			"cooldown", g.fleet.cfg.BreakerCooldown.String())
	}
	g.fleet.metrics.transition(g.lane, of, to, code)
}

// The breakers a transition may be of.
const (
	ofFleet  = "fleet"
	ofWorker = "worker"
)

func breakerKey(lane string) string    { return gateKeys + "breaker." + lane }
func actionKey(action string) string   { return gateKeys + "action." + action }
func credentialKey(name string) string { return gateKeys + "credential." + name }

// tenantKey names a tenant by a hash: its name may hold what a key may not.
func tenantKey(name string) string {
	sum := sha256.Sum256([]byte(name))
	return tenantKeys + hex.EncodeToString(sum[:10])
}

func holdKey(kind Kind, name string) string {
	if kind == Credential {
		return credentialKey(name)
	}
	return actionKey(name)
}
