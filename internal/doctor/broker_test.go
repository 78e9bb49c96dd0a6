package doctor_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/doctor"
	"essworker/internal/handlers"
	"essworker/internal/mask"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

// TestExamine_noServer has one finding about each way not to get in.
func TestExamine_noServer(t *testing.T) {
	file := writeFile(t, `accounts { APP: { jetstream: enabled, users: [{user: worker, password: right}] } }`)
	b := natstest.Start(t, natstest.Setup{Types: handlers.Types(), File: file, Addr: "127.0.0.1:0", User: "worker", Password: "right"})
	at := func(url, password string) doctor.Doctor {
		d := patient(t, b)
		d.Connect = connect(nil, natsconn.Config{URL: natsconn.URLs(url), User: "worker", Password: mask.Secret(password)})
		return d
	}
	expect(t, atLeisure(t, at(b.Server.URL(), "right")))

	list := examine(t, at(b.Server.URL(), "mistaken"))
	expect(t, list, "bad connection: …refuses the login")
	if f := list[0]; !strings.Contains(f.Advice, "NATS_PASSWORD") || strings.Contains(f.Found, "mistaken") {
		t.Errorf("%+v: want what to check, and no password", f)
	}
	expect(t, examine(t, at("nats://127.0.0.1:1", "right")), "bad connection: …no server at nats://127.0.0.1:1")

	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		mute := make(chan struct{})
		defer close(mute)
		d := patient(t, b)
		d.Connect = connect(wire{to: b.Server, before: func() { <-mute }}, natsconn.Config{})
		list := examine(t, d)
		expect(t, list, "bad connection: …deadline")
		if f := list[0]; !strings.Contains(f.Advice, "frozen") {
			t.Errorf("%+v: want what silence may mean", f)
		}
	})
}

// TestExamine_frozen has a server that stops answering: after the connection was made,
// and each question of JetStream's alone. There is an end to it, and a verdict.
func TestExamine_frozen(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		frozen := make(chan struct{})
		defer close(frozen)
		var pings atomic.Int32
		d := patient(t, b)
		d.Connect = connect(wire{to: b.Server, before: func() {
			if pings.Load() > 1 { // the first is part of connecting
				<-frozen
			}
		}, out: func(p []byte) []byte {
			pings.Add(int32(bytes.Count(p, []byte("PING\r\n"))))
			return p
		}}, natsconn.Config{})
		list := examine(t, d)
		expect(t, list, "bad round trip: the server took the connection and does not answer within 5s")
	})
	for _, tt := range []struct{ silent, want string }{
		{"$JS.API.INFO", "bad jetstream: no answer within 5s"},
		{"$JS.API.STREAM.INFO.ESS_AUDIT", "bad stream ESS_AUDIT: no answer within 5s\nwarn settings: not compared"},
		{"$JS.API.CONSUMER.INFO.ESS_EVENTS.employee-onboarded", "bad consumer employee-onboarded: no answer within 5s\nwarn settings: not compared"},
		{"$JS.API.DIRECT.GET.ESS_DEADLETTERS", "warn letters: could not be counted: no answer within 5s"},
		{"$JS.API.DIRECT.GET.ESS_EVENTS", strings.Join(each(func(typ string) string {
			return "warn lane " + typ + ": its events could not be looked at: no answer within 5s"
		}), "\n")},
	} {
		t.Run(tt.silent, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *natstest.Bed) {
				asked := []byte(tt.silent + " ")
				dead := append([]byte("dead"), asked[4:]...)
				sub := must[*nats.Subscription](t, "subscribe")(b.NC.SubscribeSync(strings.TrimSpace(string(dead)))) // somebody is there, and says nothing
				defer sub.Unsubscribe()                                                                              //nolint:errcheck // the connection ends too
				d := patient(t, b)
				d.Connect = connect(wire{to: b.Server, out: func(p []byte) []byte { return bytes.ReplaceAll(p, asked, dead) }}, natsconn.Config{})
				began := time.Now()
				expect(t, examine(t, d), strings.Split(tt.want, "\n")...)
				if took := time.Since(began); took > 2*d.Patience {
					t.Errorf("Examine took %v, want a few times its patience of %v", took, d.Patience)
				}
			})
		})
	}
}

// TestExamine_wire changes what the server says on the way.
func TestExamine_wire(t *testing.T) {
	version := regexp.MustCompile(`"version":"[^"]*"`)
	for _, tt := range []struct {
		name string
		wire wire
		want string
	}{
		{
			"old server",
			wire{in: func(p []byte) []byte { return version.ReplaceAll(p, []byte(`"version":"2.10.29"`)) }},
			"bad server version: 2.10.29: keys that expire one by one",
		},
		{"release candidate", wire{in: func(p []byte) []byte { return version.ReplaceAll(p, []byte(`"version":"2.11.0-RC.1"`)) }}, ""},
		{"far server", wire{before: func() { time.Sleep(150 * time.Millisecond) }}, "warn round trip: 150ms"},
		{
			"clock behind",
			wire{in: func(p []byte) []byte { return bytes.ReplaceAll(p, []byte(`"ts":"2000-`), []byte(`"ts":"2001-`)) }},
			"warn clock nats: this machine's is 8784h0m0s behind the NATS server's",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *natstest.Bed) {
				tt.wire.to = b.Server
				d := patient(t, b)
				d.Connect = connect(tt.wire, natsconn.Config{})
				var want []string
				if tt.want != "" {
					want = append(want, tt.want)
				}
				expect(t, examine(t, d), want...)
				time.Sleep(time.Second) // what is slow has ended by then
			})
		})
	}
}

