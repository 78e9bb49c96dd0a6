package doctor_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/doctor"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/topology"
)

const durable = "employee-onboarded"

// take asks for events of the lane and must get n; nobody does anything with them.
func take(t *testing.T, b *natstest.Bed, n int) []jetstream.Msg {
	t.Helper()
	c := must[jetstream.Consumer](t, "consumer")(b.JS.Consumer(t.Context(), "ESS_EVENTS", durable))
	batch := must[jetstream.MessageBatch](t, "fetch")(c.Fetch(max(n, 1), jetstream.FetchMaxWait(time.Second)))
	var msgs []jetstream.Msg
	for m := range batch.Messages() {
		msgs = append(msgs, m)
	}
	if len(msgs) != n {
		t.Fatalf("%d events were handed out, want %d", len(msgs), n)
	}
	return msgs
}

func update(t *testing.T, b *natstest.Bed, change func(*jetstream.ConsumerConfig)) {
	t.Helper()
	cfg := must[jetstream.Consumer](t, "consumer")(b.JS.Consumer(t.Context(), "ESS_EVENTS", durable)).CachedInfo().Config
	change(&cfg)
	must[jetstream.Consumer](t, "update")(b.JS.UpdateConsumer(t.Context(), "ESS_EVENTS", cfg))
}

// TestExamine_lane lets events wait.
func TestExamine_lane(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		time.Sleep(2 * time.Hour) // a lane that was idle for long is not still
		publish(t, b, bound, 3)
		time.Sleep(5 * time.Minute)
		expect(t, examine(t, patient(t, b)))
		take(t, b, 1)
		list := examine(t, patient(t, b))
		expect(t, list)
		if got, want := find(t, list, "lane "+bound).Found, "2 waiting, 1 in hand or to be tried again, the oldest for 5m"; got != want {
			t.Errorf("lane: %q, want %q", got, want)
		}
		time.Sleep(11 * time.Minute)
		expect(t, examine(t, patient(t, b)), "bad lane employee.onboarded: 2 waiting, 1 in hand or to be tried again, the oldest for 16m; nobody has asked for one for 11m")
	})
}

// TestExamine_oldEvent has an event that a worker keeps trying.
func TestExamine_oldEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		publish(t, b, bound, 1)
		for range 13 {
			for _, m := range take(t, b, 1) {
				if err := m.NakWithDelay(4 * time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(5 * time.Minute)
		}
		expect(t, examine(t, patient(t, b)), "warn lane employee.onboarded: 0 waiting, 1 in hand or to be tried again, the oldest for 1h")
	})
}

// TestExamine_inHand has an event that was handed out to a worker that is gone, and that
// nobody asks for again.
func TestExamine_inHand(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		publish(t, b, bound, 1)
		take(t, b, 1)
		time.Sleep(15 * time.Minute)
		expect(t, examine(t, patient(t, b)), "warn lane employee.onboarded: 0 waiting, 1 in hand or to be tried again, the oldest for 15m; none has come again for 15m")
	})
}

// TestExamine_stuckLane has workers that ask for events and get none.
func TestExamine_stuckLane(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		publish(t, b, bound, 3)
		update(t, b, func(c *jetstream.ConsumerConfig) { c.MaxAckPending, c.AckWait = 1, 24*time.Hour })
		take(t, b, 1)
		inbox := must[*nats.Subscription](t, "subscribe")(b.NC.SubscribeSync(b.NC.NewInbox()))
		defer inbox.Unsubscribe() //nolint:errcheck // the connection ends too
		time.Sleep(20 * time.Minute)
		if err := b.NC.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.ESS_EVENTS."+durable, inbox.Subject, []byte(`{"batch":1,"expires":60000000000}`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the doctor asks over another connection
		expect(t, examine(t, patient(t, b)), "warn consumer ESS_EVENTS/employee-onboarded: ack_wait is 24h", "warn consumer ESS_EVENTS/employee-onboarded: max_ack_pending is 1",
			"bad lane employee.onboarded: 2 waiting, 1 in hand …; workers ask for them and the server has handed out none for 20m")
		time.Sleep(2 * time.Minute)
	})
}

