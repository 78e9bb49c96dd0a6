package dlq_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"essworker/internal/dlq"
)

func (p *post) discarded() *dlq.Discarded {
	p.t.Helper()
	d, err := dlq.OpenDiscarded(p.t.Context(), p.JS, p.Topology.Names)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// TestDiscard_restore: there and back, twice and at once, a letter stays what it was.
func TestDiscard_restore(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		d := p.discarded()
		id := p.put(p.failed())
		want := p.get(id)
		for range 2 {
			away, err := p.box.Discard(t.Context(), id, d)
			if err != nil {
				t.Fatal(err)
			}
			if ids := p.list(dlq.Filter{}); len(ids) != 0 {
				t.Errorf("letters %v are left", ids)
			}
			l, err := d.Get(t.Context(), away)
			if diff := cmp.Diff(want, l, cmpopts.IgnoreFields(dlq.Letter{}, "ID", "Stored")); diff != "" || err != nil {
				t.Errorf("discarded letter (-want +got): %v\n%s", err, diff)
			}
			if _, err := p.box.Discard(t.Context(), id, d); !errors.Is(err, dlq.ErrNoLetter) {
				t.Errorf("Discard again = %v, want ErrNoLetter", err)
			}
			if id, err = d.Restore(t.Context(), away, p.box); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, p.get(id), cmpopts.IgnoreFields(dlq.Letter{}, "ID", "Stored")); diff != "" {
				t.Errorf("restored letter (-want +got):\n%s", diff)
			}
			if n := p.count("ESS_DISCARDED"); n != 0 {
				t.Errorf("%d discarded letters are left", n)
			}
		}
	})
}

// TestDiscard_cutOff: the copy was stored, the letter not removed.
func TestDiscard_cutOff(t *testing.T) {
	withoutRemoval(t, func(t *testing.T, p *post, cut *dlq.Box) {
		d := p.discarded()
		id := p.put(p.failed())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := cut.Discard(ctx, id, d); err == nil {
			t.Fatal("Discard without the right to delete is no error")
		}
		// The other way round nobody may go now: each would remove what the other has left.
		if _, err := d.Restore(t.Context(), 1, p.box); !errors.Is(err, dlq.ErrCutOff) {
			t.Errorf("Restore of the copy = %v, want ErrCutOff", err)
		}
		if away, err := p.box.Discard(t.Context(), id, d); away != 1 || err != nil {
			t.Errorf("Discard again = %d, %v, want the copy, 1", away, err)
		}
		if letters, away := p.count("ESS_DEADLETTERS"), p.count("ESS_DISCARDED"); letters != 0 || away != 1 {
			t.Errorf("%d letters and %d discarded, want 0 and 1", letters, away)
		}
	})
}

// TestDiscard_atOnce: some discard, others restore; the letter is on one shelf at the end.
func TestDiscard_atOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		d := p.discarded()
		for round := range 8 {
			p.put(p.failed())
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for id := range uint64(16) {
						_, _ = p.box.Discard(t.Context(), id+1, d) // most are not there
					}
				})
				wg.Go(func() {
					for id := range uint64(16) {
						_, _ = d.Restore(t.Context(), id+1, p.box)
					}
				})
			}
			wg.Wait()
			if letters, away := p.count("ESS_DEADLETTERS"), p.count("ESS_DISCARDED"); letters+away < uint64(round)+1 {
				t.Fatalf("%d letters and %d discarded of %d", letters, away, round+1)
			}
		}
	})
}
