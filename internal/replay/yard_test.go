package replay_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"essworker/internal/consumer"
	"essworker/internal/dlq"
	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/replay"
	"essworker/internal/stream"
	"essworker/internal/topology"
	"essworker/schemas"
)

const (
	typ    = "employee.onboarded"
	source = "/yard"
)

// yard is a deployment within a bubble: a real NATS server, the simulated vendor, and
// workers with their lanes and their runner of jobs.
type yard struct {
	*natstest.Bed

	t       testing.TB
	sim     *esssim.Sim
	rate    int
	box     *dlq.Box
	office  *replay.Office
	login   natsconn.Config
	letters int
	workers int
}

func inBubble(t *testing.T, test func(t *testing.T, y *yard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, newYard(t, natstest.New(t, handlers.Types()...)))
	})
}

func newYard(t testing.TB, bed *natstest.Bed) *yard {
	t.Helper()
	y := &yard{Bed: bed, t: t, sim: esssim.New(esssim.Config{}), rate: 0}
	box, err := dlq.Open(t.Context(), bed.JS, bed.Topology.Names, "test")
	if err != nil {
		t.Fatal(err)
	}
	y.box, y.office = box, y.open(bed.NC, bed.JS)
	return y
}

func (y *yard) open(nc *nats.Conn, js jetstream.JetStream) *replay.Office {
	y.t.Helper()
	o, err := replay.Open(y.t.Context(), nc, js, y.Topology.Names, handlers.Routes(nil, handlers.Defaults{}))
	if err != nil {
		y.t.Fatal(err)
	}
	return o
}

// worker starts a worker with a runner and gives two ways to end it: as SIGTERM does,
// and as kill -9 does as far as others can see.
func (y *yard) worker() (stop, kill func()) {
	y.t.Helper()
	return y.start(true)
}

// lanes starts a worker that runs no jobs.
func (y *yard) lanes() (stop func()) {
	y.t.Helper()
	stop, _ = y.start(false)
	return stop
}

func (y *yard) start(jobs bool) (stop, kill func()) {
	y.t.Helper()
	nc := y.Connect(natsconn.Options{}, y.login)
	js, err := jetstream.New(nc)
	if err != nil {
		y.t.Fatal(err)
	}
	const endpoint = "http://127.0.0.1:9080"
	vendor := essapi.Config{Endpoint: endpoint, BasicEndpoint: endpoint, Timeout: 35 * time.Second, SecretID: esssim.SecretID, SecretKey: esssim.SecretKey}
	api, err := essapi.New(vendor, essapi.Options{Transport: y.sim, Concurrency: 32})
	if err != nil {
		y.t.Fatal(err)
	}
	y.workers++
	log := slog.New(slog.DiscardHandler)
	gates, err := fleet.Join(y.t.Context(),
		fleet.Config{Rate: y.rate, ReplayShare: 0.25, BreakerFailures: 5, BreakerCooldown: 30 * time.Second, HoldProbe: 30 * time.Second},
		fleet.Member{NC: nc, JS: js, Bucket: y.Topology.FleetBucket(), Host: "test", PID: y.workers, CallTimeout: vendor.Timeout, Log: log})
	if err != nil {
		y.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	office := y.open(nc, js)
	runner := replay.Runner{Office: office, Name: fmt.Sprintf("test/%d", y.workers), Log: log}
	go func() {
		if !jobs {
			done <- nil
			return
		}
		done <- runner.Serve(ctx)
	}()
	go func() {
		done <- consumer.Worker{
			Config: consumer.Config{
				Source: "/essworker", Concurrency: 32, MaxAttempts: 3, BackoffMin: time.Second, BackoffMax: 5 * time.Minute,
				PoisonAfter: 1000, Drain: 30 * time.Second,
			},
			Topology: y.Topology, NC: nc, JS: js, Fleet: gates,
			Routes:     handlers.Routes(api, handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID}),
			Credential: func(string) string { return "ess" }, CallTimeout: vendor.Timeout, Name: "test",
			Log: log, Tracer: tracenoop.NewTracerProvider(), Meter: metricnoop.NewMeterProvider(),
		}.Run(ctx)
	}()
	end := func() {
		cancel()
		for range cap(done) {
			if err := <-done; err != nil {
				y.t.Logf("a worker ended with %v", err)
			}
		}
		gates.Leave()
		nc.Close()
		api.Close()
	}
	return end, func() {
		nc.Close() // nothing it does from here on reaches anybody
		end()
	}
}

// failed is an event that a worker gave up and that succeeds once it is replayed.
func (y *yard) failed(edit ...func(*dlq.Failed)) dlq.Failed {
	y.t.Helper()
	n := y.letters
	y.letters++
	e := event.New(typ, source, fmt.Sprintf("e%d", n), fmt.Appendf(nil, `{"userId":"yDSIM%027d","openId":"n%d"}`, n, n))
	header, data, err := event.Write(e)
	if err != nil {
		y.t.Fatal(err)
	}
	f := dlq.Failed{
		Type: typ, Action: "BindEmployeeUserIdWithClientOpenId", Consumer: "employee-onboarded",
		Stream: y.Topology.EventsStream(), StreamSeq: uint64(1_000_000 + n), Stored: time.Now().Add(-time.Minute), Deliveries: 1,
		Subject: y.Topology.EventSubject(typ), Header: header, Data: data, Event: e,
		Fault:  &fault.Error{Kind: fault.Permanent, Code: "InvalidParameter", Message: "it may not be"},
		Reason: fault.Rejected, Attempts: 1, FailedAt: time.Now().Add(-time.Minute), Schema: schemas.Digest(typ),
	}
	for _, edit := range edit {
		edit(&f)
	}
	return f
}

