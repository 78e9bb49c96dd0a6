package status_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/natstest"
	"essworker/internal/status"
	"essworker/internal/topology"
)

func TestLook_nothingSetUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t)
		r := status.NewReader(b.NC, b.JS, b.Topology.Names, routes())
		if _, err := r.Look(t.Context()); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("Look = %v, want ErrStreamNotFound", err)
		}
		if _, err := r.Usage(t.Context()); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("Usage = %v, want ErrStreamNotFound", err)
		}
	})
}

func TestLook_nobodyThere(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		must(t, y.JS.DeleteConsumer(t.Context(), y.Topology.EventsStream(), topology.Consumer(link)))
		y.publish(2)
		s := y.look()
		if s.At.IsZero() || len(s.Workers) != 0 || s.Letters != (status.Letters{}) || len(s.Lanes) != 3 {
			t.Errorf("Look = %+v, want three lanes and nothing else", s)
		}
		want := map[string]status.State{onboarded: status.NoWorker, grant: status.NoWorker, link: status.Missing}
		for _, l := range s.Lanes {
			if l.State != want[l.Type] || l.Quota.Known {
				t.Errorf("lane %s is %q, quota known %t; want %q and unknown", l.Type, l.State, l.Quota.Known, want[l.Type])
			}
		}
		if l := s.Lanes[0]; l.Backlog() != 2 || l.Empty != -1 || s.At.Sub(l.Oldest) != 2*time.Second {
			t.Errorf("lane with two events and no worker: %+v, want both waiting, the oldest for 2s, never empty", l)
		}
		if l := s.Lanes[1]; l.Backlog() != 0 || l.Empty != 0 || !l.Oldest.IsZero() {
			t.Errorf("lane without events: %+v, want it empty", l)
		}
	})
}

// TestLook_backlog has events that wait, are in hand, and come again.
func TestLook_backlog(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		gates := y.worker(20)
		y.worker(20)
		start := time.Now()
		y.publish(10)
		taken := y.take(onboarded, 5)
		y.giveBack(onboarded, taken[:2])
		y.settle(onboarded, taken[3]) // whose record is still there, as a mark that it is gone
		calling := make(chan struct{})
		release := hang(t, gates[onboarded], calling)
		<-calling
		time.Sleep(15 * time.Second) // both workers have spoken again
		l := y.lane(onboarded)
		release()
		want := []uint64{6, 1, 2}
		if got := []uint64{l.Waiting, l.Calls, l.Retry}; !cmp.Equal(got, want) || l.Backlog() != 9 {
			t.Errorf("waiting, calls, retry = %v, want %v", got, want)
		}
		if l.State != status.Working || l.Workers != 2 || !l.Oldest.Equal(start) || l.Quota.Limit != 20 {
			t.Errorf("lane = %+v, want it working with 2 workers at 20, oldest of %v", l, start)
		}
		if want := 450 * time.Millisecond; l.Empty != want {
			t.Errorf("empty in %v, want %v", l.Empty, want)
		}
	})
}

