package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
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
)

// yard is a whole deployment within a bubble: a real NATS server, the simulated
// vendor, and as many workers as a test starts.
type yard struct {
	*natstest.Bed

	t       *testing.T
	sim     *esssim.Sim
	lanes   consumer.Config
	gates   fleet.Config
	vendor  essapi.Config
	log     *slog.Logger
	meter   metric.MeterProvider
	tracer  trace.TracerProvider
	login   natsconn.Config // of the workers
	events  []published
	workers int
}

type published struct {
	typ, id string
	bad     bool // it must end as a letter
}

const source = "/yard"

// inBubble runs a test with a fake clock: hours pass in milliseconds.
func inBubble(t *testing.T, test func(t *testing.T, y *yard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, newYard(t, natstest.New(t, handlers.Types()...)))
	})
}

func newYard(t *testing.T, bed *natstest.Bed) *yard {
	const endpoint = "http://127.0.0.1:9080"
	return &yard{
		Bed: bed, t: t, sim: esssim.New(esssim.Config{Rate: 20}),
		lanes: consumer.Config{
			Source: "/essworker", Concurrency: 32, MaxAttempts: 8, BackoffMin: time.Second, BackoffMax: 5 * time.Minute,
			PoisonAfter: 3, Drain: 30 * time.Second,
		},
		gates: fleet.Config{Rate: 20, ReplayShare: 0.25, BreakerFailures: 5, BreakerCooldown: 30 * time.Second, HoldProbe: 30 * time.Second},
		vendor: essapi.Config{
			Endpoint: endpoint, BasicEndpoint: endpoint, Timeout: 35 * time.Second,
			SecretID: esssim.SecretID, SecretKey: esssim.SecretKey,
		},
		log:   slog.New(slog.DiscardHandler),
		meter: metricnoop.NewMeterProvider(), tracer: tracenoop.NewTracerProvider(),
	}
}

// work starts a worker with a connection of its own. The function it gives stops
// the worker and waits until it has.
func (y *yard) work() (stop func()) {
	y.t.Helper()
	stop, _ = y.worker()
	return stop
}

func (y *yard) worker() (stop, kill func()) {
	y.t.Helper()
	_, stop, kill = y.start(handlers.Routes(y.api(), handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID}))
	return stop, kill
}

// api is a client of the simulated vendor.
func (y *yard) api() *essapi.Client {
	y.t.Helper()
	api, err := essapi.New(y.vendor, essapi.Options{Transport: y.sim, Concurrency: y.lanes.Concurrency})
	if err != nil {
		y.t.Fatal(err)
	}
	return api
}

func (y *yard) workWith(routes []event.Route) (gates *fleet.Fleet, stop func()) {
	y.t.Helper()
	gates, stop, _ = y.start(routes)
	return gates, stop
}

// start gives two ways to end a worker: as SIGTERM does, and as kill -9 does as far
// as others can see.
func (y *yard) start(routes []event.Route) (gates *fleet.Fleet, stop, kill func()) {
	y.t.Helper()
	nc := y.Connect(natsconn.Options{Log: y.log}, y.login)
	js, err := jetstream.New(nc)
	if err != nil {
		y.t.Fatal(err)
	}
	y.workers++
	gates, err = fleet.Join(y.t.Context(), y.gates, fleet.Member{
		NC: nc, JS: js, Bucket: y.Topology.FleetBucket(), Host: "test", PID: y.workers, CallTimeout: y.vendor.Timeout, Log: y.log,
	})
	if err != nil {
		y.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- consumer.Worker{
			Config: y.lanes, Topology: y.Topology, NC: nc, JS: js, Fleet: gates, Routes: routes,
			Credential: func(string) string { return "ess" }, CallTimeout: y.vendor.Timeout, Name: "test",
			Log: y.log, Tracer: y.tracer, Meter: y.meter,
		}.Run(ctx)
	}()
	stop = func() {
		y.t.Helper()
		cancel()
		if err := <-done; err != nil {
			y.t.Errorf("Run = %v, want nil", err)
		}
		gates.Leave()
		nc.Close()
	}
	kill = func() {
		nc.Close() // nothing it does from here on reaches anybody
		cancel()
		if err := <-done; err != nil {
			y.t.Logf("a killed worker ended with %v", err)
		}
		gates.Leave()
	}
	return gates, stop, kill
}

// data is event data that succeeds at the simulator, different for each n.
func data(typ string, n int) string {
	switch typ {
	case "employee.onboarded":
		return fmt.Sprintf(`{"userId":"yDSIM%027d","openId":"n%d"}`, n, n)
	case "seal.grant.requested":
		return fmt.Sprintf(`{"agent":{"proxyOrganizationOpenId":"org_sim1","proxyOperator":{"openId":"sim1"}},"sealId":"yDSEAL%026d","userIds":["sim%d"]}`, n, n)
	default:
		return fmt.Sprintf(`{"sceneKey":"OTHER","userInfo":{"name":"某人","idCardType":"ID_CARD","idCardNumber":"990000%012d"}}`, n)
	}
}

// publish stores n good events, spread over the types.
func (y *yard) publish(n int) {
	y.t.Helper()
	types := handlers.Types()
	for range n {
		i := len(y.events)
		typ := types[i%len(types)]
		y.send(typ, fmt.Sprintf("e%d", i), data(typ, i))
		y.events = append(y.events, published{typ: typ, id: fmt.Sprintf("e%d", i)})
	}
}

