package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"essworker/internal/consumer"
	"essworker/internal/dlq"
	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/stream"
)

// run is a scenario being played, with one process cut off at a point. It has events,
// a vendor and processes of its own; the bed is used again by the next run.
type run struct {
	*yard
	scenario scenario
	at       point
	id       string            // begins the ids of its events
	began    map[string]uint64 // where its messages begin, by stream
	names    map[string]string // of its events, by key
	types    []string          // that it has events of
	job      job               // of those it hires
	hired    []*process
	first    *process  // the one that is cut off
	cut      *standing // how things stood then; nil if it was not
	end      standing
	took     time.Duration
	said     lockedBuffer
}

// process is a program with a cable.
type process struct {
	*cable
	nc   *nats.Conn
	stop context.CancelFunc
	done chan struct{}
	err  error // once it is done
}

// job is what a process does until ctx ends.
type job func(ctx context.Context, js jetstream.JetStream, vendor http.RoundTripper) error

// play plays run number n on its bed.
func (s scenario) play(t *testing.T, bed *natstest.Bed, n int, at point) *run {
	t.Helper()
	r := &run{
		yard: newYard(t, bed), scenario: s, at: at,
		id: fmt.Sprintf("run%d-", n), began: map[string]uint64{}, names: map[string]string{},
	}
	r.job = r.worker
	r.log = slog.New(slog.NewTextHandler(&r.said, nil))
	// Waits that are waited often are short.
	r.vendor.Timeout, r.lanes.BackoffMax = 5*time.Second, 4*time.Second
	r.gates.BreakerCooldown, r.gates.HoldProbe = 5*time.Second, 5*time.Second
	for _, name := range []string{r.Topology.EventsStream(), r.Topology.ResultsStream(), r.Topology.LettersStream()} {
		r.began[name] = r.state(name).LastSeq + 1
	}
	r.purge(r.Topology.FleetStream()) // what other runs have agreed on
	s.before(r)
	start := time.Now()
	r.first = r.hire(at)
	if s.then != nil {
		s.then(r)
	}
	r.await("settled", func() bool { return r.waiting() == 0 })
	r.took = time.Since(start)
	r.dismiss()
	r.end = r.look()
	return r
}

// worker is the job under test, with no lanes but those there are events for.
func (r *run) worker(ctx context.Context, js jetstream.JetStream, vendor http.RoundTripper) error {
	api, err := essapi.New(r.vendor, essapi.Options{Transport: vendor})
	if err != nil {
		return err
	}
	routes := handlers.Routes(api, handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID})
	routes = slices.DeleteFunc(routes, func(route event.Route) bool { return !slices.Contains(r.types, route.Type) })
	gates, err := fleet.Join(ctx, r.gates, fleet.Member{
		NC: js.Conn(), JS: js, Bucket: r.Topology.FleetBucket(), Host: "test", CallTimeout: r.vendor.Timeout, Log: r.log,
	})
	if err != nil {
		return err
	}
	defer gates.Leave()
	return consumer.Worker{
		Config: r.lanes, Topology: r.Topology, NC: js.Conn(), JS: js, Fleet: gates, Routes: routes,
		Credential: func(string) string { return "ess" }, CallTimeout: r.vendor.Timeout, Name: "test",
		Log: r.log, Tracer: tracenoop.NewTracerProvider(), Meter: r.meter,
	}.Run(ctx)
}

// operator is the job of worker dlq replay.
func (r *run) operator(ctx context.Context, js jetstream.JetStream, _ http.RoundTripper) error {
	box, err := dlq.Open(ctx, js, r.Topology.Names, "")
	if err != nil {
		return err
	}
	_, err = box.Replay(ctx, r.newestLetter())
	return err
}

