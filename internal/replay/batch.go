package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/kv"
	"essworker/internal/mask"
	"essworker/internal/stream"
)

const (
	// batchMost is how many letters are looked at for one batch.
	batchMost = 500
	// scanMost is how far into the letters a search for some goes without a sign of life.
	scanMost = 20_000
	// staleAfter is how long after the job was last known to be ours nothing is sent any
	// more: a runner that stood still has been replaced. It is far less than the events
	// stream's duplicate window, within which sending twice does no harm.
	staleAfter = time.Minute
	// sendAtOnce is how many letters are put back at the same time.
	sendAtOnce = 64
)

// next replays up to n of the letters that come next. Their batch is noted first, and
// the job, which tells whether it still is ours; so whoever takes over after any cut
// finds everything that may have been begun.
func (r *run) next(ctx context.Context, n int) error {
	b, letters, cursor, err := r.gather(ctx, n)
	if err != nil {
		return err
	}
	r.changed = true
	r.job.Cursor = cursor
	if len(b.Sent) == 0 {
		return r.save(ctx)
	}
	err = r.Office.putBatch(ctx, r.job.ID, b)
	if errors.Is(err, kv.ErrStale) { // a runner was cut off before it could say so in the job
		var left Batch
		if left, err = r.Office.Batch(ctx, r.job.ID, b.N); err == nil {
			b.rev = left.rev
			err = lost(r.Office.putBatch(ctx, r.job.ID, b))
		}
	}
	if err != nil {
		return err
	}
	r.job.Batches++
	r.job.Sending = true
	r.job.Open = append(r.job.Open, b.N)
	r.open[b.N] = b
	if err := r.save(ctx); err != nil {
		return err
	}
	return r.send(ctx, b, letters)
}

// gather chooses the next letters: as many as give n to replay, or all there are
// within reach. Cursor is the last it has looked at.
func (r *run) gather(ctx context.Context, n int) (b *Batch, letters []dlq.Letter, cursor uint64, err error) {
	b = &Batch{N: r.job.Batches, Since: r.follow.marks}
	reach := r.job.Selection
	reach.Last = min(reach.Last, r.job.Cursor+scanMost)
	cursor = reach.Last
	var found []dlq.Letter
	var gone []uint64
	for l, err := range r.Office.letters(ctx, reach, r.job.Cursor, func(id uint64) { gone = append(gone, id) }) {
		if err != nil {
			return nil, nil, 0, err
		}
		if l.ID > reach.Last {
			break
		}
		if found = append(found, l); len(found) == batchMost {
			cursor = l.ID
			break
		}
	}
	rule := rules{r.Office.routes, r.job.Orders.Force}
	// What cooled down when the plan was made stays out of it.
	verdicts, err := r.Office.verdicts(ctx, rule, found, r.job.Created)
	if err != nil {
		return nil, nil, 0, err
	}
	busy, err := r.Office.Busy(ctx, r.job.ID)
	if err != nil {
		return nil, nil, 0, err
	}
	for i, l := range found {
		if verdicts[i] == Eligible && busy[l.ID] != "" {
			verdicts[i] = Elsewhere
		}
		s := sent(l, verdicts[i])
		b.Sent = append(b.Sent, s)
		if s.Refused == "" {
			letters = append(letters, l)
		}
		if len(letters) == n {
			cursor = l.ID
			break
		}
	}
	for _, id := range gone {
		if id <= cursor {
			b.Sent = append(b.Sent, Sent{ID: id, Outcome: Gone})
		}
	}
	b.unknown = len(letters)
	return b, letters, cursor, nil
}

// sent is a letter as a batch notes it.
func sent(l dlq.Letter, v Verdict) Sent {
	s := Sent{ID: l.ID, EventID: mask.Text(l.EventID), Type: l.Type, Group: l.Group}
	if v != Eligible {
		s.Refused = v
		return s
	}
	s.Key, s.Replay, s.MsgID = event.Key(l.Source, l.EventID), l.Replays+1, dlq.ReplayID(l)
	if s.Origin = l.Origin; s.Origin == 0 {
		s.Origin = l.ID
	}
	return s
}

