package dlq_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

const mended = `{"userId":"u","openId":"mended"}`

func (p *post) edit(id uint64, data string) (dlq.Replayed, error) {
	p.t.Helper()
	return p.box.Edit(p.t.Context(), id, []byte(data))
}

// TestEdit: an event of its own, which names the one it was; in both modes.
func TestEdit(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		id := p.put(p.failed(func(f *dlq.Failed) { f.Data = []byte(`{"userId":"u"}`) }))
		l := p.get(id)
		if data, err := dlq.Editable(l); err != nil || string(data) != `{"userId":"u"}` {
			t.Errorf("Editable = %q, %v", data, err)
		}
		if _, err := p.edit(id, `{"userId":"u","openId":5}`); err == nil || !strings.Contains(err.Error(), "/openId") {
			t.Errorf("Edit against the schema = %v, want an error that names /openId", err)
		}
		r, err := p.edit(id, mended)
		if err != nil || r.Duplicate {
			t.Fatalf("Edit = %+v, %v", r, err)
		}
		msg := p.stored("ESS_EVENTS", r.Seq)
		e, err := event.Parse(typ, msg.Header, msg.Data)
		if err != nil || e.ID() != dlq.EditID(l) || e.Source() != "/hr" || string(msg.Data) != mended || e.Extensions()["causationid"] != "e1" {
			t.Errorf("stored %v, %v", e, err)
		}
		if replays, origin := dlq.Generation(msg.Header); replays != 1 || origin != id {
			t.Errorf("replay %d of letter %d, want 1 of %d", replays, origin, id)
		}
		if n := p.count("ESS_DEADLETTERS"); n != 0 {
			t.Errorf("%d letters are left", n)
		}
		if _, err := p.edit(id, mended); !errors.Is(err, dlq.ErrNoLetter) {
			t.Errorf("Edit again = %v, want ErrNoLetter", err)
		}
	})
}

// TestEdit_notTheEnvelope: what identifies an event is not to be edited.
func TestEdit_notTheEnvelope(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		for name, h := range map[string]nats.Header{
			"no event": {}, "no source": {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-type": {typ}},
			"another type": {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-type": {"x"}, "ce-source": {"/"}},
		} {
			id := p.put(p.failed(func(f *dlq.Failed) { f.Header = h }))
			if _, err := dlq.Editable(p.get(id)); err == nil {
				t.Errorf("%s: Editable is no error", name)
			}
			if _, err := p.edit(id, mended); err == nil {
				t.Errorf("%s: Edit is no error", name)
			}
			if p.get(id).ID != id {
				t.Errorf("%s: the letter is gone", name)
			}
		}
	})
}

// withoutRemoval is a deployment, and its letters in the hands of a user who may not
// remove any: what he does is cut off there.
func withoutRemoval(t *testing.T, test func(t *testing.T, p *post, cut *dlq.Box)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bed := natstest.StartWithKeeper(t, typ)
		p := &post{Bed: bed, t: t}
		p.box = p.open(bed.JS)
		js, err := jetstream.New(bed.Connect(natsconn.Options{}, natstest.Keeper()))
		if err != nil {
			t.Fatal(err)
		}
		test(t, p, p.open(js))
	})
}

// The events stream knows a message id for ten minutes.
const within, beyond = 9 * time.Minute, 15 * time.Minute

