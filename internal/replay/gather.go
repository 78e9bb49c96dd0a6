package replay

import (
	"context"
	"slices"

	"essworker/internal/dlq"
)

const (
	// batchMost is how many letters are looked at for one batch.
	batchMost = 500
	// scanMost is how far into the letters a search for some goes without a sign of life.
	scanMost = 20_000
)

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
	busy, err := r.Office.busy(ctx, r.job.ID)
	if err != nil {
		return nil, nil, 0, err
	}
	for i, l := range found {
		if verdicts[i] == Eligible && busy[l.ID] {
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

// busy gives the letters that another job may be replaying just now, or was when it was
// cut off: within the stream's duplicate window it would be told apart, later not.
func (o *Office) busy(ctx context.Context, but string) (map[uint64]bool, error) {
	jobs, err := o.List(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[uint64]bool{}
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
				ids[s.ID] = true
			}
		}
	}
	return ids, nil
}
