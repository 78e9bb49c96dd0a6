package dlq_test

import (
	"testing"
	"time"

	"essworker/internal/dlq"
)

// TestUntouched passes over letters that were replayed, that are gone and that are to be
// ignored, and comes back to these when they are not any more.
func TestUntouched(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		var u dlq.Untouched
		want := func(what string, id uint64, at time.Time) {
			t.Helper()
			if err := u.Look(t.Context(), p.NC, p.Topology.Names); err != nil {
				t.Fatal(err)
			}
			if u.ID != id || !u.FailedAt.Equal(at) {
				t.Errorf("%s: letter %d of %v, want %d of %v", what, u.ID, u.FailedAt, id, at)
			}
		}
		note := func(group string, state dlq.State) {
			t.Helper()
			if err := p.box.SetNote(t.Context(), group, dlq.Note{State: state, Why: "known", By: "anna"}); err != nil {
				t.Fatal(err)
			}
		}
		want("without letters", 0, time.Time{})
		r := p.replay(p.put(p.failed()))
		p.put(p.failsAgain(r.Seq))
		want("replayed", 0, time.Time{})
		f := p.failed()
		f.FailedAt = f.FailedAt.Add(-time.Hour)
		first := p.put(f)
		g := p.failed()
		g.Fault.Code = "FailedOperation"
		second := p.put(g)
		want("two", first, f.FailedAt)
		letter, err := p.box.Get(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		note(letter.Group, dlq.StateAcknowledged)
		want("acknowledged", first, f.FailedAt)
		note(letter.Group, dlq.StateIgnored)
		want("ignored", second, g.FailedAt)
		p.scribble("aaaaaa")
		want("beside a note that cannot be read", second, g.FailedAt)
		note(letter.Group, dlq.StateOpen)
		want("open again", first, f.FailedAt)
	})
}
