package stream_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/stream"
)

func TestLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		subject := b.Topology.ResultSubject
		for _, key := range []string{"a", "b", "c"} {
			if _, err := b.JS.Publish(t.Context(), subject("employee.bound", key), []byte("data of "+key)); err != nil {
				t.Fatal(err)
			}
		}
		// Headers that a publisher made up do not pass for the server's.
		forged := message("forged", "", "")
		forged.Header = nats.Header{"Nats-Subject": {"x"}, "Nats-Sequence": {"77"}, "Status": {"204"}, "ce-id": {"e1"}}
		if _, err := b.JS.PublishMsg(t.Context(), forged); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name string
			keys []string
			want map[string]uint64
		}{
			{"one that is there", []string{"b"}, map[string]uint64{"b": 2}},
			{"one that is not", []string{"x"}, nil},
			{"some of both", []string{"x", "a", "c", "y"}, map[string]uint64{"a": 1, "c": 3}},
			{"the same twice", []string{"a", "a"}, map[string]uint64{"a": 1}},
			{"headers of the server's names", []string{"forged"}, map[string]uint64{"forged": 4}},
			{"none", nil, nil},
		}
		l := stream.NewLookup(b.NC, b.Topology.ResultsStream())
		for _, tt := range tests {
			var subjects []string
			for _, k := range tt.keys {
				subjects = append(subjects, subject("employee.bound", k))
			}
			found, err := l.Last(t.Context(), subjects...)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			got := make(map[string]uint64)
			for s, m := range found {
				if m.Subject != s || m.Time.IsZero() {
					t.Errorf("%s: message %+v under %q", tt.name, m, s)
				}
				got[strings.TrimPrefix(s, subject("employee.bound", ""))] = m.Sequence
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("%s: found %v, want %v", tt.name, got, tt.want)
			}
		}
		found, _ := l.Last(t.Context(), subject("employee.bound", "forged"), subject("employee.bound", "a"))
		if got := found[subject("employee.bound", "forged")].Header.Get("ce-id"); got != "e1" {
			t.Errorf("header ce-id = %q, want e1", got)
		}
		if got := string(found[subject("employee.bound", "a")].Data); got != "data of a" {
			t.Errorf("data = %q, want that of a", got)
		}
	})
}

// TestLookup_many asks for more at once than one request may carry, from one
// goroutine and from many.
func TestLookup_many(t *testing.T) {
	const n = 1200
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		var all []string
		for i := range n {
			s := b.Topology.ResultSubject("employee.bound", strconv.Itoa(i))
			all = append(all, s)
			if i%2 == 0 {
				if _, err := b.JS.PublishAsync(s, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		<-b.JS.PublishAsyncComplete()
		requests := countRequests(t, b)
		l := stream.NewLookup(b.NC, b.Topology.ResultsStream())
		found, err := l.Last(t.Context(), all...)
		if err != nil || len(found) != n/2 {
			t.Errorf("all at once: %d found, error %v; want %d, none", len(found), err, n/2)
		}
		if got := requests(); got != 3 {
			t.Errorf("all at once: %d requests, want 3", got)
		}
		var wg sync.WaitGroup
		for chunk := range slices.Chunk(all, n/100) {
			wg.Go(func() {
				found, err := l.Last(t.Context(), chunk...)
				if err != nil || len(found) != len(chunk)/2 {
					t.Errorf("of %d: %d found, error %v; want half, none", len(chunk), len(found), err)
				}
			})
		}
		wg.Wait()
		if got := requests(); got > 50 {
			t.Errorf("100 goroutines: %d requests, want them to share a few", got)
		}
	})
}

func TestLookup_fails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		_, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "INDIRECT", Subjects: []string{"i"}})
		if err != nil {
			t.Fatal(err)
		}
		// A stream whose server takes the request and never answers.
		if _, err := b.NC.Subscribe("$JS.API.DIRECT.GET.SILENT", func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
		closed := b.Connect(natsconn.Options{}, natsconn.Config{})
		closed.Close()
		tests := []struct {
			name    string
			nc      *nats.Conn
			stream  string
			subject string
			want    error
			after   time.Duration
		}{
			{"no such stream", b.NC, "NONE", "a", nats.ErrNoResponders, 0},
			{"no direct get", b.NC, "INDIRECT", "i", nats.ErrNoResponders, 0},
			{"no answer", b.NC, "SILENT", "a", context.DeadlineExceeded, 2 * time.Second},
			{"connection closed", closed, b.Topology.ResultsStream(), "a", nats.ErrConnectionClosed, 0},
			{"a wildcard", b.NC, b.Topology.ResultsStream(), "ess.results.>", nil, 0},
		}
		for _, tt := range tests {
			began := time.Now()
			_, err := stream.NewLookup(tt.nc, tt.stream).Last(t.Context(), tt.subject)
			if err == nil || (tt.want != nil && !errors.Is(err, tt.want)) {
				t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
			}
			if took := time.Since(began); took != tt.after {
				t.Errorf("%s: took %v, want %v", tt.name, took, tt.after)
			}
		}
	})
}

