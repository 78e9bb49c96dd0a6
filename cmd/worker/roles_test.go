package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/internal/mask"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/replay"
	"essworker/internal/roles"
	"essworker/internal/topology"
)

// password is every user's: what is tested is what they may do once they are in.
const password = "in"

// rolesConf writes a server's configuration with the users as `worker roles` prints them.
func rolesConf(t *testing.T) string {
	t.Helper()
	code, out, errOut := worked(t.Context(), "", "roles")
	if code != 0 {
		t.Fatalf("worker roles: exit code %d: %s", code, errOut)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, filepath.Dir(roles.PasswordsFile)), 0o700); err != nil {
		t.Fatal(err)
	}
	var secrets strings.Builder
	for _, u := range deployment().Users() {
		fmt.Fprintf(&secrets, "%s: %q\n", u.PasswordVariable(), password)
	}
	for name, text := range map[string]string{
		roles.PasswordsFile: secrets.String(), "roles.conf": out, "nats.conf": "include roles.conf\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "nats.conf")
}

func deployment() roles.Deployment {
	return (&rolesCmd{Names: topology.Names{Prefix: "ess"}, Subscriber: roles.DefaultSubscriber}).deployment()
}

func userOf(r roles.Role) string { return "ess-" + string(r) }

func loginOf(r roles.Role) natsconn.Config {
	return natsconn.Config{User: mask.Secret(userOf(r)), Password: password}
}

// worked runs a command in this process.
func worked(ctx context.Context, in string, args ...string) (code int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	code = run(ctx, args, strings.NewReader(in), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// denials are what connections were denied. It is safe for concurrent use.
type denials struct {
	mu   sync.Mutex
	list []string
}

func (d *denials) add(err *natsconn.DeniedError) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, err.Operation+" "+err.Subject)
}

func (d *denials) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

// TestRoles_worker is a bad afternoon of a whole worker that may do no more than its
// role: refusals, an outage, a key that is not valid for a while, throttling, an event
// that is none, and a replay of what became letters. Nothing of it is denied.
func TestRoles_worker(t *testing.T) {
	conf := rolesConf(t)
	synctest.Test(t, func(t *testing.T) {
		provisioner := loginOf(roles.Provisioner)
		types := handlers.Types()
		b := natstest.Start(t, natstest.Setup{
			Types: types, File: conf, User: provisioner.User.Reveal(), Password: password, InboxPrefix: roles.Provisioner.Inbox(),
		})
		var denied denials
		join := func(role roles.Role) (*nats.Conn, jetstream.JetStream) {
			nc := b.Connect(natsconn.Options{InboxPrefix: role.Inbox(), Denied: denied.add}, loginOf(role))
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			return nc, js
		}
		sim := esssim.New(esssim.Config{})
		set := simulated("http://127.0.0.1:9080")
		api, err := set.vendor(sim, metricnoop.NewMeterProvider(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer api.Close()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		nc, js := join(roles.Worker)
		if err := setUp(ctx, js, set.Topology, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatalf("set up as the worker, with everything in place: %v", err)
		}
		go func() {
			done <- serve(ctx, worker{
				settings: set, api: api, nc: nc, js: js, log: slog.New(slog.DiscardHandler),
				tracer: tracenoop.NewTracerProvider(), meter: metricnoop.NewMeterProvider(),
			})
		}()
		_, pub := join(roles.Publisher)
		n := 0
		burst := func(faults ...esssim.Fault) {
			t.Helper()
			sim.ClearFaults()
			for _, f := range faults {
				sim.Inject(f)
			}
			for range 12 {
				n++
				typ := types[n%len(types)]
				header, body, err := event.Write(event.New(typ, source, strconv.Itoa(n), []byte(good(typ, n))))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := pub.PublishMsg(ctx, &nats.Msg{Subject: set.Topology.EventSubject(typ), Header: header, Data: body}); err != nil {
					t.Fatalf("publish as the publisher: %v", err)
				}
			}
			if _, err := pub.Publish(ctx, set.Topology.EventSubject(types[0]), []byte("no CloudEvent")); err != nil {
				t.Fatal(err)
			}
			n++
			time.Sleep(3 * time.Minute)
		}
		burst()
		burst(esssim.Fault{Kind: esssim.Status})                                                    // the breaker opens
		burst(esssim.Fault{Kind: esssim.RotateKey})                                                 // held
		burst(esssim.Fault{Kind: esssim.Throttle, Ratio: 0.3})                                      // pushed back
		burst(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter", Message: "no", Ratio: 0.5}) // letters
		sim.ClearFaults()
		time.Sleep(30 * time.Minute)

		nc, js = join(roles.Operator)
		if results := held(t, js, set.Topology.ResultsStream()); results != uint64(n) {
			t.Errorf("%d results of %d events", results, n)
		}
		if held(t, js, set.Topology.LettersStream()) < 5 {
			t.Error("hardly a letter: the replay has nothing to do")
		}
		replayAll(t, nc, js, set.Topology.Names, sim)
		stop()
		if err := <-done; err != nil {
			t.Errorf("the worker ended: %v", err)
		}
		synctest.Wait()
		if got := denied.all(); len(got) > 0 {
			t.Errorf("denied: %q", got)
		}
	})
}

func held(t *testing.T, js jetstream.JetStream, name string) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// replayAll replays every letter there is, by a job that the worker runs, and waits for
// its end. An outage makes it look for events that take long.
func replayAll(t *testing.T, nc *nats.Conn, js jetstream.JetStream, names topology.Names, sim *esssim.Sim) {
	t.Helper()
	office, err := replay.Open(t.Context(), nc, js, names, handlers.Routes(nil, handlers.Defaults{}))
	if err != nil {
		t.Fatal(err)
	}
	orders := replay.Orders{By: "test", Why: "mended", Rate: 5}
	plan, err := office.Plan(t.Context(), replay.Choice{}, orders, nil)
	if err != nil {
		t.Fatal(err)
	}
	job := replay.Draft(plan, orders)
	sim.Inject(esssim.Fault{Kind: esssim.Status})
	if err := office.Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Minute)
	sim.ClearFaults()
	time.Sleep(20 * time.Minute)
	if job, err = office.Get(t.Context(), job.ID); err != nil || !job.Over() {
		t.Errorf("later the job is %+v, %v", job, err)
	}
}