// Busy gives the letters that a job may be replaying just now, or was when it was cut off,
// and which job: within the stream's duplicate window a second replay would be told apart,
// later not. The job but, if there is one of that id, is left out.
func (o *Office) Busy(ctx context.Context, but string) (map[uint64]string, error) {
	jobs, err := o.List(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[uint64]string{}
	for _, j := range jobs {
		if j.ID == but || len(j.Open) == 0 {
			continue
		}
		b, err := o.Batch(ctx, j.ID, slices.Max(j.Open))
		if err != nil {
			return nil, err
		}
		for _, s := range b.Sent {
			if s.Seq == 0 && !s.settled() {
				ids[s.ID] = j.ID
			}
		}
	}
	return ids, nil
}

// send puts letters' events back and notes where they stand.
func (r *run) send(ctx context.Context, b *Batch, letters []dlq.Letter) error {
	if len(letters) == 0 {
		r.job.Sending = false
		return nil
	}
	r.pace.AllowN(time.Now(), min(len(letters), r.pace.Burst()))
	at := map[uint64]int{}
	for i, s := range b.Sent {
		at[s.ID] = i
	}
	var mu sync.Mutex
	var kept error
	notStored := 0
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sendAtOnce)
	for _, l := range letters {
		g.Go(func() error {
			if time.Since(r.saved) > staleAfter {
				return errLost
			}
			done, err := r.Office.box.Resend(gctx, l)
			mu.Lock()
			defer mu.Unlock()
			s := &b.Sent[at[l.ID]]
			switch {
			case err == nil:
				s.Seq, s.Twice = done.Seq, done.Duplicate
			case done.Seq > 0, gctx.Err() != nil, stream.Passing(err):
				return err // whoever takes the job up again looks how far this one got
			default:
				s.Outcome, s.Error = NotStored, mask.Text(err.Error())
				notStored, kept = notStored+1, err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if notStored == len(letters) {
		r.job.State, r.job.Note = Stopped, clean(fmt.Sprintf("letters cannot be put back: %v", kept))
	}
	r.follow.add(b)
	r.job.Sending = false
	return lost(r.Office.putBatch(ctx, r.job.ID, b))
}

// recover takes up what the last runner of the job has left.
func (r *run) recover(ctx context.Context) error {
	marks, err := r.Office.box.Marks(ctx)
	if err != nil {
		return err
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	if err := r.save(ctx); err != nil { // still ours?
		return err
	}
	begun := false
	for _, n := range r.job.Open {
		b, err := r.Office.Batch(ctx, r.job.ID, n)
		if err != nil {
			return err
		}
		r.open[n] = &b
		begun = begun || slices.ContainsFunc(b.Sent, func(s Sent) bool { return !s.settled() && s.Seq == 0 })
	}
	r.follow.marks = since(r.open, marks)
	var underway map[string]uint64
	if begun { // before what has ended is read, or an event that ends in between would be in neither
		if underway, err = r.Office.box.Underway(ctx, r.follow.marks.Events); err != nil {
			return err
		}
	}
	for _, n := range r.job.Open {
		r.follow.add(r.open[n])
	}
	if _, err := r.follow.poll(ctx); err != nil {
		return err
	}
	for _, n := range r.job.Open {
		if err := r.mend(ctx, r.open[n], underway); err != nil {
			return err
		}
	}
	r.job.Sending = false
	return nil
}

// mend finishes a batch whose sending was cut off.
func (r *run) mend(ctx context.Context, b *Batch, underway map[string]uint64) error {
	var again []dlq.Letter
	touched := false
	for i := range b.Sent {
		s := &b.Sent[i]
		if s.Refused != "" || s.Seq > 0 || s.Outcome == Gone || s.Outcome == NotStored {
			continue
		}
		touched = true
		s.Seq = underway[s.MsgID]
		if s.Seq > 0 || s.Outcome != "" { // it was stored; perhaps it has ended since
			if err := r.Office.box.Remove(ctx, s.ID); err != nil {
				return err
			}
			continue
		}
		l, err := r.Office.box.Get(ctx, s.ID)
		switch {
		case err == nil && r.job.Want == wantCancel:
			s.Outcome, s.Error = NotStored, "the job was cancelled"
			r.follow.drop(b, i)
		case err == nil:
			again = append(again, l)
		case errors.Is(err, dlq.ErrNoLetter): // somebody else has seen to it
			s.Outcome = Gone
			r.follow.drop(b, i)
		default:
			return err
		}
	}
	if !touched {
		return nil
	}
	for i := range b.Sent {
		if s := b.Sent[i]; s.Seq == 0 && !s.settled() {
			r.follow.drop(b, i) // send adds it again
		}
	}
	if err := r.save(ctx); err != nil { // still ours?
		return err
	}
	if len(again) == 0 {
		return lost(r.Office.putBatch(ctx, r.job.ID, b))
	}
	return r.send(ctx, b, again)
}