// TestEdit_cutOff: the event was stored and the letter was not removed. Whatever is
// tried again, an edit or a replay, there is no second event; an edit looks for it also
// where the server would not know it for a duplicate any more.
func TestEdit_cutOff(t *testing.T) {
	withoutRemoval(t, func(t *testing.T, p *post, cut *dlq.Box) {
		edit := func(data string) func(context.Context, *dlq.Box, uint64) (dlq.Replayed, error) {
			return func(ctx context.Context, box *dlq.Box, id uint64) (dlq.Replayed, error) {
				return box.Edit(ctx, id, []byte(data))
			}
		}
		replay := func(ctx context.Context, box *dlq.Box, id uint64) (dlq.Replayed, error) { return box.Replay(ctx, id) }
		for _, tt := range []struct {
			name         string
			first, again func(context.Context, *dlq.Box, uint64) (dlq.Replayed, error)
			unused       bool // the second is not what was stored
			later        time.Duration
		}{
			{"the same edit", edit(mended), edit(mended), false, within},
			{"another edit", edit(mended), edit(`{"userId":"u","openId":"other"}`), true, within},
			{"an edit after a replay", replay, edit(mended), true, within},
			{"a replay after an edit", edit(mended), replay, false, within},
			{"the same edit, later", edit(mended), edit(mended), false, beyond},
			{"an edit after a replay, later", replay, edit(mended), true, beyond},
		} {
			id, before := p.put(p.failed()), p.count("ESS_EVENTS")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := tt.first(ctx, cut, id); err == nil {
				t.Fatalf("%s: the first is not cut off", tt.name)
			}
			cancel()
			time.Sleep(tt.later)
			r, err := tt.again(t.Context(), p.box, id)
			if errors.Is(err, dlq.ErrPutBack) != tt.unused || !r.Duplicate || (err != nil && !tt.unused) {
				t.Errorf("%s: %+v, %v, want a duplicate, and ErrPutBack is %t", tt.name, r, err, tt.unused)
			}
			if events, letters := p.count("ESS_EVENTS")-before, p.count("ESS_DEADLETTERS"); events != 1 || letters != 0 {
				t.Errorf("%s: %d events stored and %d letters left, want 1 and 0", tt.name, events, letters)
			}
		}
	})
}

// TestSucceeded finds the success of a letter's event, and of its edit.
func TestSucceeded(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		var letters []dlq.Letter
		for range 450 {
			letters = append(letters, p.get(p.put(p.failed())))
		}
		want := map[uint64]string{3: "e3", 440: dlq.EditID(letters[439])}
		for _, id := range want {
			if _, err := p.JS.Publish(t.Context(), p.Topology.ResultSubject("employee.bound", event.Key("/hr", id)), nil); err != nil {
				t.Fatal(err)
			}
		}
		got, err := p.box.Succeeded(t.Context(), func(string) string { return "employee.bound" }, letters...)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("Succeeded (-want +got): %v\n%s", err, d)
		}
	})
}

// TestEditsEnd waits for all of them, and tells why one has failed.
func TestEditsEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		var letters []dlq.Letter
		for range 3 {
			letters = append(letters, p.get(p.put(p.failed())))
		}
		types := func(string) (string, string) { return "employee.bound", "employee.bind.failed" }
		ended := func(n int, result, data string) {
			key := event.Key("/hr", dlq.EditID(letters[n]))
			if _, err := p.JS.Publish(t.Context(), p.Topology.ResultSubject(result, key), []byte(data)); err != nil {
				t.Error(err)
			}
		}
		start := time.Now()
		time.AfterFunc(time.Minute, func() { ended(0, "employee.bound", "{}") })
		time.AfterFunc(2*time.Minute, func() { ended(1, "employee.bind.failed", `{"reason":"rejected","code":"C","deadLetter":{"id":9}}`) })
		time.AfterFunc(3*time.Minute, func() { ended(2, "employee.bound", "{}") })
		got, err := p.box.EditsEnd(t.Context(), types, letters...)
		want := map[uint64]event.Failure{letters[1].ID: {Reason: "rejected", Code: "C", DeadLetter: event.FailureLetter{ID: 9}}}
		if d := cmp.Diff(want, got); d != "" || err != nil || time.Since(start) < 3*time.Minute {
			t.Errorf("EditsEnd after %v (-want +got): %v\n%s", time.Since(start), err, d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.box.EditsEnd(ctx, types, p.get(p.put(p.failed()))); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("EditsEnd of one that does not end = %v, want that ctx has ended", err)
		}
	})
}