// TestLook_states has one lane after the other in trouble.
func TestLook_states(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		gates := y.worker(20)
		office := fleet.OpenOffice(y.NC, y.JS, y.Topology.FleetBucket())
		state := func(typ string, want status.State) status.Lane {
			t.Helper()
			l := y.lane(typ)
			if l.State != want {
				t.Errorf("lane %s is %q, want %q", typ, l.State, want)
			}
			return l
		}
		state(onboarded, status.Idle)
		y.publish(1)
		state(onboarded, status.Working)

		call(t, gates[onboarded], &fault.Error{Kind: fault.Throttled, Code: "RequestLimitExceeded", Message: "slower"})
		l := state(onboarded, status.Throttled)
		if q := l.Quota; q.Pace < 10 || q.Pace > 11 || !q.Throttled.Equal(y.look().At) {
			t.Errorf("quota %+v, want a pace of about 10, throttled now", q)
		}
		if l.Empty < 90*time.Millisecond || l.Empty > 100*time.Millisecond {
			t.Errorf("empty in %v, want a call at a pace of 10", l.Empty)
		}
		state(link, status.Idle)

		for range 5 {
			call(t, gates[grant], &fault.Error{Kind: fault.Transient, Code: "InternalError", Message: "no luck"})
		}
		time.Sleep(time.Second)
		l = state(grant, status.Open)
		if len(l.Shut) != 1 || l.Shut[0].Kind != fleet.Breaker || l.Shut[0].Code != "InternalError" || l.Shut[0].ProbeAt.IsZero() {
			t.Errorf("shut: %+v, want the breaker and its next probe", l.Shut)
		}

		call(t, gates[link], &fault.Error{Kind: fault.Misconfigured, Scope: fault.Action, Code: "InvalidAction", Message: "what?"})
		time.Sleep(time.Second)
		state(link, status.Held)
		state(onboarded, status.Throttled)
		call(t, gates[onboarded], &fault.Error{Kind: fault.Misconfigured, Scope: fault.Credential, Code: "AuthFailure", Message: "who?"})
		time.Sleep(time.Second)
		for _, typ := range []string{onboarded, grant, link} { // all with one key, as their worker says
			state(typ, status.Held)
		}
		kinds := []fleet.Kind{}
		for _, b := range y.look().Shut {
			kinds = append(kinds, b.Kind)
		}
		if want := []fleet.Kind{fleet.Breaker, fleet.Credential, fleet.Action}; !cmp.Equal(kinds, want) {
			t.Errorf("shut: %v, want %v", kinds, want)
		}

		until, err := topology.Pause(t.Context(), y.JS, y.Topology.Names, link, time.Time{})
		must(t, err)
		if l := state(link, status.Paused); l.Pause.Note != nil || !l.Pause.Until.IsZero() {
			t.Errorf("pause without a note: %+v, want none, for good", l.Pause)
		}
		must(t, office.NotePause(t.Context(), link, fleet.Pause{Why: "their mail", By: "anna@ops", Until: until}))
		if l := state(link, status.Paused); l.Pause.Note == nil || l.Pause.Note.Why != "their mail" {
			t.Errorf("pause with a note: %+v, want the reason", l.Pause)
		}
		// Somebody else, with another tool: the note is not about that.
		_, err = topology.Pause(t.Context(), y.JS, y.Topology.Names, link, time.Now().Add(time.Hour))
		must(t, err)
		if l := state(link, status.Paused); l.Pause.Note != nil || l.Pause.Until.IsZero() {
			t.Errorf("another's pause: %+v, want no note, for an hour", l.Pause)
		}
	})
}

// TestLook_probing has a worker ask whether the vendor is back.
func TestLook_probing(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		gate := y.worker(20)[onboarded]
		for range 5 {
			call(t, gate, &fault.Error{Kind: fault.Transient, Code: "InternalError"})
		}
		time.Sleep(time.Second)
		if _, err := gate.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		started := make(chan struct{})
		release := hang(t, gate, started)
		<-started
		defer release()
		if l := y.lane(onboarded); l.State != status.Probing {
			t.Errorf("lane is %q, want %q: %+v", l.State, status.Probing, l.Shut)
		}
	})
}

func TestUsage(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		gate := y.worker(20)[onboarded]
		y.worker(30)
		for range 100 {
			must(t, gate.Slot(t.Context(), fleet.Ask{}))
		}
		office := fleet.OpenOffice(y.NC, y.JS, y.Topology.FleetBucket())
		if _, err := office.SetLimit(t.Context(), "ess.Link", fleet.Limit{Rate: 5, Why: "their mail", By: "anna@ops"}); err != nil {
			t.Fatal(err)
		}
		if _, err := office.SetLimit(t.Context(), "essbasic.Grant", fleet.Limit{Rate: 0, Why: "lifted", By: "anna@ops"}); err != nil {
			t.Fatal(err)
		}
		actions, err := y.reader.Usage(t.Context())
		must(t, err)
		if len(actions) != 3 {
			t.Fatalf("%d actions, want 3", len(actions))
		}
		if q := actions[0].Quota; actions[0].Name != "ess.Bind" || q.Limit != 20 || q.Set != nil || q.Used < 99 || q.Used > 101 || !cmp.Equal(q.Rates, []int{20, 30}) {
			t.Errorf("%s: %+v, want ess.Bind: the lower of 20 and 30, 100 calls in the last minute", actions[0].Name, q)
		}
		if q := actions[1].Quota; q.Limit != 0 || q.Set == nil || !q.Known || q.Pace != 0 {
			t.Errorf("%s: %+v, want no limit, set", actions[1].Name, q)
		}
		if q := actions[2].Quota; q.Limit != 5 || q.Set == nil || q.Set.Why != "their mail" || q.Pace != 5 {
			t.Errorf("%s: %+v, want 5, set", actions[2].Name, q)
		}
	})
}

