package dlq_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
			if l.Moved != id {
				t.Errorf("the discarded letter says that it was letter %d, want %d", l.Moved, id)
			}
			if diff := cmp.Diff(want, l, cmpopts.IgnoreFields(dlq.Letter{}, "ID", "Stored", "Moved")); diff != "" || err != nil {
				t.Errorf("discarded letter (-want +got): %v\n%s", err, diff)
			}
			if _, err := p.box.Discard(t.Context(), id, d); !errors.Is(err, dlq.ErrNoLetter) {
				t.Errorf("Discard again = %v, want ErrNoLetter", err)
			}
			if id, err = d.Restore(t.Context(), away, p.box); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, p.get(id), cmpopts.IgnoreFields(dlq.Letter{}, "ID", "Stored", "Moved")); diff != "" {
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
		away, err := p.box.Discard(t.Context(), id, d)
		if err != nil {
			t.Errorf("Discard again = %v", err)
		}
		if _, err := d.Get(t.Context(), away); err != nil {
			t.Errorf("Discard again = %d, which is not there: %v", away, err)
		}
		if letters, away := p.count("ESS_DEADLETTERS"), p.count("ESS_DISCARDED"); letters != 0 || away != 1 {
			t.Errorf("%d letters and %d discarded, want 0 and 1", letters, away)
		}
	})
}

// TestDiscard_overtaken: the copy is stored, and before the letter is removed somebody else
// takes it. A replay leaves nothing behind among the discarded; another discard leaves one.
func TestDiscard_overtaken(t *testing.T) {
	for _, tt := range []struct {
		name string
		take func(p *post, d *dlq.Discarded, id uint64) error
		want uint64
	}{
		{"by a replay", func(p *post, _ *dlq.Discarded, id uint64) error { return p.box.Remove(p.t.Context(), id) }, 0},
		{"by another discard", func(p *post, d *dlq.Discarded, id uint64) error {
			_, err := p.box.Discard(p.t.Context(), id, d)
			return err
		}, 1},
	} {
		inBubble(t, func(t *testing.T, p *post) {
			d := p.discarded()
			id := p.put(p.failed())
			_, err := p.beforeRemoval(func() error { return tt.take(p, d, id) }).Discard(t.Context(), id, d)
			if !errors.Is(err, dlq.ErrNoLetter) {
				t.Errorf("%s: Discard = %v, want ErrNoLetter", tt.name, err)
			}
			if n := p.count("ESS_DISCARDED"); n != tt.want {
				t.Errorf("%s: %d discarded, want %d", tt.name, n, tt.want)
			}
		})
	}
}

// TestReplay_overtaken: an event was put back, and before its letter is removed a discard
// takes it. No copy stays among the discarded.
func TestReplay_overtaken(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		d := p.discarded()
		id := p.put(p.failed())
		discard := sync.OnceValue(func() error {
			_, err := p.box.Discard(t.Context(), id, d)
			return err
		})
		if _, err := p.beforeRemoval(discard).Replay(t.Context(), id); err != nil {
			t.Errorf("Replay = %v", err)
		}
		if letters, discarded, events := p.count("ESS_DEADLETTERS"), p.count("ESS_DISCARDED"), p.count("ESS_EVENTS"); letters != 0 || discarded != 0 || events != 1 {
			t.Errorf("%d letters, %d discarded, %d events, want the event alone", letters, discarded, events)
		}
	})
}

// beforeRemoval is the letters in the hands of somebody who comes too late: before each
// removal of his something else is done.
func (p *post) beforeRemoval(first func() error) *dlq.Box {
	p.t.Helper()
	const prefix = "late"
	sub, err := p.NC.Subscribe(prefix+".>", func(m *nats.Msg) {
		api := "$JS.API" + strings.TrimPrefix(m.Subject, prefix)
		if strings.Contains(api, ".MSG.DELETE.") {
			if err := first(); err != nil {
				p.t.Error(err)
			}
		}
		answer, err := p.NC.Request(api, m.Data, time.Second)
		if err == nil {
			err = m.Respond(answer.Data)
		}
		if err != nil {
			p.t.Error(err)
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = sub.Unsubscribe() })
	js, err := jetstream.NewWithAPIPrefix(p.NC, prefix)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.open(js)
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
