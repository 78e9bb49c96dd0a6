package status_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/status"
	"essworker/internal/topology"
)

// The lanes of these tests: two of one product, one of another.
const (
	onboarded = "employee.onboarded"
	link      = "autosign.link.requested"
	grant     = "seal.grant.requested"
)

func routes() []event.Route {
	return []event.Route{
		{Type: onboarded, Action: "Bind", Product: "ess"},
		{Type: grant, Action: "Grant", Product: "essbasic"},
		{Type: link, Action: "Link", Product: "ess"},
	}
}

// yard is a deployment to look at.
type yard struct {
	*natstest.Bed

	t      *testing.T
	reader *status.Reader
	joined int
}

// inBubble runs a test with a fake clock on a server of its own.
func inBubble(t *testing.T, test func(t *testing.T, y *yard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var types []string
		for _, r := range routes() {
			types = append(types, r.Type)
		}
		y := &yard{Bed: natstest.New(t, types...), t: t}
		y.reader = status.NewReader(y.NC, y.JS, y.Topology.Names, routes())
		test(t, y)
	})
}

func (y *yard) look() status.Snapshot {
	y.t.Helper()
	s, err := y.reader.Look(y.t.Context())
	if err != nil {
		y.t.Fatalf("Look: %v", err)
	}
	return s
}

// lane is one lane as it stands.
func (y *yard) lane(typ string) status.Lane {
	y.t.Helper()
	for _, l := range y.look().Lanes {
		if l.Type == typ {
			return l
		}
	}
	y.t.Fatalf("no lane %s", typ)
	return status.Lane{}
}

// worker joins the fleet with all lanes, and has said so when this returns. All are
// called with one key.
func (y *yard) worker(rate int) map[string]*fleet.Gate {
	y.t.Helper()
	nc := y.Connect(natsconn.Options{}, natsconn.Config{})
	js, err := jetstream.New(nc)
	if err != nil {
		y.t.Fatal(err)
	}
	y.joined++
	f, err := fleet.Join(y.t.Context(),
		fleet.Config{Rate: rate, ReplayShare: 0.25, BreakerFailures: 5, BreakerCooldown: 30 * time.Second, HoldProbe: time.Minute},
		fleet.Member{NC: nc, JS: js, Bucket: y.Topology.FleetBucket(), Host: "h", PID: y.joined, Version: "v1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(f.Leave)
	gates := map[string]*fleet.Gate{}
	for _, r := range routes() {
		gates[r.Type] = f.Gate(r, "ess")
	}
	time.Sleep(time.Second)
	return gates
}

// call makes one call that ends in a fault, or well if that is nil.
func call(t *testing.T, g *fleet.Gate, f *fault.Error) {
	t.Helper()
	_, _, err := g.Do(t.Context(), fleet.Call{Tenant: "ess:org", Key: time.Now().String()}, func(context.Context) ([]byte, error) {
		if f == nil {
			return nil, nil
		}
		return nil, f
	})
	if (err == nil) != (f == nil) {
		t.Fatalf("a call that was to end in %v ended in %v", f, err)
	}
}

// hang makes a call that ends when it is released; started is closed once it is under way.
func hang(t *testing.T, g *fleet.Gate, started chan struct{}) (release func()) {
	t.Helper()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_, _, err := g.Do(t.Context(), fleet.Call{Tenant: "ess:org"}, func(context.Context) ([]byte, error) {
			close(started)
			<-end
			return nil, nil
		})
		if err != nil {
			t.Errorf("a call that was to end well ended in %v", err)
		}
	}()
	return func() { close(end); <-ended }
}

// publish stores events of one type, a second apart.
func (y *yard) publish(n int) {
	y.t.Helper()
	for range n {
		if _, err := y.JS.Publish(y.t.Context(), y.Topology.EventSubject(onboarded), []byte("{}")); err != nil {
			y.t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
}

// letter stores a letter, which no more of is needed than where.
func (y *yard) letter(reason fault.Reason, typ, key string) {
	y.t.Helper()
	if _, err := y.JS.Publish(y.t.Context(), y.Topology.LetterSubject(string(reason), typ, key), []byte("{}")); err != nil {
		y.t.Fatal(err)
	}
}

// take gives events as a worker gets them.
func (y *yard) take(typ string, n int) (msgs []jetstream.Msg) {
	y.t.Helper()
	c, err := y.JS.Consumer(y.t.Context(), y.Topology.EventsStream(), topology.Consumer(typ))
	if err != nil {
		y.t.Fatal(err)
	}
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		y.t.Fatal(err)
	}
	for m := range batch.Messages() {
		msgs = append(msgs, m)
	}
	if len(msgs) != n {
		y.t.Fatalf("%d events, want %d", len(msgs), n)
	}
	return msgs
}

// giveBack hands events back as a worker does: what was tried is written first.
func (y *yard) giveBack(typ string, msgs []jetstream.Msg) {
	y.t.Helper()
	attempts, err := fleet.OpenAttempts(y.t.Context(), y.JS, y.Topology.FleetBucket())
	must(y.t, err)
	for _, m := range msgs {
		meta, err := m.Metadata()
		must(y.t, err)
		must(y.t, attempts.Put(y.t.Context(), topology.Consumer(typ), meta.Sequence.Stream, fleet.Record{Seen: meta.NumDelivered}))
		must(y.t, m.NakWithDelay(time.Hour))
	}
}

// settle ends an event that was tried before, as a worker does.
func (y *yard) settle(typ string, m jetstream.Msg) {
	y.t.Helper()
	attempts, err := fleet.OpenAttempts(y.t.Context(), y.JS, y.Topology.FleetBucket())
	must(y.t, err)
	meta, err := m.Metadata()
	must(y.t, err)
	must(y.t, attempts.Put(y.t.Context(), topology.Consumer(typ), meta.Sequence.Stream, fleet.Record{Seen: 1}))
	must(y.t, m.DoubleAck(y.t.Context()))
	must(y.t, attempts.Forget(y.t.Context(), topology.Consumer(typ), meta.Sequence.Stream))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// requests counts those to the server's API, by the words in their subject.
func (y *yard) requests(subject string) *nats.Subscription {
	y.t.Helper()
	sub, err := y.NC.SubscribeSync(subject)
	must(y.t, err)
	return sub
}
