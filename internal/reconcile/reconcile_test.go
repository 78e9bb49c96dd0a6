package reconcile_test

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/natstest"
	"essworker/internal/reconcile"
)

const typ = "employee.onboarded"

// bench is a deployment where events fail without a worker.
type bench struct {
	*natstest.Bed

	t   *testing.T
	box *dlq.Box
	c   *reconcile.Checker
	n   uint64
}

func inBubble(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{Bed: natstest.New(t, typ), t: t}
		var err error
		if b.box, err = dlq.Open(t.Context(), b.JS, b.Topology.Names, ""); err != nil {
			t.Fatal(err)
		}
		routes := []event.Route{{Type: typ, Success: "employee.bound", Failure: "employee.bind.failed"}}
		if b.c, err = reconcile.Open(t.Context(), b.JS, b.Topology.Names, routes, "/essworker"); err != nil {
			t.Fatal(err)
		}
		test(t, b)
	})
}

// letter is that of another event each time, with its failure result.
func (b *bench) letter() (id uint64, e event.Event) {
	b.t.Helper()
	id, e = b.silent()
	b.result("employee.bind.failed", e, fmt.Sprintf(`{"reason":"rejected","code":"C","message":"","requestId":"","attempts":1,"deadLetter":{"id":%d}}`, id))
	return id, e
}

// silent is a letter without its failure result.
func (b *bench) silent() (uint64, event.Event) {
	b.t.Helper()
	b.n++
	e := event.New(typ, "/hr", fmt.Sprintf("e%d", b.n), []byte(`{"userId":"u","openId":"o"}`))
	header, data, err := event.Write(e)
	if err != nil {
		b.t.Fatal(err)
	}
	id, err := b.box.Put(b.t.Context(), dlq.Failed{
		Type: typ, Action: "A", Stream: "ESS_EVENTS", StreamSeq: b.n + 100, Stored: time.Now(), Deliveries: 1, Subject: "ess.events." + typ,
		Header: header, Data: data, Event: e, Fault: &fault.Error{Code: "C"}, Reason: fault.Rejected, Attempts: 1, FailedAt: time.Now(),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return id, e
}

func (b *bench) result(result string, e event.Event, data string) {
	b.t.Helper()
	msg, err := event.Result(nats.Header{}, event.ResultSpec{
		Type: result, Source: "/essworker", Cause: e, CauseKey: event.Key(e.Source(), e.ID()), Time: time.Now(), Data: []byte(data),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	msg.Subject = b.Topology.ResultSubject(result, event.Key(e.Source(), e.ID()))
	if _, err := b.JS.PublishMsg(b.t.Context(), msg); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) succeeds(e event.Event) {
	b.t.Helper()
	b.result("employee.bound", e, `{"userId":"u","openId":"o","alreadyBound":false,"requestId":""}`)
}

func (b *bench) check() []reconcile.Finding {
	b.t.Helper()
	found, err := b.c.Check(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

func (b *bench) removed(id uint64) {
	b.t.Helper()
	s, err := b.JS.Stream(b.t.Context(), b.Topology.LettersStream())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := s.DeleteMsg(b.t.Context(), id); err != nil {
		b.t.Fatal(err)
	}
}

func no(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheck_sound: whatever operators do with letters strands nothing.
func TestCheck_sound(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.letter()
		replayed, _ := b.letter()
		_, err := b.box.Replay(t.Context(), replayed) // waits
		no(t, err)
		edited, e := b.letter()
		l, err := b.box.Get(t.Context(), edited)
		no(t, err)
		_, err = b.box.Edit(t.Context(), edited, []byte(`{"userId":"u","openId":"p"}`)) // waits
		no(t, err)
		done, e2 := b.letter()
		b.removed(done)
		b.succeeds(e2)
		mended, e3 := b.letter()
		l3, err := b.box.Get(t.Context(), mended)
		no(t, err)
		b.removed(mended)
		b.succeeds(event.New(typ, e3.Source(), dlq.EditID(l3), nil))
		away, err := dlq.OpenDiscarded(t.Context(), b.JS, b.Topology.Names)
		no(t, err)
		discarded, _ := b.letter()
		_, err = b.box.Discard(t.Context(), discarded, away)
		no(t, err)
		if found := b.check(); len(found) > 0 {
			t.Errorf("found %+v (%s, %d)", found, e.ID(), l.ID)
		}
	})
}

// TestCheck_edits: a failed event is not lost whose edit has ended, whatever the number of
// the replay that the edit was.
func TestCheck_edits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		for _, n := range []int{1, 16, 17, 400} {
			for _, result := range []string{"employee.bound", "employee.bind.failed"} {
				gone, e := b.letter()
				b.removed(gone)
				edited := event.New(typ, e.Source(), dlq.EditPrefix(e.Source(), e.ID())+strconv.Itoa(n), nil)
				b.result(result, edited, `{"userId":"u","openId":"o","deadLetter":{"id":0}}`)
			}
		}
		if found := b.check(); len(found) > 0 {
			t.Errorf("found %+v, want nothing", found)
		}
	})
}

// TestCheck_stranded finds one of each kind, and mends what can be mended.
func TestCheck_stranded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		gone, _ := b.letter()
		b.removed(gone)
		done, e := b.letter()
		b.succeeds(e)
		edited, e3 := b.letter()
		l, err := b.box.Get(t.Context(), edited)
		no(t, err)
		b.succeeds(event.New(typ, e3.Source(), dlq.EditID(l), nil))
		silent, _ := b.silent()
		h, data, err := event.Write(event.New(typ, "/hr", "e2", []byte(`{"userId":"u","openId":"o"}`)))
		no(t, err)
		_, err = b.JS.PublishMsg(t.Context(), &nats.Msg{Subject: "ess.events." + typ, Header: h, Data: data})
		no(t, err)
		lane, err := b.JS.Consumer(t.Context(), "ESS_EVENTS", "employee-onboarded")
		no(t, err)
		_, err = lane.Next() // and is not acknowledged
		no(t, err)
		time.Sleep(10 * time.Minute)
		want := []reconcile.Finding{
			{Kind: reconcile.LetterGone, Type: typ, Letter: gone, Event: "e1", Source: "/hr"},
			{Kind: reconcile.LetterDone, Type: typ, Letter: done, Event: "e2", Source: "/hr", By: "e2"},
			{Kind: reconcile.LetterDone, Type: typ, Letter: edited, Event: "e3", Source: "/hr", By: dlq.EditID(l)},
			{Kind: reconcile.NoResult, Type: typ, Letter: silent, Event: "e4", Source: "/hr"},
			{Kind: reconcile.EventDone, Type: typ, Seq: 1, Event: "e2", Source: "/hr"},
		}
		found := b.check()
		if d := cmp.Diff(want, found, cmpopts.IgnoreFields(reconcile.Finding{}, "Result", "Mends")); d != "" {
			t.Fatalf("found (-want +got):\n%s", d)
		}
		for _, f := range found {
			if err := b.c.Mend(t.Context(), f); (err == nil) != (f.Mends != "") {
				t.Errorf("Mend(%+v) = %v", f, err)
			}
			if f.Mends != "" {
				no(t, b.c.Mend(t.Context(), f)) // again
			}
		}
		if left := b.check(); len(left) != 1 || left[0].Kind != reconcile.LetterGone {
			t.Errorf("after mending: %+v, want only the letter that is gone", left)
		}
	})
}