// send stores one event as any publisher would.
func (y *yard) send(typ, id, data string) {
	y.t.Helper()
	header, body, err := event.Write(event.New(typ, source, id, []byte(data)))
	if err != nil {
		y.t.Fatal(err)
	}
	y.raw(typ, header, body)
}

func (y *yard) raw(typ string, header nats.Header, body []byte) {
	y.t.Helper()
	_, err := y.JS.PublishMsg(y.t.Context(), &nats.Msg{Subject: y.Topology.EventSubject(typ), Header: header, Data: body})
	if err != nil {
		y.t.Fatalf("publish: %v", err)
	}
}

// waiting is how many events have not been settled.
func (y *yard) waiting() int {
	y.t.Helper()
	return int(y.state(y.Topology.EventsStream()).Msgs)
}

func (y *yard) state(stream string) jetstream.StreamState {
	y.t.Helper()
	s, err := y.JS.Stream(y.t.Context(), stream)
	if err != nil {
		y.t.Fatal(err)
	}
	return s.CachedInfo().State
}

// settle waits, in bubble time, until every event is settled, and the workers have done
// what follows that: they count and log what they have settled.
func (y *yard) settle(limit time.Duration) {
	y.t.Helper()
	for start := time.Now(); y.waiting() > 0; time.Sleep(time.Second) {
		if time.Since(start) > limit {
			y.t.Fatalf("%d events are still not settled after %v", y.waiting(), limit)
		}
	}
	time.Sleep(time.Nanosecond) // it passes in a bubble when nobody has anything to do
}

// results are the result events by type and event id.
func (y *yard) results() map[string]map[string]map[string]any {
	y.t.Helper()
	all := map[string]map[string]map[string]any{}
	for seq := range y.state(y.Topology.ResultsStream()).LastSeq {
		s, err := y.JS.Stream(y.t.Context(), y.Topology.ResultsStream())
		if err != nil {
			y.t.Fatal(err)
		}
		msg, err := s.GetMsg(y.t.Context(), seq+1)
		if err != nil {
			y.t.Fatalf("result %d: %v", seq+1, err)
		}
		typ, id := msg.Header.Get("ce-type"), dlq.Decode(msg.Header.Get("ce-causationid"))
		var data map[string]any
		if err := json.Unmarshal(msg.Data, &data); err != nil {
			y.t.Fatalf("result %d: %v", seq+1, err)
		}
		if all[typ] == nil {
			all[typ] = map[string]map[string]any{}
		}
		if _, twice := all[typ][id]; twice && id != "" {
			y.t.Errorf("event %q has two results of type %s", id, typ)
		}
		all[typ][id] = data
	}
	return all
}

func (y *yard) box() *dlq.Box {
	y.t.Helper()
	box, err := dlq.Open(y.t.Context(), y.JS, y.Topology.Names, "")
	if err != nil {
		y.t.Fatal(err)
	}
	return box
}

func (y *yard) replay(id uint64) {
	y.t.Helper()
	if _, err := y.box().Replay(y.t.Context(), id); err != nil {
		y.t.Fatalf("Replay(%d) = %v", id, err)
	}
}

// letters are the dead letters, oldest first.
func (y *yard) letters() []dlq.Letter {
	y.t.Helper()
	var all []dlq.Letter
	for l, err := range y.box().Letters(y.t.Context(), dlq.Filter{}) {
		if err != nil {
			y.t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// checkLaws holds the laws of promises 1 to 3 against what is stored and what the
// vendor saw, once every event is settled. Good events may be parked for the given
// reasons only.
func (y *yard) checkLaws(allowed ...fault.Reason) {
	y.t.Helper()
	results := y.results()
	lettered := map[string]fault.Reason{}
	for _, l := range y.letters() {
		lettered[l.EventID] = l.Reason
	}
	routes := map[string]event.Route{}
	for _, r := range handlers.Routes(nil, handlers.Defaults{}) {
		routes[r.Type] = r
	}
	for _, p := range y.events {
		r := routes[p.typ]
		_, success := results[r.Success][p.id]
		_, failure := results[r.Failure][p.id]
		reason, letter := lettered[p.id]
		switch {
		case !success && !failure:
			y.t.Errorf("event %s %s is lost: no result", p.typ, p.id)
		case success && failure:
			y.t.Errorf("event %s %s has both a success and a failure", p.typ, p.id)
		case failure != letter:
			y.t.Errorf("event %s %s: failure result %v, letter %v", p.typ, p.id, failure, letter)
		case failure && !p.bad && !slices.Contains(allowed, reason):
			y.t.Errorf("good event %s %s was parked: %s: %v", p.typ, p.id, reason, results[r.Failure][p.id])
		}
	}
	for _, entity := range slices.Sorted(maps.Keys(y.sim.Commits())) {
		// A link whose answer was lost is made again: the vendor has no way to ask for the first.
		if n := y.sim.Commits()[entity]; n > 1 && !strings.HasPrefix(entity, "link:") {
			y.t.Errorf("%s was carried out %d times", entity, n)
		}
	}
	y.checkQuota()
}

// checkQuota holds promise 3 against what arrived at the vendor.
func (y *yard) checkQuota() {
	y.t.Helper()
	calls := y.sim.Calls()
	for _, r := range handlers.Routes(nil, handlers.Defaults{}) {
		sliding, calendar := esssim.MaxPerSecond(calls, r.Action)
		if sliding > y.gates.Rate || calendar > y.gates.Rate {
			y.t.Errorf("%s: %d calls in a sliding second, %d in a calendar second, want at most %d", r.Action, sliding, calendar, y.gates.Rate)
		}
	}
}
