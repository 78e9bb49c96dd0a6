package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"essworker/internal/dlq"
	"essworker/internal/kv"
	"essworker/internal/mask"
	"essworker/internal/stream"
)

const (
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
	switch _, rev, err := r.Office.read(ctx, r.job.ID); {
	case err != nil:
		return err
	case rev != r.rev: // an operator wants something else by now
		r.changed = true
		return r.save(ctx)
	}
	b, letters, err := r.gather(ctx, n)
	if err != nil {
		return err
	}
	r.changed = true
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