// link and seal make a failed event one of another type.
func (y *yard) link(f *dlq.Failed) {
	y.t.Helper()
	y.as(f, "autosign.link.requested", "CreateUserAutoSignSealUrl",
		fmt.Appendf(nil, `{"sceneKey":"OTHER","userInfo":{"name":"某人","idCardType":"ID_CARD","idCardNumber":"990000%012d"}}`, y.letters))
}

func (y *yard) seal(f *dlq.Failed) {
	y.t.Helper()
	y.as(f, "seal.grant.requested", "ChannelCreateSealPolicy",
		fmt.Appendf(nil, `{"agent":{"proxyOrganizationOpenId":"org_dianziqian","proxyOperator":{"openId":"n9527"}},"sealId":"s%d","userIds":["u%[1]d"]}`, y.letters))
}

func (y *yard) as(f *dlq.Failed, typ, action string, data []byte) {
	y.t.Helper()
	f.Type, f.Action, f.Consumer = typ, action, topology.Consumer(typ)
	f.Subject, f.Schema = y.Topology.EventSubject(typ), schemas.Digest(typ)
	f.Event = event.New(typ, source, f.Event.ID(), data)
	var err error
	if f.Header, f.Data, err = event.Write(f.Event); err != nil {
		y.t.Fatal(err)
	}
}

// letter stores a letter about such an event.
func (y *yard) letter(edit ...func(*dlq.Failed)) uint64 {
	y.t.Helper()
	id, err := y.box.Put(y.t.Context(), y.failed(edit...))
	if err != nil {
		y.t.Fatalf("Put: %v", err)
	}
	return id
}

func (y *yard) put(n int) {
	y.t.Helper()
	for range n {
		y.letter()
	}
}

var orders = replay.Orders{StopAt: 0.2, By: "anna@ops"}

func (y *yard) plan(c replay.Choice, o replay.Orders) replay.Plan {
	y.t.Helper()
	p, err := y.office.Plan(y.t.Context(), c, o, nil)
	if err != nil {
		y.t.Fatalf("Plan: %v", err)
	}
	return p
}

// create makes a job of every letter there is.
func (y *yard) create(o replay.Orders) replay.Job {
	y.t.Helper()
	j := replay.Draft(y.plan(replay.Choice{}, o), o)
	if err := y.office.Create(y.t.Context(), j); err != nil {
		y.t.Fatalf("Create: %v", err)
	}
	return j
}

func (y *yard) job(id string) replay.Job {
	y.t.Helper()
	j, err := y.office.Get(y.t.Context(), id)
	if err != nil {
		y.t.Fatalf("Get(%q): %v", id, err)
	}
	return j
}

// until waits, in bubble time, for a job to be as wanted.
func (y *yard) until(id string, limit time.Duration, what string, is func(replay.Job) bool) replay.Job {
	y.t.Helper()
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		j := y.job(id)
		if is(j) {
			return j
		}
		if time.Since(start) > limit {
			y.t.Fatalf("after %v the job is not %s: %+v", limit, what, j)
		}
	}
}

func over(j replay.Job) bool { return j.Over() }

func (y *yard) count(name string) uint64 {
	y.t.Helper()
	s, err := y.JS.Stream(y.t.Context(), name)
	if err != nil {
		y.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// fates gives, by event, how many letters and how many successes there are.
func (y *yard) fates() (letters, successes map[string]int) {
	y.t.Helper()
	letters, successes = map[string]int{}, map[string]int{}
	for l, err := range y.box.Letters(y.t.Context(), dlq.Filter{}) {
		if err != nil {
			y.t.Fatal(err)
		}
		letters[l.EventID]++
	}
	for _, route := range handlers.Routes(nil, handlers.Defaults{}) {
		for msg, err := range stream.Messages(y.t.Context(), y.NC, y.Topology.ResultsStream(), y.Topology.ResultSubject(route.Success, "*"), 1, 1<<62) {
			if err != nil {
				y.t.Fatal(err)
			}
			successes[dlq.Decode(msg.Header.Get("ce-causationid"))]++
		}
	}
	return letters, successes
}

// checkOnce holds the law of every replay: each event is either still a letter, one, or
// has succeeded, once; and the vendor has carried it out no more than once, but for
// links: one whose answer was lost is made again.
func (y *yard) checkOnce() {
	y.t.Helper()
	letters, successes := y.fates()
	for n := range y.letters {
		id := fmt.Sprintf("e%d", n)
		if letters[id]+successes[id] != 1 {
			y.t.Errorf("event %s is %d letters and %d successes, want one of the two", id, letters[id], successes[id])
		}
	}
	for entity, n := range y.sim.Commits() {
		if n > 1 && !strings.HasPrefix(entity, "link:") {
			y.t.Errorf("%s was carried out %d times", entity, n)
		}
	}
	if waiting := y.count(y.Topology.EventsStream()); waiting != 0 {
		y.t.Errorf("%d events are not settled", waiting)
	}
}