// TestExamine_jetstream has servers and accounts without it.
func TestExamine_jetstream(t *testing.T) {
	t.Run("account", func(t *testing.T) {
		file := writeFile(t, `accounts { APP: { jetstream: enabled, users: [{user: app, password: x}] }, BARE: { users: [{user: bare, password: x}] } }`)
		synctest.Test(t, func(t *testing.T) {
			b := natstest.Start(t, natstest.Setup{Types: handlers.Types(), File: file, User: "app", Password: "x"})
			d := patient(t, b)
			d.Connect = connect(b.Server, natsconn.Config{User: "bare", Password: "x"})
			list := examine(t, d)
			expect(t, list, "bad jetstream: this NATS account has no JetStream")
			if got := find(t, list, "login").Found; got != "user bare, account BARE" {
				t.Errorf("login: %q, want user and account", got)
			}
		})
	})
	t.Run("server", func(t *testing.T) {
		s := must[*server.Server](t, "server")(server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true}))
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		d := doctor.Doctor{
			Connect: connect(s, natsconn.Config{}), Topology: natstest.Defaults(), Routes: handlers.Routes(nil, handlers.Defaults{}), Patience: time.Minute,
		}
		expect(t, atLeisure(t, d), "bad jetstream: this NATS server has no JetStream")
	})
}

// TestExamine_notSetUp finds a server where nothing is, or nothing of this prefix.
func TestExamine_notSetUp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		d := patient(t, b)
		d.Topology.Prefix = "two"
		expect(t, examine(t, d), `bad streams: nothing is set up here under the prefix "two"`)
	})
}

// TestExamine_account fills an account up to its limits.
func TestExamine_account(t *testing.T) {
	for _, tt := range []struct{ limits, want string }{
		{"max_streams: 20", ""},
		{"max_streams: 7", "warn account: streams 6 of 7"},
		{"max_streams: 6", "bad account: streams 6 of 6"},
		{"max_file: 2MB", ""},
		{"max_file: 200KB", "bad account: storage 190 KiB of 200 KiB"},
		{"max_file: 230KB", "warn account: storage 190 KiB of 230 KiB"},
	} {
		t.Run(tt.limits, func(t *testing.T) {
			file := writeFile(t, `accounts { APP: { jetstream: {`+tt.limits+`}, users: [{user: app, password: x}] } }`)
			synctest.Test(t, func(t *testing.T) {
				b := natstest.Start(t, natstest.Setup{Types: handlers.Types(), File: file, User: "app", Password: "x"})
				for range 10 {
					must[*jetstream.PubAck](t, "publish")(b.JS.Publish(t.Context(), "ess.results.employee.bound.x", make([]byte, 19_400)))
				}
				d := patient(t, b)
				d.Connect = connect(b.Server, natsconn.Config{User: "app", Password: "x"})
				var want []string
				if tt.want != "" {
					want = append(want, tt.want)
				}
				expect(t, examine(t, d), want...)
			})
		})
	}
}

// TestExamine_login speaks of a login that ends soon. The server tells it of users with
// a JWT; here the wire says it.
func TestExamine_login(t *testing.T) {
	for expires, want := range map[time.Duration]string{
		20 * 24 * time.Hour: "",
		30 * time.Hour:      "warn login: …ends in 30h",
	} {
		inBubble(t, func(t *testing.T, b *natstest.Bed) {
			d := patient(t, b)
			answer := must[*nats.Msg](t, "ask")(b.NC.RequestWithContext(t.Context(), "$SYS.REQ.USER.INFO", nil))
			if !strings.Contains(string(answer.Data), `"account":"$G"`) {
				t.Fatalf("the server says %s, want an account", answer.Data)
			}
			asked, ours := []byte("$SYS.REQ.USER.INFO "), []byte("ours.REQ.USER.INFO ")
			sub := must[*nats.Subscription](t, "subscribe")(b.NC.Subscribe("ours.REQ.USER.INFO", func(m *nats.Msg) {
				if m.Reply != "" {
					_ = m.Respond(expiring(answer.Data, expires))
				}
			}))
			defer sub.Unsubscribe() //nolint:errcheck // the connection ends too
			d.Connect = connect(wire{to: b.Server, out: func(p []byte) []byte { return bytes.ReplaceAll(p, asked, ours) }}, natsconn.Config{})
			var patterns []string
			if want != "" {
				patterns = append(patterns, want)
			}
			expect(t, examine(t, d), patterns...)
		})
	}
}

// expiring is the server's answer about a user whose login ends.
func expiring(answer []byte, in time.Duration) []byte {
	account := []byte(`"account":"$G"`)
	return bytes.Replace(answer, account, fmt.Appendf(account, `,"expires":%d`, in), 1)
}
