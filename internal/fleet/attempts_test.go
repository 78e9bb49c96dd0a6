package fleet_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/fleet"
	"essworker/internal/natstest"
)

func TestRecord_At(t *testing.T) {
	for _, tt := range []struct {
		record   fleet.Record
		delivery uint64
		want     fleet.Record
	}{
		{fleet.Record{}, 1, fleet.Record{Seen: 1}},
		{fleet.Record{}, 2, fleet.Record{Seen: 2, Crashes: 1}},
		{fleet.Record{}, 4, fleet.Record{Seen: 4, Crashes: 3}},
		{fleet.Record{Seen: 3}, 4, fleet.Record{Seen: 4}},
		{fleet.Record{Seen: 3}, 6, fleet.Record{Seen: 6, Crashes: 2}},
		{fleet.Record{Seen: 3, Crashes: 1, Calls: 2, Made: 5}, 5, fleet.Record{Seen: 5, Crashes: 2, Calls: 2, Made: 5}},
		// The server's count went back, after a crash of its own.
		{fleet.Record{Seen: 3}, 3, fleet.Record{Seen: 3}},
		{fleet.Record{Seen: 3}, 1, fleet.Record{Seen: 3}},
		{fleet.Record{Seen: 9, Crashes: 2}, 2, fleet.Record{Seen: 9, Crashes: 2}},
		{fleet.Record{Seen: 9}, 10, fleet.Record{Seen: 10}},
		{fleet.Record{Seen: 9}, 0, fleet.Record{Seen: 9}},
	} {
		if got := tt.record.At(tt.delivery); got != tt.want {
			t.Errorf("%+v.At(%d) = %+v, want %+v", tt.record, tt.delivery, got, tt.want)
		}
	}
}

func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bed := natstest.New(t, "employee.onboarded")
		a, err := fleet.OpenAttempts(t.Context(), bed.JS, bed.Topology.FleetBucket())
		if err != nil {
			t.Fatal(err)
		}
		const consumer = "employee-onboarded"
		want := func(consumer string, seq uint64, want fleet.Record) {
			t.Helper()
			if got, err := a.Get(t.Context(), consumer, seq); got != want || err != nil {
				t.Errorf("Get(%q, %d) = %+v, %v, want %+v", consumer, seq, got, err, want)
			}
		}
		put := func(consumer string, seq uint64, r fleet.Record) {
			t.Helper()
			if err := a.Put(t.Context(), consumer, seq, r); err != nil {
				t.Errorf("Put(%q, %d): %v", consumer, seq, err)
			}
		}
		forget := func(seq uint64) {
			t.Helper()
			if err := a.Forget(t.Context(), consumer, seq); err != nil {
				t.Errorf("Forget(%d): %v", seq, err)
			}
		}
		forget(1) // nothing there is nothing to forget
		want(consumer, 1, fleet.Record{})
		first, second := fleet.Record{Made: 3, Calls: 2, Crashes: 1, Seen: 4}, fleet.Record{Made: 4, Calls: 2, Crashes: 1, Seen: 5}
		put(consumer, 1, first)
		put("other", 1, fleet.Record{Seen: 9})
		put(consumer, 11, fleet.Record{Seen: 8})
		want(consumer, 1, first)
		put(consumer, 1, second)
		want(consumer, 1, second)
		want("other", 1, fleet.Record{Seen: 9})
		forget(1)
		want(consumer, 1, fleet.Record{})
		want(consumer, 11, fleet.Record{Seen: 8})
		put(consumer, 1, first) // and known again
		want(consumer, 1, first)
	})
}

// TestAttempts_vanish: a record goes by itself if nobody settles its event, and what
// marks a forgotten one goes soon.
func TestAttempts_vanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bed := natstest.New(t, "employee.onboarded")
		a, err := fleet.OpenAttempts(t.Context(), bed.JS, bed.Topology.FleetBucket())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Put(t.Context(), "c", 1, fleet.Record{Seen: 1}); err != nil {
			t.Fatal(err)
		}
		s, err := bed.JS.Stream(t.Context(), bed.Topology.FleetStream())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"2160h0m0s", "1m0s"} { // 90 days; a minute
			msg, err := s.GetLastMsgForSubject(t.Context(), "$KV.ESS_FLEET.attempts.c.1")
			if err != nil {
				t.Fatal(err)
			}
			if got := msg.Header.Get(jetstream.MsgTTLHeader); got != want {
				t.Errorf("Nats-TTL is %q, want %q", got, want)
			}
			if err := a.Forget(t.Context(), "c", 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestOpenAttempts_withoutBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bed := natstest.New(t)
		if _, err := fleet.OpenAttempts(t.Context(), bed.JS, "ESS_FLEET"); err == nil {
			t.Error("OpenAttempts without a bucket = nil, want an error")
		}
	})
}

// A worker that stood still until another had the event does not put its own record
// back: the deliveries since would look like crashes.
func TestAttempts_overtaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bed := natstest.New(t, "employee.onboarded")
		a, err := fleet.OpenAttempts(t.Context(), bed.JS, bed.Topology.FleetBucket())
		if err != nil {
			t.Fatal(err)
		}
		newer := fleet.Record{Seen: 4, Calls: 2}
		if err := a.Put(t.Context(), "lane", 1, newer); err != nil {
			t.Fatal(err)
		}
		if err := a.Put(t.Context(), "lane", 1, fleet.Record{Seen: 3, Calls: 3}); !errors.Is(err, fleet.ErrOvertaken) {
			t.Errorf("Put of an older record: %v, want %v", err, fleet.ErrOvertaken)
		}
		if got, err := a.Get(t.Context(), "lane", 1); got != newer || err != nil {
			t.Errorf("Get = %+v, %v, want %+v", got, err, newer)
		}
	})
}

// A record of another version's format makes nothing look like a crash, and is replaced.
func TestAttempts_unreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bed := natstest.New(t, "employee.onboarded")
		a, err := fleet.OpenAttempts(t.Context(), bed.JS, bed.Topology.FleetBucket())
		if err != nil {
			t.Fatal(err)
		}
		kv, err := bed.JS.KeyValue(t.Context(), bed.Topology.FleetBucket())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(t.Context(), "attempts.lane.1", []byte(`{"seen":"often"}`)); err != nil {
			t.Fatal(err)
		}
		for calls := range 3 {
			r, err := a.Get(t.Context(), "lane", 1)
			r = r.At(uint64(7 + calls))
			if r.Crashes != 0 || r.Calls != calls || err != nil {
				t.Errorf("at delivery %d: %+v, %v, want no crashes and %d calls", 7+calls, r, err, calls)
			}
			r.Calls++
			if err := a.Put(t.Context(), "lane", 1, r); err != nil {
				t.Fatal(err)
			}
		}
	})
}
