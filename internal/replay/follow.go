package replay

import (
	"context"
	"math"
	"slices"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/event"
)

const (
	// lostEvery is how often events are looked for whose end was not seen, lostAfter how
	// long an event may take before it is among them, lostAtOnce how many at a time.
	lostEvery  = 5 * time.Second
	lostAfter  = 10 * time.Second
	lostAtOnce = 50
)

// follower learns what becomes of replayed events: from the results and the letters
// that are stored behind them, all in one, and not by asking for each.
type follower struct {
	office *Office
	marks  dlq.Marks

	byKey    map[string][]*pending // by the event's key
	searched time.Time
}

// pending is an event whose end is not known.
type pending struct {
	batch  *Batch
	i      int
	from   time.Time
	missed bool // it was not in its stream any more when it was last looked for
}

func (p *pending) sent() *Sent { return &p.batch.Sent[p.i] }

func newFollower(o *Office) follower {
	return follower{office: o, byKey: map[string][]*pending{}, searched: time.Now()}
}

// add follows the events of a batch.
func (f *follower) add(b *Batch) {
	b.unknown = 0
	for i := range b.Sent {
		s := &b.Sent[i]
		if s.settled() {
			continue
		}
		b.unknown++
		f.marks.Events = max(f.marks.Events, s.Seq)
		if slices.ContainsFunc(f.byKey[s.Key], func(p *pending) bool { return p.batch == b && p.i == i }) {
			continue
		}
		f.byKey[s.Key] = append(f.byKey[s.Key], &pending{batch: b, i: i, from: time.Now()})
	}
}

// drop follows an event no more.
func (f *follower) drop(b *Batch, i int) {
	s := b.Sent[i]
	f.byKey[s.Key] = slices.DeleteFunc(f.byKey[s.Key], func(p *pending) bool { return p.batch == b && p.i == i })
	if len(f.byKey[s.Key]) == 0 {
		delete(f.byKey, s.Key)
	}
	b.unknown--
}

// end notes what became of an event.
func (f *follower) end(p *pending, o Outcome) {
	p.sent().Outcome, p.batch.news = o, true
	f.drop(p.batch, p.i)
}

// poll takes in what has been stored since the last time, and counts what has ended.
func (f *follower) poll(ctx context.Context) (ended int, err error) {
	if len(f.byKey) == 0 {
		return 0, f.skip(ctx)
	}
	before := len(f.byKey)
	for res, err := range f.office.box.Results(ctx, f.marks.Results) {
		if err != nil {
			return 0, err
		}
		f.marks.Results = res.Seq
		for _, p := range slices.Clone(f.byKey[res.Key]) {
			if res.Type == f.office.routes[p.sent().Type].Success {
				f.end(p, Good)
			}
		}
	}
	for l, err := range f.office.box.Between(ctx, dlq.Filter{}, f.marks.Letters+1, math.MaxUint64) {
		if err != nil {
			return 0, err
		}
		f.marks.Letters = l.ID
		for _, p := range slices.Clone(f.byKey[event.Key(l.Source, l.EventID)]) {
			s := p.sent()
			if s.Replay == l.Replays && (s.Origin == l.Origin || l.Origin == 0) { // a large event may have no room for its origin
				s.Letter = l.ID
				s.Cause = &Cause{Group: l.Group, Type: l.Type, Reason: string(l.Reason), Code: l.Code}
				f.end(p, Bad)
			}
		}
	}
	if err := f.search(ctx); err != nil {
		return 0, err
	}
	return before - len(f.byKey), nil
}

// skip leaves out, now and then, what is stored while nothing is awaited.
func (f *follower) skip(ctx context.Context) error {
	if time.Since(f.searched) < lostEvery {
		return nil
	}
	marks, err := f.office.box.Marks(ctx)
	if err != nil {
		return err
	}
	f.marks, f.searched = marks, time.Now()
	return nil
}

// search looks for events that have taken long: one may have ended without a trace of
// its own, as a duplicate of an event that has succeeded.
func (f *follower) search(ctx context.Context) error {
	if time.Since(f.searched) < lostEvery {
		return nil
	}
	f.searched = time.Now()
	var late []*pending
	for _, list := range f.byKey {
		for _, p := range list {
			if time.Since(p.from) >= lostAfter {
				late = append(late, p)
			}
		}
	}
	slices.SortFunc(late, func(a, b *pending) int { return int(int64(a.sent().ID) - int64(b.sent().ID)) }) //nolint:gosec // an order
	for _, p := range late[:min(len(late), lostAtOnce)] {
		s := p.sent()
		waiting, err := f.office.box.Waiting(ctx, s.Seq)
		switch {
		case err != nil:
			return err
		case waiting:
		case !p.missed: // its end may be on its way to us
			p.missed = true
		default:
			found, err := f.office.ledger.Last(ctx, f.office.topo.ResultSubject(f.office.routes[s.Type].Success, s.Key))
			if err != nil {
				return err
			}
			if len(found) > 0 {
				f.end(p, Good)
			} else {
				f.end(p, Lost)
			}
		}
	}
	return nil
}
