package replay

import (
	"context"
	"errors"
	"slices"

	"essworker/internal/dlq"
)

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
		case err == nil && r.job.Want != wantRun: // of one that is paused, resume tries it again
			s.Outcome, s.Error = NotStored, "its job was paused or cancelled before its turn came"
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