// TestLookup_late gives up on one answer and is not confused by its coming later.
func TestLookup_late(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		var slow atomic.Bool
		slow.Store(true)
		_, err := b.NC.Subscribe("$JS.API.DIRECT.GET.SLOW", func(m *nats.Msg) {
			reply := func(seq int) {
				_ = b.NC.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{
					"Nats-Subject": {"a"}, "Nats-Sequence": {strconv.Itoa(seq)}, "Nats-Time-Stamp": {"2026-01-02T03:04:05Z"},
				}})
				_ = b.NC.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{"Status": {"204"}, "Nats-Num-Pending": {"0"}}})
			}
			if slow.Load() {
				time.AfterFunc(3*time.Second, func() { reply(1) })
				return
			}
			time.AfterFunc(1500*time.Millisecond, func() { reply(2) })
		})
		if err != nil {
			t.Fatal(err)
		}
		l := stream.NewLookup(b.NC, "SLOW")
		if _, err := l.Last(t.Context(), "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("first: error %v, want a timeout", err)
		}
		slow.Store(false)
		found, err := l.Last(t.Context(), "a")
		if err != nil || found["a"].Sequence != 2 {
			t.Errorf("second: %v, error %v; want the answer to the second request", found["a"], err)
		}
	})
}

// TestLookup_stalled has one of two replicas stall: it takes requests and answers none.
func TestLookup_stalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		var asked atomic.Int32
		_, err := b.NC.Subscribe("$JS.API.DIRECT.GET.HALF", func(m *nats.Msg) {
			if asked.Add(1)%2 == 0 {
				_ = b.NC.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{
					"Nats-Subject": {"a"}, "Nats-Sequence": {"1"}, "Nats-Time-Stamp": {"2026-01-02T03:04:05Z"},
				}})
				_ = b.NC.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{"Status": {"204"}, "Nats-Num-Pending": {"0"}}})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		before := b.NC.NumSubscriptions()
		began := time.Now()
		found, err := stream.NewLookup(b.NC, "HALF").Last(t.Context(), "a")
		if err != nil || found["a"] == nil {
			t.Errorf("Last: %v, error %v; want the other replica's answer", found, err)
		}
		// What the first replica may yet say would stand before the next answer.
		if n := b.NC.NumSubscriptions(); n != before {
			t.Errorf("%d subscriptions, want the %d there were", n, before)
		}
		if _, err := stream.Get(t.Context(), b.NC, "HALF", 1); err != nil {
			t.Errorf("Get: error %v, want the other replica's answer", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("both took %v, want less than a second", took)
		}
	})
}