// TestExamine_paused has a lane that an operator stopped.
func TestExamine_paused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		publish(t, b, bound, 2)
		office := fleet.OpenOffice(b.NC, b.JS, b.Topology.FleetBucket())
		until := must[time.Time](t, "pause")(topology.Pause(t.Context(), b.JS, b.Topology.Names, bound, time.Now().Add(3*time.Hour)))
		expect(t, examine(t, patient(t, b)), "warn lane employee.onboarded: paused until 2000-01-01 03:00:00 UTC (no reason on record); 2 waiting")
		if err := office.NotePause(t.Context(), bound, fleet.Pause{Why: "the vendor asked", By: "me", Until: until}); err != nil {
			t.Fatal(err)
		}
		expect(t, examine(t, patient(t, b)), "warn lane employee.onboarded: paused until …(me: the vendor asked); 2 waiting")
		must[time.Time](t, "pause")(topology.Pause(t.Context(), b.JS, b.Topology.Names, bound, time.Time{}))
		expect(t, examine(t, patient(t, b)), "warn lane employee.onboarded: paused until somebody resumes it (no reason on record); 2 waiting")
	})
}

// TestExamine_givenUp lets a consumer run out of deliveries.
func TestExamine_givenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		publish(t, b, bound, 3)
		update(t, b, func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 2 })
		for range 2 {
			for _, m := range take(t, b, 3) {
				if err := m.Nak(); err != nil {
					t.Fatal(err)
				}
			}
		}
		take(t, b, 0) // the server gives up when it is asked once more
		update(t, b, func(c *jetstream.ConsumerConfig) { c.MaxDeliver = -1 })
		publish(t, b, "seal.grant.requested", 2)
		expect(t, examine(t, patient(t, b)), "bad stranded: 3 events of employee.onboarded are stored and their consumer has given them up")
	})
}

// TestExamine_passing has an event that comes after the consumer was asked what it knows
// of, is there when the stream is counted, and gone when the consumer is asked again.
func TestExamine_passing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		came, gone := false, false
		d := patient(t, b)
		d.Connect = connect(wire{to: b.Server, out: func(p []byte) []byte {
			switch {
			case !came && bytes.Contains(p, []byte("subjects_filter")):
				publish(t, b, bound, 1)
				came = true
			case came && !gone && bytes.Contains(p, []byte("CONSUMER.INFO")):
				if err := take(t, b, 1)[0].DoubleAck(t.Context()); err != nil {
					t.Error(err)
				}
				gone = true
			}
			return p
		}}, natsconn.Config{})
		expect(t, examine(t, d))
		if !gone {
			t.Error("the event has not come and gone")
		}
	})
}

// TestExamine_noConsumer has events of a type that nobody takes.
func TestExamine_noConsumer(t *testing.T) {
	add := func(t *testing.T, b *natstest.Bed) {
		t.Helper()
		cfg := must[jetstream.Stream](t, "events")(b.JS.Stream(t.Context(), "ESS_EVENTS")).CachedInfo().Config
		cfg.Subjects = append(cfg.Subjects, "ess.events.later")
		must[jetstream.Stream](t, "update")(b.JS.UpdateStream(t.Context(), cfg))
		must[*jetstream.PubAck](t, "publish")(b.JS.Publish(t.Context(), "ess.events.later", nil))
	}
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		add(t, b)
		expect(t, examine(t, patient(t, b)), "warn stream ESS_EVENTS: subjects", "bad stranded: 1 events on ess.events.later, which no consumer takes")
		must[jetstream.Consumer](t, "create")(b.JS.CreateConsumer(t.Context(), "ESS_EVENTS", jetstream.ConsumerConfig{
			Durable: "later", FilterSubject: "ess.events.later", AckPolicy: jetstream.AckExplicitPolicy,
		}))
		expect(t, examine(t, patient(t, b)), "warn stream ESS_EVENTS: subjects") // another version's, at work beside this one
	})
	withUsers(t, users(`{deny: ["$JS.API.CONSUMER.LIST.>"]}`, `{allow: [">"]}`), func(t *testing.T, b *natstest.Bed) {
		add(t, b)
		d := patient(t, b)
		d.Connect = connect(b.Server, worker)
		expect(t, examine(t, d), "warn stream ESS_EVENTS: subjects", "warn stranded: there are events on ess.events.later, and this user may not see who takes them")
	})
}

