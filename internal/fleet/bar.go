package fleet

import (
	"slices"
	"time"

	"essworker/internal/fault"
	"essworker/internal/mask"
)

// tenantPatience is how many different events of a tenant must fail for the
// tenant's sake, with no success in between, before its events are held.
const tenantPatience = 3

// whyMost bounds the text a bar keeps, in bytes.
const whyMost = 512

// Kind says what a bar keeps from being called.
type Kind string

// The kinds of a bar. The last three are the scopes of a fault.
const (
	Breaker    Kind = "breaker"    // the vendor is sick: one lane's calls
	Credential Kind = "credential" // every lane that is called with the same key
	Action     Kind = "action"     // every lane of one vendor action
	Tenant     Kind = "tenant"     // one tenant's events
)

// Bar is what stands in the way of calls, an open breaker or a hold, and what is
// known on the way there. It is a record of the fleet; times are the server's.
type Bar struct {
	Kind      Kind          `json:"kind"`
	Name      string        `json:"name"`                // the lane, credential, action or tenant
	Since     time.Time     `json:"since,omitzero"`      // when it shut; zero while it is not shut
	Code      string        `json:"code,omitempty"`      // what shut it, as the vendor or we call it
	Why       string        `json:"why,omitempty"`       // the same for people; masked
	RequestID string        `json:"requestId,omitempty"` // the vendor's
	By        string        `json:"by,omitempty"`        // the worker that shut it
	ProbeAt   time.Time     `json:"probeAt,omitzero"`    // when it may be probed
	Every     time.Duration `json:"every,omitzero"`      // how far away that was when it was set
	Probe     *Claim        `json:"probe,omitempty"`     // who probes
	Failed    []Witness     `json:"failed,omitempty"`    // of a breaker that is not open: failures in a row
	Events    []string      `json:"events,omitempty"`    // of a tenant: keys of the events that failed in a row
}

// Claim is a call's right to be the one probe.
type Claim struct {
	By    string        `json:"by"` // worker, lane and event
	Until time.Time     `json:"until"`
	Lease time.Duration `json:"lease"` // how long it was when it was made
}

// Witness is a worker that has seen calls fail with no success in between.
type Witness struct {
	Worker string    `json:"worker"`
	Times  int       `json:"times"`
	Last   time.Time `json:"last"`
}

// Shut reports whether calls are kept back.
func (b Bar) Shut() bool { return !b.Since.IsZero() }

// blank reports whether the bar says nothing at all.
func (b Bar) blank() bool { return !b.Shut() && len(b.Failed) == 0 && len(b.Events) == 0 }

// keep is how long the record stays that nobody touches: a tenant may never come back,
// and there may be thousands of which one event failed.
func (b Bar) keep() time.Duration {
	switch {
	case b.blank():
		return gone
	case b.Shut():
		return 7 * 24 * time.Hour
	}
	return time.Hour
}

// due is how long a probe must wait; 0 is now. A claim counts until it runs out: the
// worker that made it may have died. What is further ahead than it was when it was set
// was set by a server's clock that has been put back since, and counts for nothing.
func (b Bar) due(now time.Time) time.Duration {
	if p := b.Probe; p != nil && p.Until.After(now) && p.Until.Sub(now) <= p.Lease+clockSlack {
		return p.Until.Sub(now)
	}
	if wait := b.ProbeAt.Sub(now); wait > 0 && wait <= b.Every+clockSlack {
		return wait
	}
	return 0
}

// claim takes the probe for a call.
func (b *Bar) claim(by string, now time.Time, lease time.Duration) bool {
	if !b.Shut() || b.due(now) > 0 {
		return false
	}
	b.Probe = &Claim{By: by, Until: now.Add(lease), Lease: lease}
	return true
}

// drop gives a claim back; the next probe may be made at once.
func (b *Bar) drop(by string) bool {
	if b.Probe == nil || b.Probe.By != by {
		return false
	}
	b.Probe = nil
	return true
}

// shut keeps calls back from now on. It reports whether it began.
func (b *Bar) shut(flt *fault.Error, by string, now time.Time, probeIn time.Duration) bool {
	if b.Shut() {
		return false
	}
	b.Since, b.ProbeAt, b.Every, b.By, b.Failed = now, now.Add(probeIn), probeIn, by, nil
	b.explain(flt)
	return true
}

// again keeps calls back for longer: the probe has failed.
func (b *Bar) again(flt *fault.Error, now time.Time, probeIn time.Duration) {
	b.Probe, b.ProbeAt, b.Every = nil, now.Add(probeIn), probeIn
	if b.Kind == Breaker || flt.Scope != "" && Kind(flt.Scope) == b.Kind {
		b.explain(flt) // an outage meanwhile is not what a hold is about
	}
}

func (b *Bar) explain(flt *fault.Error) {
	if flt != nil {
		b.Code, b.Why, b.RequestID = flt.Code, mask.Cut(mask.Text(flt.Text()), whyMost), flt.RequestID
	}
}

// open lets calls through again; nothing of what was is remembered.
func (b *Bar) open() { *b = Bar{Kind: b.Kind, Name: b.Name} }

// witness takes in that calls failed at a worker, and tells whether that is enough to
// open the breaker for the whole fleet: as many failures in a row as it takes, of which
// one worker, whose network may be at fault, counts for half, unless there is no other.
func (b *Bar) witness(worker string, times int, now time.Time, enough int, memory time.Duration, alone bool) bool {
	if b.Shut() {
		return false
	}
	b.Failed = slices.DeleteFunc(b.Failed, func(w Witness) bool { return now.Sub(w.Last) > memory })
	i := slices.IndexFunc(b.Failed, func(w Witness) bool { return w.Worker == worker })
	if i < 0 {
		i = len(b.Failed)
		b.Failed = append(b.Failed, Witness{Worker: worker})
	}
	b.Failed[i].Times, b.Failed[i].Last = b.Failed[i].Times+times, now
	most, sum := (enough+1)/2, 0
	if alone {
		most = enough
	}
	for _, w := range b.Failed {
		sum += min(w.Times, most)
	}
	return sum >= enough && (len(b.Failed) > 1 || alone)
}

// event takes in that one more event of a tenant failed for its sake, and tells
// whether that is enough to hold the tenant.
func (b *Bar) event(key string) bool {
	if len(b.Events) < tenantPatience && !slices.Contains(b.Events, key) {
		b.Events = append(b.Events, key)
	}
	return len(b.Events) >= tenantPatience
}

// mended reports whether the answer to a probe proves that what a bar stands for is in
// order: the vendor did the work, refused this one event, or, of a hold, complained
// about something narrower.
func (b Bar) mended(flt *fault.Error) bool {
	if flt == nil {
		return true
	}
	switch flt.Kind {
	case fault.Permanent:
		return b.Kind == Breaker || Kind(flt.Scope) != b.Kind
	case fault.Misconfigured:
		return rank(Kind(flt.Scope)) > rank(b.Kind)
	case fault.Transient, fault.Throttled:
		return false
	}
	return false
}

// rank orders the scopes, widest first. A breaker is none: what is misconfigured says
// nothing about the vendor's health, and the hold it begins has its own probes.
func rank(k Kind) int {
	return slices.Index([]Kind{Credential, Action, Tenant, Breaker}, k)
}
