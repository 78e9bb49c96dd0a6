package doctor_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"essworker/internal/consumer"
	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

// users is a server's configuration with an administrator, who sets up, and a worker
// with these permissions.
func users(publish, subscribe string) string {
	return fmt.Sprintf(`accounts { APP: { jetstream: enabled, users: [
		{user: admin, password: x},
		{user: worker, password: x, permissions: {publish: %s, subscribe: %s}},
	] } }`, publish, subscribe)
}

// withUsers runs a test on a Bed that is the administrator's.
func withUsers(t *testing.T, config string, test func(t *testing.T, b *natstest.Bed)) {
	t.Helper()
	file := writeFile(t, config)
	synctest.Test(t, func(t *testing.T) {
		test(t, natstest.Start(t, natstest.Setup{Types: handlers.Types(), File: file, User: "admin", Password: "x"}))
	})
}

var worker = natsconn.Config{User: "worker", Password: "x"}

const settingsUnseen = "\nwarn settings: not compared"

// TestExamine_permissions takes from the worker one right after the other.
func TestExamine_permissions(t *testing.T) {
	for _, tt := range []struct{ denied, want string }{
		{"$JS.API.INFO", "bad permissions: the streams cannot be checked at start: may not publish to $JS.API.INFO" + settingsUnseen},
		{"$JS.API.STREAM.INFO.ESS_RESULTS", "bad permissions: the streams cannot…$JS.API.STREAM.INFO.ESS_RESULTS" + settingsUnseen},
		{"$JS.API.CONSUMER.INFO.ESS_EVENTS.employee-onboarded", "bad permissions: the streams cannot…ESS_EVENTS.employee-onboarded" + settingsUnseen},
		{"$JS.API.CONSUMER.MSG.NEXT.>", "bad permissions: events cannot be taken: may not publish to $JS.API.CONSUMER.MSG.NEXT.ESS_EVENTS.employee-onboarded, …seal-grant-requested"},
		{"$JS.ACK.ESS_EVENTS.seal-grant-requested.>", "bad permissions: events cannot be acknowledged and come again for ever: may not publish to $JS.ACK.ESS_EVENTS.seal-grant-requested.>"},
		{"$JS.API.DIRECT.GET.ESS_RESULTS", "bad permissions: it is not known which events are done: "},
		{"$JS.API.DIRECT.GET.ESS_DEADLETTERS", "bad permissions: letters cannot be looked up: "},
		{"$JS.API.STREAM.MSG.DELETE.ESS_DEADLETTERS", "bad permissions: letters cannot be replayed: may not publish to $JS.API.STREAM.MSG.DELETE.ESS_DEADLETTERS"},
		{"ess.events.>", "bad permissions: letters cannot be replayed: may not publish to ess.events.>"},
		{"ess.results.seal.grant.failed.*", "bad permissions: results cannot be stored: may not publish to ess.results.>"},
		{"ess.deadletters.poison.>", "bad permissions: letters cannot be stored: may not publish to ess.deadletters.>"},
		{"$KV.ESS_FLEET.>", "bad permissions: the workers cannot agree, nor count attempts: may not publish to $KV.ESS_FLEET.>"},
		{"$JS.API.STREAM.MSG.GET.KV_ESS_FLEET", "bad permissions: the workers cannot agree, nor count attempts: …MSG.GET"},
		{"$JS.API.DIRECT.GET.KV_ESS_FLEET", "bad permissions: the workers cannot agree, nor count attempts: …DIRECT.GET.KV_ESS_FLEET"},
		{"$SYS.REQ.USER.INFO", ""},               // the worker does not need it
		{"$JS.API.DIRECT.GET.ESS_EVENTS", ""},    // nor this
		{"$JS.API.CONSUMER.LIST.ESS_EVENTS", ""}, // nor this, as long as all is well
	} {
		t.Run(tt.denied, func(t *testing.T) {
			withUsers(t, users(fmt.Sprintf(`{deny: [%q]}`, tt.denied), `{allow: [">"]}`), func(t *testing.T, b *natstest.Bed) {
				d := patient(t, b)
				d.Connect = connect(b.Server, worker)
				began := time.Now()
				list := examine(t, d)
				if took := time.Since(began); took > time.Second {
					t.Errorf("Examine took %v: it has waited for the answer to a denied question", took)
				}
				var want []string
				if tt.want != "" {
					want = strings.Split(tt.want, "\n")
				}
				expect(t, list, want...)
			})
		})
	}
}