// hire starts a process that is cut off at a point.
func (r *run) hire(at point) *process {
	r.t.Helper()
	p := &process{cable: newCable(r.Server, r.sim, r.Topology.Names, at), done: make(chan struct{})}
	nc, err := natsconn.Connect(r.t.Context(), natsconn.Config{}, natsconn.Options{
		Name: "test", InboxPrefix: "_INBOX_test", NoRetry: true, InProcess: p.cable,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.nc, p.stop = nc, stop
	r.t.Cleanup(func() { p.kill(); <-p.done })
	job := r.job
	go func() {
		defer close(p.done)
		p.err = job(ctx, js, p.cable)
	}()
	r.hired = append(r.hired, p)
	return p
}

// kill ends what is left of a process whose cable is cut; nobody can see how.
func (p *process) kill() {
	p.cut()
	p.nc.Close()
	p.stop()
}

// leave ends a process as SIGTERM does and waits until it has.
func (p *process) leave() {
	p.stop()
	<-p.done
	p.nc.Close()
	p.cut()
}

// await lets time pass until the condition holds. A first that is cut off is replaced.
func (r *run) await(what string, holds func() bool) {
	r.t.Helper()
	const limit = 10 * time.Minute
	for end := time.Now().Add(limit); !holds(); r.pass(time.Second) {
		if time.Now().After(end) {
			r.t.Fatalf("%s, %v: not %s within %v; the workers said:\n%s", r.scenario.name, r.at, what, limit, r.lastWords())
		}
	}
}

// pass lets a time pass.
func (r *run) pass(d time.Duration) {
	r.t.Helper()
	for end := time.Now().Add(d); ; {
		select {
		case <-r.cutOff():
			r.replace()
		case <-time.After(time.Until(end)):
			return
		}
	}
}

// shutdown ends the first as SIGTERM does; it may be cut off while it ends.
func (r *run) shutdown() {
	r.t.Helper()
	if r.cut != nil {
		return
	}
	r.first.stop()
	select {
	case <-r.cutOff():
		r.replace()
		return
	case <-r.first.done:
	}
	if r.first.isDead() {
		r.replace()
	} else if r.first.err != nil {
		r.t.Errorf("%s: the first process ended with %v, want nil", r.scenario.name, r.first.err)
	}
}

// cutOff is closed when the first is cut off, and nothing any more once it is replaced.
func (r *run) cutOff() <-chan struct{} {
	if r.cut != nil {
		return nil
	}
	if r.at.side == late {
		return r.first.moving.Done()
	}
	return r.first.whole.Done()
}

// replace notes how things stand, and starts another process at the same moment.
func (r *run) replace() {
	r.t.Helper()
	if r.at.side != late {
		r.first.kill()
	}
	synctest.Wait() // until what has arrived is stored
	r.cut = new(r.look())
	r.hire(point{})
}

// dismiss ends everybody, the first as SIGTERM does.
func (r *run) dismiss() {
	r.t.Helper()
	r.shutdown()
	for _, p := range r.hired {
		p.leave()
	}
}

// meanwhile has another process do the job until every event is settled, or until it is
// cut off at a point.
func (r *run) meanwhile(at point) {
	r.t.Helper()
	p := r.hire(at)
	for r.waiting() > 0 && !p.isDead() {
		time.Sleep(time.Second)
	}
	switch {
	case p.isDead():
		p.kill()
	case at != point{}:
		r.t.Fatalf("%s: no process was %v", r.scenario.name, at)
	}
	p.leave()
}

// event publishes one.
func (r *run) event(name, typ, data string) {
	r.t.Helper()
	r.send(typ, r.id+name, data)
	r.add(name, typ, event.Key(source, r.id+name))
}

// noEvent publishes what cannot be read.
func (r *run) noEvent(name, typ string) {
	r.t.Helper()
	r.raw(typ, nil, []byte("hello"))
	for msg := range r.ours(r.Topology.EventsStream()) {
		r.add(name, typ, event.KeyOfMessage(msg.Sequence, msg.Time))
	}
}

func (r *run) add(name, typ, key string) {
	r.names[key] = name
	if !slices.Contains(r.types, typ) {
		r.types = append(r.types, typ)
	}
}

func (r *run) newestLetter() uint64 { return r.state(r.Topology.LettersStream()).LastSeq }

// lastWords is the end of what the processes have logged.
func (r *run) lastWords() string {
	lines := strings.Split(r.said.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// ours gives the messages of a stream that this run has brought about.
func (r *run) ours(name string) iter.Seq[*jetstream.RawStreamMsg] {
	return func(yield func(*jetstream.RawStreamMsg) bool) {
		r.t.Helper()
		for seq := r.began[name]; seq <= r.state(name).LastSeq; seq++ {
			msg, err := stream.Get(r.t.Context(), r.NC, name, seq)
			if errors.Is(err, stream.ErrNoMessage) {
				continue
			}
			if err != nil {
				r.t.Fatal(err)
			}
			if !yield(msg) {
				return
			}
		}
	}
}

func (r *run) purge(name string) {
	r.t.Helper()
	s, err := r.JS.Stream(r.t.Context(), name)
	if err == nil {
		err = s.Purge(r.t.Context())
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
