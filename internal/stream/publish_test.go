package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

const typ = "employee.onboarded"

func TestPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		pub := stream.NewPublisher(b.NC)
		first := message("k1", "id-1", "one")
		if seq, existed, err := pub.Once(t.Context(), first); seq != 1 || existed || err != nil {
			t.Fatalf("first: seq %d, existed %t, error %v; want 1, false, none", seq, existed, err)
		}
		if _, _, err := pub.Once(t.Context(), message("k2", "id-2", "")); err != nil {
			t.Fatalf("another subject: %v", err)
		}
		for _, id := range []string{"id-1", "id-3", ""} { // the same again, another of the same subject, one without an id
			seq, existed, err := pub.Once(t.Context(), message("k1", id, "two"))
			if seq != 1 || !existed || err != nil {
				t.Errorf("again with id %q: seq %d, existed %t, error %v; want 1, true, none", id, seq, existed, err)
			}
		}
		if got := stored(t, b, 1); got != "one" {
			t.Errorf("stored %q, want the first, %q", got, "one")
		}
	})
}

// TestPublisher_race has many workers finish one event.
func TestPublisher_race(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		var first atomic.Int32
		var wg sync.WaitGroup
		for i := range 16 {
			pub := stream.NewPublisher(b.Connect(natsconn.Options{}, natsconn.Config{}))
			wg.Go(func() {
				seq, existed, err := pub.Once(t.Context(), message("k1", "id", strconv.Itoa(i)))
				if seq != 1 || err != nil {
					t.Errorf("seq %d, error %v; want 1, none", seq, err)
				}
				if !existed {
					first.Add(1)
				}
			})
		}
		wg.Wait()
		if first.Load() != 1 {
			t.Errorf("%d workers stored the result, want 1", first.Load())
		}
	})
}

// TestPublisher_outage has the server away when it is called.
func TestPublisher_outage(t *testing.T) {
	b := natstest.NewTCP(t, typ)
	b.Stop()
	pub := stream.NewPublisher(b.NC)
	done := make(chan error, 1)
	go func() {
		seq, existed, err := pub.Once(t.Context(), message("k1", "id", ""))
		if err == nil && (seq != 1 || existed) {
			err = fmt.Errorf("seq %d, existed %t; want 1, false", seq, existed)
		}
		done <- err
	}()
	b.Resume()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPublisher_ends(t *testing.T) {
	gone := errors.New("the worker stops")
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		pub := stream.NewPublisher(b.NC)
		tests := []struct {
			name    string
			subject string
			size    int
			want    error
			after   time.Duration // waits for the context
		}{
			{"no stream takes the subject", "ess.nothing", 0, gone, time.Minute},
			{"too large", "ess.results.employee.bound.k", 2 << 20, nats.ErrMaxPayload, 0},
		}
		for _, tt := range tests {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, gone)
			defer cancel()
			began := time.Now()
			_, _, err := pub.Once(ctx, &nats.Msg{Subject: tt.subject, Data: make([]byte, tt.size)})
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
			}
			if took := time.Since(began); took < tt.after || took > tt.after+time.Second {
				t.Errorf("%s: took %v, want %v", tt.name, took, tt.after)
			}
		}
	})
}

// TestPublisher_full has the server's own refusal come back at once.
func TestPublisher_full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t)
		_, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, MaxMsgs: 1, Discard: jetstream.DiscardNew})
		if err != nil {
			t.Fatal(err)
		}
		pub := stream.NewPublisher(b.NC)
		for i, want := range []jetstream.ErrorCode{0, 10077} {
			began := time.Now()
			_, _, err := pub.Once(t.Context(), &nats.Msg{Subject: fmt.Sprintf("s.%d", i)})
			var code jetstream.ErrorCode
			if api, ok := errors.AsType[*jetstream.APIError](err); ok {
				code = api.ErrorCode
			}
			if code != want || time.Since(began) != 0 {
				t.Errorf("message %d: error %v after %v, want code %d at once", i, err, time.Since(began), want)
			}
		}
	})
}

func message(key, id, data string) *nats.Msg {
	m := nats.NewMsg(natstest.Defaults().ResultSubject("employee.bound", key))
	if id != "" {
		m.Header.Set(jetstream.MsgIDHeader, id)
	}
	m.Data = []byte(data)
	return m
}

func stored(t *testing.T, b *natstest.Bed, seq uint64) string {
	t.Helper()
	s, err := b.JS.Stream(t.Context(), b.Topology.ResultsStream())
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	return string(m.Data)
}