// TestExamine_deaf has a worker that may not listen.
func TestExamine_deaf(t *testing.T) {
	for _, tt := range []struct{ allowed, want string }{
		{`["_INBOX_worker.>", "$KV.ESS_FLEET.>"]`, ""},
		{`["_INBOX_worker.>"]`, "bad permissions: workers learn late of what the others have agreed on: may not subscribe to $KV.ESS_FLEET.>"},
		{`["_INBOX.>"]`, "bad permissions: may not subscribe to _INBOX_worker"},
	} {
		t.Run(tt.allowed, func(t *testing.T) {
			withUsers(t, users(`{allow: [">"]}`, fmt.Sprintf(`{allow: %s}`, tt.allowed)), func(t *testing.T, b *natstest.Bed) {
				d := patient(t, b)
				d.Connect = connect(b.Server, worker)
				var want []string
				if tt.want != "" {
					want = append(want, tt.want)
				}
				expect(t, examine(t, d), want...)
			})
		})
	}
}

// TestExamine_leastRights gives a worker no rights but those the doctor asks for, as it
// names them. The worker does all its work with them: a success, a refusal, events that
// come again, a breaker that opens. Nothing is denied.
func TestExamine_leastRights(t *testing.T) {
	var publish, subscribe []string
	withUsers(t, users(`{deny: [">"]}`, `{allow: ["_INBOX_worker.>"]}`), func(t *testing.T, b *natstest.Bed) {
		d := patient(t, b)
		d.Connect = connect(b.Server, worker)
		for _, f := range examine(t, d) {
			if f.Check != "permissions" {
				continue
			}
			_, to, _ := strings.Cut(f.Found, ": may not ")
			verb, subjects, _ := strings.Cut(to, " to ")
			if verb == "subscribe" {
				subscribe = append(subscribe, strings.Split(subjects, ", ")...)
			} else {
				publish = append(publish, strings.Split(subjects, ", ")...)
			}
		}
	})
	if len(publish) < 15 || len(subscribe) == 0 {
		t.Fatalf("a user without any right lacks %q and %q, want all that a worker does", publish, subscribe)
	}
	allowed := fmt.Sprintf("{allow: [%s]}", `"`+strings.Join(publish, `", "`)+`"`)
	heard := fmt.Sprintf("{allow: [%s]}", `"`+strings.Join(append(subscribe, "_INBOX_worker.>"), `", "`)+`"`)
	withUsers(t, users(allowed, heard), func(t *testing.T, b *natstest.Bed) {
		var denied atomic.Int32
		nc := b.Connect(natsconn.Options{InboxPrefix: "_INBOX_worker"}, worker)
		nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			denied.Add(1)
			t.Errorf("a worker with the rights that the doctor asks for: %v", err)
		})
		js := must[jetstream.JetStream](t, "jetstream")(jetstream.New(nc))
		sim := esssim.New(esssim.Config{})
		stop := work(t, b, nc, js, sim)
		publishOne(t, b, "1", `{"userId":"yDSIM000000000000000000000000001","openId":"n1"}`)
		publishOne(t, b, "2", `{"userId":"yDSIM000000000000000000000000002","openId":"n1"}`) // taken: a letter
		time.Sleep(time.Minute)
		sim.Inject(esssim.Fault{Kind: esssim.Status, Count: 12})
		for i := range 8 {
			publishOne(t, b, strconv.Itoa(3+i), fmt.Sprintf(`{"userId":"yDSIM%027d","openId":"n%d"}`, 3+i, 3+i))
		}
		time.Sleep(15 * time.Minute)
		stop()
		results := must[jetstream.Stream](t, "results")(b.JS.Stream(t.Context(), b.Topology.ResultsStream()))
		if n := results.CachedInfo().State.Msgs; n != 10 {
			t.Errorf("%d results, want one of each event", n)
		}
		if calls := len(sim.Calls()); calls < 12 {
			t.Errorf("%d calls, want those that failed too", calls)
		}
		d := patient(t, b)
		d.Connect = connect(b.Server, worker)
		expect(t, examine(t, d), "warn letters: 1: 1 rejected")
	})
}

