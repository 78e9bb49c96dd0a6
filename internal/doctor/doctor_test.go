package doctor_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/doctor"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

// bound is the type whose lane the tests break.
const bound = "employee.onboarded"

// patience is longer than anything takes that answers at all.
const patience = time.Minute

// patient is a doctor of the Bed. It leaves the vendor out, and takes a server that
// does not answer for dead after five seconds, which in a bubble pass at once.
func patient(t *testing.T, b *natstest.Bed) doctor.Doctor {
	t.Helper()
	return doctor.Doctor{
		Connect: connect(b.Server, natsconn.Config{}), Topology: b.Topology,
		Routes: handlers.Routes(nil, handlers.Defaults{}), Patience: 5 * time.Second,
	}
}

// connect connects as the worker does, within the process unless to is nil.
func connect(to nats.InProcessConnProvider, login natsconn.Config) func(context.Context) (*nats.Conn, error) {
	return func(ctx context.Context) (*nats.Conn, error) {
		return natsconn.Connect(ctx, login, natsconn.Options{Name: "doctor", InboxPrefix: "_INBOX_worker", NoRetry: true, InProcess: to})
	}
}

// examine lists what the doctor finds.
func examine(t *testing.T, d doctor.Doctor) (list []doctor.Finding) {
	t.Helper()
	d.Examine(t.Context(), func(f doctor.Finding) { list = append(list, f) })
	return list
}

// atLeisure is examine by the real clock, where the machine may have had other things to
// do: how long a round trip took is left out.
func atLeisure(t *testing.T, d doctor.Doctor) []doctor.Finding {
	t.Helper()
	return slices.DeleteFunc(examine(t, d), func(f doctor.Finding) bool { return f.Check == "round trip" && f.Verdict == doctor.Warn })
}

// complaints are the findings that are not ok, one a line: verdict, check and text. In
// a healthy Bed there are two, which are left out: nobody can see whether the server
// syncs, and no worker runs.
func complaints(list []doctor.Finding) []string {
	var lines []string
	for _, f := range list {
		if f.Verdict != doctor.OK && f.Check != "sync" && f.Check != "workers" {
			lines = append(lines, fmt.Sprintf("%s %s: %s", f.Verdict, f.Check, f.Found))
		}
	}
	return lines
}

// expect compares complaints with patterns: each complaint must hold one pattern's
// parts, which are separated by "…", in their order.
func expect(t *testing.T, list []doctor.Finding, patterns ...string) {
	t.Helper()
	got := complaints(list)
	match := func(line, pattern string) bool {
		for part := range strings.SplitSeq(pattern, "…") {
			_, rest, found := strings.Cut(line, part)
			if !found {
				return false
			}
			line = rest
		}
		return true
	}
	if !slices.EqualFunc(got, patterns, match) {
		t.Errorf("Examine complains of\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(patterns, "\n  "))
	}
	for _, f := range list {
		if f.Found == "" || f.Verdict == doctor.OK != (f.Advice == "") {
			t.Errorf("%+v: a finding has a text, and advice unless it is ok", f)
		}
	}
}

// find gives the text of the only finding of a check.
func find(t *testing.T, list []doctor.Finding, check string) doctor.Finding {
	t.Helper()
	found := slices.DeleteFunc(slices.Clone(list), func(f doctor.Finding) bool { return f.Check != check })
	if len(found) != 1 {
		t.Fatalf("%d findings of %q, want one: %v", len(found), check, list)
	}
	return found[0]
}

// inBubble runs a test on a Bed of its own with everything in place.
func inBubble(t *testing.T, test func(t *testing.T, b *natstest.Bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, natstest.New(t, handlers.Types()...)) })
}

// each makes a text for every event type.
func each(text func(typ string) string) (all []string) {
	for _, typ := range handlers.Types() {
		all = append(all, text(typ))
	}
	return all
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func must[T any](t *testing.T, what string) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return v
	}
}

// TestExamine_healthy finds nothing wrong where nothing is, and leaves everything as it
// was.
func TestExamine_healthy(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		publish(t, b, bound, 3)
		letter(t, b, "rejected", 1)
		var heard []*nats.Subscription
		for _, subject := range []string{"ess.>", "$KV.>"} { // as somebody does who listens without a stream
			heard = append(heard, must[*nats.Subscription](t, "subscribe")(b.NC.SubscribeSync(subject)))
		}
		before := state(t, b)
		list := examine(t, patient(t, b))
		expect(t, list, "warn letters: 1: 1 rejected")
		for _, sub := range heard {
			if n, _, err := sub.Pending(); n != 0 || err != nil {
				t.Errorf("%d messages on %s, error %v; want none", n, sub.Subject, err)
			}
			_ = sub.Unsubscribe() // the connection ends too
		}
		if d := cmp.Diff(before, state(t, b)); d != "" {
			t.Errorf("Examine has changed something (-before +after):\n%s", d)
		}
		var checks []string
		for _, f := range list {
			checks = append(checks, f.Check)
		}
		want := []string{
			"connection", "server version", "round trip", "permissions", "login", "account", "settings", "copies", "sync",
			"clock nats", "workers",
		}
		for _, typ := range handlers.Types() {
			want = append(want, "lane "+typ)
		}
		want = append(want, "stranded", "letters")
		if d := cmp.Diff(want, checks); d != "" {
			t.Errorf("checks (-want +got):\n%s", d)
		}
	})
}

