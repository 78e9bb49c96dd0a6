package dlq_test

import (
	"testing"
	"time"

	"essworker/internal/dlq"
)

// TestUntouched passes over letters that were replayed and those that are gone.
func TestUntouched(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		untouched := func(from uint64) (uint64, time.Time) {
			t.Helper()
			id, at, err := dlq.Untouched(t.Context(), p.NC, p.Topology.Names, from)
			if err != nil {
				t.Fatal(err)
			}
			return id, at
		}
		if id, at := untouched(0); id != 0 || !at.IsZero() {
			t.Errorf("without letters: %d, %v", id, at)
		}
		r := p.replay(p.put(p.failed()))
		p.put(p.failsAgain(r.Seq))
		f := p.failed()
		f.FailedAt = f.FailedAt.Add(-time.Hour)
		want := p.put(f)
		p.put(p.failed())
		if id, at := untouched(0); id != want || !at.Equal(f.FailedAt) {
			t.Errorf("letter %d of %v, want %d of %v", id, at, want, f.FailedAt)
		}
		if id, _ := untouched(want + 1); id != want+1 {
			t.Errorf("behind it letter %d, want %d", id, want+1)
		}
	})
}