// TestExamine_atWork looks again and again while a worker works: that events come and
// go is no finding.
func TestExamine_atWork(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		nc := b.Connect(natsconn.Options{}, natsconn.Config{})
		stop := work(t, b, nc, must[jetstream.JetStream](t, "jetstream")(jetstream.New(nc)), esssim.New(esssim.Config{}))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 200 {
				publishOne(t, b, strconv.Itoa(i), fmt.Sprintf(`{"userId":"yDSIM%027d","openId":"n%d"}`, i, i))
				time.Sleep(10 * time.Millisecond)
			}
		}()
		for range 30 {
			expect(t, examine(t, patient(t, b)))
			time.Sleep(100 * time.Millisecond)
		}
		<-done
		stop()
	})
}

func publishOne(t *testing.T, b *natstest.Bed, id, data string) {
	t.Helper()
	msg := &nats.Msg{Subject: b.Topology.EventSubject(bound), Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-type": {bound}, "ce-source": {"/doctor"}, "ce-id": {id}, "content-type": {"application/json"},
	}, Data: []byte(data)}
	must[*jetstream.PubAck](t, "publish")(b.JS.PublishMsg(t.Context(), msg))
}

// work runs a worker until it is stopped.
func work(t *testing.T, b *natstest.Bed, nc *nats.Conn, js jetstream.JetStream, sim *esssim.Sim) (stop func()) {
	t.Helper()
	const endpoint = "http://127.0.0.1:9080"
	api := must[*essapi.Client](t, "client")(essapi.New(essapi.Config{
		Endpoint: endpoint, BasicEndpoint: endpoint, Timeout: 35 * time.Second, SecretID: esssim.SecretID, SecretKey: esssim.SecretKey,
	}, essapi.Options{Transport: sim}))
	log := slog.New(slog.DiscardHandler)
	gates := must[*fleet.Fleet](t, "join")(fleet.Join(t.Context(), fleetConfig(), fleet.Member{
		NC: nc, JS: js, Bucket: b.Topology.FleetBucket(), Host: "here", PID: 1, Version: "1.0", Log: log,
	}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- consumer.Worker{
			Config: consumer.Config{
				Source: "/essworker", Concurrency: 4, MaxAttempts: 8, BackoffMin: time.Second, BackoffMax: 5 * time.Minute, PoisonAfter: 3, Drain: time.Second,
			},
			Topology: b.Topology, NC: nc, JS: js, Fleet: gates,
			Routes:     handlers.Routes(api, handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID}),
			Credential: func(string) string { return "ess" }, Name: "test", Log: log,
			Tracer: tracenoop.NewTracerProvider(), Meter: metricnoop.NewMeterProvider(),
		}.Run(ctx)
	}()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the worker ends with %v", err)
		}
		gates.Leave()
	}
}

func fleetConfig() fleet.Config {
	return fleet.Config{Rate: 20, ReplayShare: 0.25, BreakerFailures: 5, BreakerCooldown: 30 * time.Second, HoldProbe: 30 * time.Second}
}
