package consumer_test

import (
	"fmt"
	"strings"
	"time"

	"essworker/internal/esssim"
)

// scenario is a way events may go.
type scenario struct {
	name    string
	want    string        // what is stored of each of its events in the end
	before  func(r *run)  // what has happened when the process starts that will be cut off
	then    func(r *run)  // what happens while it works; nil is nothing
	many    bool          // it has several events, whose steps come in any order
	again   bool          // it is there to do again what had failed
	promise int           // the one that it is about, if not 2 or 4
	probes  int           // how many more calls may be made as time goes by
	late    time.Duration // how much later all may be settled, beside the ack wait and a retry's wait
}

const (
	bind  = "employee.onboarded"
	grant = "seal.grant.requested"
	link  = "autosign.link.requested"

	// probing is what a cut may cost where something is shut: a claim to a probe that
	// runs out, the wait for the next one, and the event's own wait.
	probing = 30 * time.Second

	refused = `{"userId":"nobody","openId":"n1"}` // data that the vendor refuses
)

var scenarios = []scenario{
	{name: "success", want: "result", before: func(r *run) { r.event("e", bind, data(bind, 1)) }},
	{name: "grant", want: "result", before: func(r *run) { r.event("e", grant, data(grant, 1)) }},
	{name: "link", want: "result", before: func(r *run) { r.event("e", link, data(link, 1)) }},
	{name: "slow call", want: "result", before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 3 * time.Second})
		r.event("e", bind, data(bind, 1))
	}},
	{name: "refused", want: "failure, rejected letter", before: func(r *run) { r.event("e", bind, refused) }},
	{name: "unreadable", want: "failure, invalid letter", before: func(r *run) { r.noEvent("e", bind) }},
	{name: "against its schema", want: "failure, invalid letter", before: func(r *run) { r.event("e", bind, `{"userId":"u"}`) }},
	{name: "expired", want: "expired letter, failure", before: func(r *run) {
		at := time.Now().Add(time.Second).UTC().Format(time.RFC3339)
		r.event("e", link, strings.Replace(data(link, 1), `"sceneKey"`, `"expiresAt":"`+at+`","sceneKey"`, 1))
		time.Sleep(2 * time.Second)
	}},
	{name: "third try", want: "result", before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.Status, Status: 503, Count: 2})
		r.event("e", bind, data(bind, 1))
	}},
	{name: "answer lost", want: "result", before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.ResetAfter, Count: 1})
		r.event("e", bind, data(bind, 1))
	}},
	{name: "exhausted", want: "exhausted letter, failure", before: func(r *run) {
		r.lanes.MaxAttempts = 3
		r.sim.Inject(esssim.Fault{Kind: esssim.Status, Status: 503})
		r.event("e", bind, data(bind, 1))
	}},
	{name: "poison", want: "failure, poison letter", before: func(r *run) {
		r.event("e", bind, data(bind, 1))
		for range r.lanes.PoisonAfter {
			r.meanwhile(point{"call", 1, before})
		}
	}},
	{name: "duplicate", want: "result", before: func(r *run) {
		r.event("e", bind, data(bind, 1))
		r.meanwhile(point{})
		r.event("e", bind, data(bind, 1))
	}},
	{name: "duplicate of a failure", want: "failure, rejected letter", before: func(r *run) {
		r.event("e", bind, refused)
		r.meanwhile(point{})
		r.event("e", bind, refused)
	}},
	{name: "throttled", want: "result", before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.Throttle, Count: 1})
		r.event("e", bind, data(bind, 1))
	}},
	{name: "wrong key", want: "result", promise: 5, probes: 1, late: probing, before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.RotateKey})
		r.event("e", bind, data(bind, 1))
	}, then: func(r *run) {
		r.pass(12 * time.Second)
		r.sim.ClearFaults()
	}},
	{name: "vendor down", want: "result", promise: 6, probes: 1, late: probing, before: func(r *run) {
		r.gates.BreakerFailures = 2
		r.sim.Inject(esssim.Fault{Kind: esssim.Status, Status: 503})
		r.event("e", bind, data(bind, 1))
	}, then: func(r *run) {
		r.pass(15 * time.Second)
		r.sim.ClearFaults()
	}},
	{name: "tenant held", want: "result", many: true, promise: 5, probes: 1, late: probing, before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "OperationDenied.LicenseHasExpired", Message: "[sim]", Tenant: "yDORG1"})
		for i := range 3 {
			r.event(fmt.Sprint("e", i), bind, fmt.Sprintf(`{"userId":"yDSIM%d","openId":"o%d","agent":{"proxyOrganizationId":"yDORG1"}}`, i, i))
		}
	}, then: func(r *run) {
		r.pass(12 * time.Second)
		r.sim.ClearFaults()
	}},
	{name: "replay", again: true, want: "failure, result", before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "no [sim]", Count: 1})
		r.event("e", bind, data(bind, 1))
		r.meanwhile(point{})
		r.replay(r.newestLetter())
	}},
	{name: "replay in vain", again: true, want: "failure, rejected letter", before: func(r *run) {
		r.event("e", bind, refused)
		r.meanwhile(point{})
		r.replay(r.newestLetter())
	}},
	{name: "shutdown during a call", want: "result", before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 3 * time.Second})
		r.event("e", bind, data(bind, 1))
	}, then: func(r *run) {
		r.pass(time.Second)
		r.shutdown()
	}},
	{name: "shutdown in the queue", want: "result", many: true, before: func(r *run) {
		r.gates.Rate = 1
		for i := range 3 {
			r.event(fmt.Sprint("e", i), bind, data(bind, i))
		}
	}, then: func(r *run) {
		r.pass(500 * time.Millisecond)
		r.shutdown()
		r.hire(point{})
	}},
	{name: "several", want: "result", many: true, before: func(r *run) {
		r.gates.Rate = 2
		for i, typ := range []string{bind, grant, link, bind, bind} {
			r.event(fmt.Sprint("e", i), typ, data(typ, i))
		}
	}},
	{name: "second cut behind the call", want: "result", before: func(r *run) {
		r.event("e", bind, data(bind, 1))
		r.meanwhile(point{"call", 1, after})
	}},
	{name: "second cut behind the result", want: "result", before: func(r *run) {
		r.event("e", bind, data(bind, 1))
		r.meanwhile(point{"store result", 1, after})
	}},
	{name: "second cut behind the letter", want: "failure, rejected letter", before: func(r *run) {
		r.event("e", bind, refused)
		r.meanwhile(point{"store letter", 1, after})
	}},
	{name: "second cut behind the failure", want: "failure, rejected letter", before: func(r *run) {
		r.event("e", bind, refused)
		r.meanwhile(point{"store failure", 1, after})
	}},
	{name: "second cut behind the attempts", want: "result", before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.Status, Status: 503, Count: 1})
		r.event("e", bind, data(bind, 1))
		r.meanwhile(point{"store attempts", 1, after})
	}},
	{name: "operator", again: true, want: "failure, result", before: func(r *run) {
		r.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "no [sim]", Count: 1})
		r.event("e", bind, data(bind, 1))
		r.meanwhile(point{})
		r.job = r.operator
	}, then: func(r *run) {
		r.pass(time.Minute)
		r.job = r.worker
		r.hire(point{})
	}},
}