// TestLookup_abandoned has a caller leave without harm to those who ask with it.
func TestLookup_abandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		l := stream.NewLookup(b.NC, b.Topology.ResultsStream())
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		if _, err := l.Last(ctx, "a"); !errors.Is(err, gone) && err != nil {
			t.Errorf("abandoned: error %v, want %v or an answer", err, gone)
		}
		if found, err := l.Last(t.Context(), "a"); err != nil || found != nil {
			t.Errorf("after that: %v, error %v; want nothing, none", found, err)
		}
	})
}

// TestLookup_permissions runs as a user who may do nothing else.
func TestLookup_permissions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	err := os.WriteFile(file, []byte(`
		accounts { APP {
			jetstream: enabled
			users: [
				{ user: admin, password: a }
				{ user: worker, password: w, permissions {
					publish: ["$JS.API.DIRECT.GET.ESS_RESULTS"], subscribe: ["_INBOX_worker.>"] } }
				{ user: other, password: o, permissions { publish: ["x"], subscribe: ["_INBOX_worker.>"] } }
			] } }`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := natstest.Start(t, natstest.Setup{Types: []string{typ}, File: file, User: "admin", Password: "a"})
		subject := b.Topology.ResultSubject("employee.bound", "a")
		if _, err := b.JS.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			user natsconn.Config
			want error
		}{
			{natsconn.Config{User: "worker", Password: "w"}, nil},
			{natsconn.Config{User: "other", Password: "o"}, context.DeadlineExceeded},
		} {
			nc := b.Connect(natsconn.Options{InboxPrefix: "_INBOX_worker"}, tt.user)
			found, err := stream.NewLookup(nc, b.Topology.ResultsStream()).Last(t.Context(), subject)
			if !errors.Is(err, tt.want) || (err == nil) != (found[subject] != nil) {
				t.Errorf("as %q: %v, error %v; want error %v", tt.user.User.Reveal(), found, err, tt.want)
			}
		}
	})
}

func countRequests(t *testing.T, b *natstest.Bed) func() int {
	t.Helper()
	nc := b.Connect(natsconn.Options{}, natsconn.Config{})
	sub, err := nc.SubscribeSync("$JS.API.DIRECT.GET.>")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	return func() (n int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for {
			if _, err := sub.NextMsgWithContext(ctx); err != nil {
				return n
			}
			n++
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	bed := natstest.NewTCP(b, typ)
	ctx := b.Context()
	for i := range 20_000 {
		if _, err := bed.JS.PublishAsync(bed.Topology.ResultSubject("employee.bound", strconv.Itoa(i)), make([]byte, 300)); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 999 {
			<-bed.JS.PublishAsyncComplete()
		}
	}
	s, err := bed.JS.Stream(ctx, bed.Topology.ResultsStream())
	if err != nil {
		b.Fatal(err)
	}
	l := stream.NewLookup(bed.NC, bed.Topology.ResultsStream())
	kinds := []struct {
		name string
		one  func(subject string) error
	}{
		{"Lookup", func(subject string) error { _, err := l.Last(ctx, subject); return err }},
		{"GetLastMsgForSubject", func(subject string) error {
			_, err := s.GetLastMsgForSubject(ctx, subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil
			}
			return err
		}},
	}
	for _, first := range []string{"new", "done"} { // events seen for the first time, events seen before
		for _, goroutines := range []int{1, 32} {
			for _, k := range kinds {
				b.Run(fmt.Sprintf("%s/%d/%s", first, goroutines, k.name), func(b *testing.B) {
					var next atomic.Int64
					var wg sync.WaitGroup
					offset := map[string]int{"new": 1 << 20, "done": 0}[first]
					b.ResetTimer()
					for range goroutines {
						wg.Go(func() {
							for {
								i := int(next.Add(1))
								if i > b.N {
									return
								}
								if err := k.one(bed.Topology.ResultSubject("employee.bound", strconv.Itoa(offset+i%20_000))); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
				})
			}
		}
	}
}