// TestLook_letters counts letters by lane and reason, and again only if there may be
// others.
func TestLook_letters(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		start := time.Now()
		y.letter(fault.Rejected, onboarded, "1")
		time.Sleep(time.Minute)
		y.letter(fault.Rejected, onboarded, "2")
		y.letter(fault.Poison, onboarded, "3")
		y.letter(fault.Expired, link, "4")
		s := y.look()
		if s.Letters.Count != 4 || !s.Letters.Oldest.Equal(start) || !s.Letters.Untouched.Equal(start) || s.Letters.UntouchedID != 1 {
			t.Errorf("letters = %+v, want 4, the oldest of %v", s.Letters, start)
		}
		want := map[fault.Reason]uint64{fault.Rejected: 2, fault.Poison: 1}
		if d := cmp.Diff(want, s.Lanes[0].Letters); d != "" {
			t.Errorf("letters of %s differ (-want +got):\n%s", onboarded, d)
		}
		if got := s.Lanes[1].Letters; len(got) != 0 {
			t.Errorf("letters of %s = %v, want none", grant, got)
		}
		counts := y.requests("$JS.API.DIRECT.GET." + y.Topology.LettersStream())
		y.look()
		if n, _, _ := counts.Pending(); n != 0 {
			t.Errorf("%d counts where nothing has changed, want 0", n)
		}
		y.letter(fault.Expired, link, "5")
		if got := y.lane(link).Letters[fault.Expired]; got != 2 {
			t.Errorf("expired = %d after one more, want 2", got)
		}
	})
}

// TestLook_straggler has one event that was given back long ago, and others that have
// just come: the lane is not behind for it.
func TestLook_straggler(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		gate := y.worker(20)[onboarded]
		y.publish(1)
		y.giveBack(onboarded, y.take(onboarded, 1))
		time.Sleep(10 * time.Minute)
		must(t, gate.Slot(t.Context(), fleet.Ask{}))
		y.publish(9)
		l := y.lane(onboarded)
		if want := 500 * time.Millisecond; l.Empty != want || y.look().At.Sub(l.Oldest) < 10*time.Minute {
			t.Errorf("lane %+v: want it empty in %v, its oldest event ten minutes old", l, want)
		}
	})
}

// TestLook_slow has a lane that cannot keep its pace: how long it takes is told by what
// it did, not by what it may do.
func TestLook_slow(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		gate := y.worker(20)[onboarded]
		y.publish(100)
		for range 120 { // two calls a second
			must(t, gate.Slot(t.Context(), fleet.Ask{}))
			time.Sleep(450 * time.Millisecond)
		}
		l := y.lane(onboarded)
		if l.Quota.Full || l.Empty < 45*time.Second || l.Empty > 75*time.Second {
			t.Errorf("100 events at about 2 a second (%+v): empty in %v, want about a minute", l.Quota, l.Empty)
		}
		// Many callers at once: now it is the quota that limits, whatever the last minute was.
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_ = gate.Slot(ctx, fleet.Ask{}) // its end is ctx's
				}
			})
		}
		time.Sleep(time.Second)
		l = y.lane(onboarded)
		cancel()
		wg.Wait()
		if want := 5 * time.Second; !l.Quota.Full || l.Empty != want {
			t.Errorf("100 events at full pace (%+v): empty in %v, want %v", l.Quota, l.Empty, want)
		}
	})
}
