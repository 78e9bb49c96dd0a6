package fleet

import (
	"slices"
	"time"

	"essworker/internal/fault"
)

// tenantPatience is how many different events of a tenant must fail for the
// tenant's sake, with no success in between, before its events are held.
const tenantPatience = 3

// hold keeps work of one scope waiting while its fault is ours to mend: wrong
// credentials, clock, permission or endpoint. Guarded by Fleet.mu.
type hold struct {
	name    string
	scope   fault.Scope
	why     string
	since   time.Time // zero when nothing is held
	probeAt time.Time
	probing bool
}

func (h *hold) held() bool { return !h.since.IsZero() }

// due is how long to wait until a probe may go; 0 is now, and less than 0 means
// that one is under way.
func (h *hold) due(now time.Time) time.Duration {
	if h.probing {
		return -1
	}
	return max(0, h.probeAt.Sub(now))
}

// set begins the hold, or puts its next probe off. It reports whether it began.
func (h *hold) set(why string, now time.Time, probeIn time.Duration) bool {
	began := !h.held()
	if began {
		h.since = now
	}
	h.why, h.probeAt = why, now.Add(probeIn)
	return began
}

func (h *hold) clear() { h.since, h.why = time.Time{}, "" }

// tenant is a hold that begins only once several different events say so.
type tenant struct {
	hold
	streak []string // keys of the different events that failed in a row, as many as it takes
}

func (t *tenant) failed(key string) (enough bool) {
	if len(t.streak) < tenantPatience && !slices.Contains(t.streak, key) {
		t.streak = append(t.streak, key)
	}
	return len(t.streak) >= tenantPatience
}

// settleHolds draws the conclusions of one call for holds: what the call's fault
// begins, what its success as a probe ends. f.mu must be held.
func (f *Fleet) settleHolds(g *Gate, c Call, flt *fault.Error, claimed []*hold, now time.Time) {
	for _, h := range claimed {
		h.probing = false
		h.probeAt = now.Add(f.cfg.HoldProbe)
		if mended(h.scope, flt) {
			f.end(h, g, now)
			if h.scope == fault.Tenant {
				delete(f.tenants, c.Tenant) // the next hold takes several events again
			}
		}
	}
	switch {
	case flt == nil:
		if t, ok := f.tenants[c.Tenant]; ok { // also without a probe: a call that began before the hold
			f.end(&t.hold, g, now)
			delete(f.tenants, c.Tenant)
		}
	case flt.Scope == fault.Tenant && (flt.Kind == fault.Misconfigured || flt.Kind == fault.Permanent):
		t, ok := f.tenants[c.Tenant]
		if !ok {
			t = &tenant{hold: hold{name: "tenant " + c.Tenant, scope: fault.Tenant}}
			f.tenants[c.Tenant] = t
		}
		if t.failed(c.Key) {
			f.begin(&t.hold, g, flt, now)
		}
	case flt.Kind == fault.Misconfigured:
		for _, h := range g.holds {
			if h.scope == flt.Scope {
				f.begin(h, g, flt, now)
			}
		}
	}
}

func (f *Fleet) begin(h *hold, g *Gate, flt *fault.Error, now time.Time) {
	if h.set(flt.Error(), now, f.cfg.HoldProbe) {
		f.log.Error("hold began: nothing is lost, work waits until this is mended",
			"hold", h.name, "lane", g.lane, "code", flt.Code, "why", flt.Message,
			"request_id", flt.RequestID, "probe_every", f.cfg.HoldProbe.String())
	}
}

func (f *Fleet) end(h *hold, g *Gate, now time.Time) {
	if h.held() {
		f.log.Info("hold ended", "hold", h.name, "lane", g.lane, "held_for", now.Sub(h.since).String())
		h.clear()
	}
}

// mended reports whether an answer proves that a scope is in order: the vendor did
// the work, refused this one event, or complained about something narrower.
func mended(scope fault.Scope, flt *fault.Error) bool {
	if flt == nil {
		return true
	}
	switch flt.Kind {
	case fault.Permanent:
		return flt.Scope != scope
	case fault.Misconfigured:
		return rank(flt.Scope) > rank(scope)
	case fault.Transient, fault.Throttled:
		return false
	}
	return false
}

func rank(s fault.Scope) int {
	return slices.Index([]fault.Scope{fault.Credential, fault.Action, fault.Tenant}, s)
}