// state is what the server has: settings, messages, what consumers know.
func state(t *testing.T, b *natstest.Bed) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, name := range b.Topology.Streams() {
		s := must[jetstream.Stream](t, name)(b.JS.Stream(t.Context(), name))
		info := s.CachedInfo()
		all[name], all[name+" state"] = info.Config, info.State
	}
	events := must[jetstream.Stream](t, "events")(b.JS.Stream(t.Context(), b.Topology.EventsStream()))
	for c := range events.ListConsumers(t.Context()).Info() {
		c.TimeStamp, c.Cluster = time.Time{}, nil
		all[c.Name] = *c
	}
	return all
}

// TestExamine_end says nothing more once it was told to stop.
func TestExamine_end(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		ctx, cancel := context.WithCancel(t.Context())
		heard := 0
		patient(t, b).Examine(ctx, func(doctor.Finding) {
			if heard++; heard == 5 {
				cancel()
			}
		})
		if heard != 5 {
			t.Errorf("%d findings were told, want the 5 before the end", heard)
		}
	})
}

// TestExamine_readsLittle looks at many letters and events without fetching them.
func TestExamine_readsLittle(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		const n, bytes = 60, 60_000
		payload := strings.Repeat("x", bytes)
		for i := range n {
			subject := b.Topology.LetterSubject("rejected", bound, strconv.Itoa(i))
			must[*jetstream.PubAck](t, "publish")(b.JS.Publish(t.Context(), subject, []byte(payload)))
			must[*jetstream.PubAck](t, "publish")(b.JS.Publish(t.Context(), b.Topology.EventSubject(bound), []byte(payload)))
		}
		var conns []*nats.Conn
		d := patient(t, b)
		dial := d.Connect
		d.Connect = func(ctx context.Context) (*nats.Conn, error) {
			nc, err := dial(ctx)
			conns = append(conns, nc)
			return nc, err
		}
		list := examine(t, d)
		expect(t, list, fmt.Sprintf("warn letters: %d: %d rejected", n, n))
		if got := find(t, list, "lane "+bound).Found; !strings.HasPrefix(got, fmt.Sprintf("%d waiting", n)) {
			t.Errorf("lane: %q, want %d waiting", got, n)
		}
		var read uint64
		for _, nc := range conns {
			read += nc.Stats().InBytes
		}
		if most := uint64(2 * 256 << 10); read > most {
			t.Errorf("Examine has read %d bytes of %d, want %d at most", read, 2*n*bytes, most)
		}
	})
}

// publish stores good events of a type.
func publish(t *testing.T, b *natstest.Bed, typ string, n int) {
	t.Helper()
	for i := range n {
		msg := &nats.Msg{Subject: b.Topology.EventSubject(typ), Header: nats.Header{
			"ce-specversion": {"1.0"}, "ce-type": {typ}, "ce-source": {"/doctor"}, "ce-id": {strconv.Itoa(i)}, "content-type": {"application/json"},
		}, Data: []byte(`{"userId":"yDSIM000000000000000000000000001","openId":"n1"}`)}
		must[*jetstream.PubAck](t, "publish")(b.JS.PublishMsg(t.Context(), msg))
	}
}

// letter stores a letter with the headers of none.
func letter(t *testing.T, b *natstest.Bed, reason string, n int) {
	t.Helper()
	for i := range n {
		must[*jetstream.PubAck](t, "publish")(b.JS.Publish(t.Context(), b.Topology.LetterSubject(reason, bound, strconv.Itoa(i)), nil))
	}
}

// wire changes what goes over a connection to the server.
type wire struct {
	to      nats.InProcessConnProvider
	in, out func([]byte) []byte // may be nil
	before  func()              // each read; may be nil
}

// InProcessConn implements nats.InProcessConnProvider.
func (w wire) InProcessConn() (net.Conn, error) {
	c, err := w.to.InProcessConn()
	return &wired{c, w}, err
}

type wired struct {
	net.Conn
	wire wire
}

func (c *wired) Read(p []byte) (int, error) {
	if c.wire.before != nil {
		c.wire.before()
	}
	n, err := c.Conn.Read(p)
	if c.wire.in != nil {
		n = copy(p, c.wire.in(slices.Clone(p[:n])))
	}
	return n, err
}

func (c *wired) Write(p []byte) (int, error) {
	if c.wire.out == nil {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(c.wire.out(slices.Clone(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
