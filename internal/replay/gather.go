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

// gather chooses the next letters, as many as give n to replay or all there are within
// reach, and moves the job on past them.
func (r *run) gather(ctx context.Context, n int) (b *Batch, letters []dlq.Letter, err error) {
	b = &Batch{N: r.job.Batches, Since: r.follow.marks}
	found, gone, cursor, err := r.within(ctx)
	if err != nil {
		return nil, nil, err
	}
	rule := rules{r.Office.routes, r.job.Orders.Force, r.job.Created}
	verdicts, err := r.Office.verdicts(ctx, rule, found, r.now())
	if err != nil {
		return nil, nil, err
	}
	busy, err := r.Office.Busy(ctx, r.job.ID)
	if err != nil {
		return nil, nil, err
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
		if id <= cursor && (id > r.job.Reached || len(r.job.Again) > 0) {
			b.Sent = append(b.Sent, Sent{ID: id, Outcome: Gone})
		}
	}
	r.job.pass(cursor)
	b.unknown = len(letters)
	return b, letters, nil
}

// within reads the letters that come next and can go, and gives the ids of those that
// are no letters any more, and how far it has looked.
func (r *run) within(ctx context.Context) (found []dlq.Letter, gone []uint64, cursor uint64, err error) {
	j := &r.job
	reach, after := j.Selection, j.Cursor
	reach.Last = min(reach.Last, after+scanMost)
	if again := len(j.Again); again > 0 {
		reach, after = Selection{IDs: j.Again, Last: j.Again[again-1]}, 0
	}
	for l, err := range r.Office.letters(ctx, reach, after, func(id uint64) { gone = append(gone, id) }) {
		switch {
		case err != nil:
			return nil, nil, 0, err
		case l.ID > reach.Last:
			return found, gone, reach.Last, nil
		case len(j.Again) > 0:
		case !j.takes(l.Type, l.ID):
			continue
		case r.shut[l.Type] != "" && !j.Small():
			j.leave(l.Type, l.ID)
			continue
		}
		if found = append(found, l); len(found) == batchMost {
			return found, gone, l.ID, nil
		}
	}
	return found, gone, reach.Last, nil
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