// TestExamine_again reads the attempts of events that come again.
func TestExamine_again(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		publish(t, b, bound, 4)
		attempts := must[*fleet.Attempts](t, "attempts")(fleet.OpenAttempts(t.Context(), b.JS, b.Topology.FleetBucket()))
		for seq, r := range []fleet.Record{
			0: {Seen: 999}, // long gone
			1: {Made: 3, Calls: 3, Seen: 7},
			2: {Seen: 2, Crashes: 2},
			3: {Made: 4, Calls: 1, Seen: 60},
			4: {Made: 1, Calls: 1, Seen: 99},
		} {
			if err := attempts.Put(t.Context(), durable, uint64(seq), r); err != nil {
				t.Fatal(err)
			}
		}
		if err := attempts.Forget(t.Context(), durable, 4); err != nil {
			t.Fatal(err)
		}
		expect(t, examine(t, patient(t, b)), "warn stranded: handed out and ended without a trace: event 2 of employee-onboarded (2 times)",
			"warn stranded: handed out again and again: event 3 of employee-onboarded (60 times, 4 calls)")
	})
}

// TestExamine_acknowledged has events whose worker was cut off before the last step.
func TestExamine_acknowledged(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		publish(t, b, bound, 5)
		take(t, b, 4)
		result := func(typ string, id int) {
			t.Helper()
			must[*jetstream.PubAck](t, "publish")(b.JS.Publish(t.Context(), b.Topology.ResultSubject(typ, event.Key("/doctor", strconv.Itoa(id))), nil))
		}
		result("employee.bound", 1)
		result("employee.bind.failed", 3)
		result("employee.bound", 4) // was never handed out: a duplicate that waits for its turn
		expect(t, examine(t, patient(t, b)))
		time.Sleep(3 * time.Minute)
		list := examine(t, patient(t, b))
		expect(t, list, "warn stranded: events of employee.onboarded that have their result")
		if got := find(t, list, "stranded").Found; !strings.HasSuffix(got, "not acknowledged: 2, 4") {
			t.Errorf("stranded: %q, want the events 2 and 4", got)
		}
	})
}

// TestExamine_letters counts them by reason.
func TestExamine_letters(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		letter(t, b, "poison", 1)
		time.Sleep(26 * time.Hour)
		letter(t, b, "rejected", 12)
		letter(t, b, "invalid", 3)
		list := examine(t, patient(t, b))
		expect(t, list, "warn letters: 16: 3 invalid, 12 rejected, 1 poison; the oldest is 26h old")
	})
}

// TestExamine_workers has none, one, and two that differ.
func TestExamine_workers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		is := func(verdict doctor.Verdict, found string) {
			t.Helper()
			if f := find(t, examine(t, patient(t, b)), "workers"); f.Verdict != verdict || f.Found != found {
				t.Errorf("%+v, want %s: %s", f, verdict, found)
			}
		}
		is(doctor.Warn, "none is running")
		nc := b.Connect(natsconn.Options{}, natsconn.Config{})
		stop := work(t, b, nc, must[jetstream.JetStream](t, "jetstream")(jetstream.New(nc)), esssim.New(esssim.Config{}))
		defer stop()
		is(doctor.OK, "1 on here, version 1.0")
		for _, tt := range []struct {
			version string
			rate    int
			want    string
		}{
			{"2.0", 20, "2 on here, there, of versions 1.0, 2.0"},
			{"1.0", 10, "2 on here, there, with WORKER_RATE 20, 10"},
		} {
			cfg := fleetConfig()
			cfg.Rate = tt.rate
			other := must[*fleet.Fleet](t, "join")(fleet.Join(t.Context(), cfg, fleet.Member{
				NC: b.NC, JS: b.JS, Bucket: b.Topology.FleetBucket(), Host: "there", PID: 2, Version: tt.version, Log: natstest.Log(t),
			}))
			is(doctor.Warn, tt.want)
			other.Leave()
		}
		is(doctor.OK, "1 on here, version 1.0")
	})
}

// TestExamine_barred has what the fleet leaves alone: lanes held for a refused key, and
// a vendor that is away.
func TestExamine_barred(t *testing.T) {
	for _, tt := range []struct {
		fault esssim.Fault
		want  string
	}{
		{esssim.Fault{Kind: esssim.RotateKey}, "bad hold of credential ess: held since …AuthFailure.SignatureFailure"},
		{esssim.Fault{Kind: esssim.Status}, "warn breaker of employee.onboarded: open since …HTTP502"},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *natstest.Bed) {
				sim := esssim.New(esssim.Config{})
				sim.Inject(tt.fault)
				nc := b.Connect(natsconn.Options{}, natsconn.Config{})
				stop := work(t, b, nc, must[jetstream.JetStream](t, "jetstream")(jetstream.New(nc)), sim)
				publish(t, b, bound, 8)
				time.Sleep(time.Minute)
				list := examine(t, patient(t, b))
				stop()
				expect(t, list, tt.want)
			})
		})
	}
}
