// Package doctor examines a deployment from end to end, as the worker uses it, and
// gives a verdict on each thing that has to be right.
//
// Its one rule: it changes nothing. It reads; and where only a write can prove
// something, it sends one that cannot have an effect: a publish on condition of a
// stream that does not exist, a call to the vendor about nobody. Nor does it wait: each
// answer has a limit of time, and silence is a verdict too.
package doctor

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/event"
	"essworker/internal/topology"
)

// Verdict says whether something is as it should be.
type Verdict string

// The verdicts.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // it works, but not for long, not for all, or it could not be seen
	Bad  Verdict = "bad"  // the worker cannot do its work, or a promise does not hold
)

// Finding is what one check came to. Its texts hold no secret and no person's data.
type Finding struct {
	Check   string  `json:"check"` // what was looked at, "stream ESS_EVENTS"; one check may have several findings
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Advice  string  `json:"advice"` // what to do about it; empty if nothing
}

// Doctor is what to examine.
type Doctor struct {
	// Connect opens a connection as the worker would, with the worker's login and inbox,
	// and fails if no server answers. It is called a few times.
	Connect  func(context.Context) (*nats.Conn, error)
	Topology topology.Config
	Routes   []event.Route // their names are used, no event is prepared
	Vendor   *Vendor       // nil: the vendor is not asked
	Monitors []*url.URL    // the servers' monitoring, "http://host:8222", which tells what clients cannot see
	Patience time.Duration // the longest wait for one answer
}

// Examine looks at everything and tells each finding as soon as it is known, one at a
// time. What cannot be looked at because something before it is bad is left out. It
// ends within a few times d.Patience, whatever does not answer; when ctx ends, it
// tells nothing more.
func (d Doctor) Examine(ctx context.Context, hear func(Finding)) {
	t := tell(func(f Finding) {
		if ctx.Err() == nil {
			hear(f)
		}
	})
	vendor := d.begin(ctx) // its answers may take as long as all the others together
	d.broker(ctx, t)
	for _, f := range vendor() {
		t(f)
	}
}

// begin asks the vendor meanwhile, and gives the function that waits for the findings.
func (d Doctor) begin(ctx context.Context) func() []Finding {
	if d.Vendor == nil {
		return func() []Finding { return nil }
	}
	done := make(chan []Finding, 1)
	go func() {
		var list []Finding
		d.vendor(ctx, func(f Finding) { list = append(list, f) })
		done <- list
	}()
	return func() []Finding { return <-done }
}

// types lists the event types of the routes.
func (d Doctor) types() []string {
	types := make([]string, len(d.Routes))
	for i, r := range d.Routes {
		types[i] = r.Type
	}
	return types
}

// patient bounds the wait for one answer.
func (d Doctor) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d.Patience)
}

// tell hears findings.
type tell func(Finding)

func (t tell) ok(check, found string, args ...any) {
	t(Finding{check, OK, fmt.Sprintf(found, args...), ""})
}

func (t tell) warn(check, advice, found string, args ...any) {
	t(Finding{check, Warn, fmt.Sprintf(found, args...), advice})
}

func (t tell) bad(check, advice, found string, args ...any) {
	t(Finding{check, Bad, fmt.Sprintf(found, args...), advice})
}
