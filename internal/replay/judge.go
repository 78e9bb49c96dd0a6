package replay

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"essworker/internal/dlq"
)

const (
	// planBatch is how many letters are judged together, by one look into the ledger.
	planBatch = 500
	// planners judge at the same time.
	planners = 2
	// examples is how many ids a plan names for each verdict.
	examples = 5
)

// judge reads the letters on one goroutine and judges them on others.
func (o *Office) judge(ctx context.Context, p *Plan, r rules, each func(dlq.Letter, Verdict) error) error {
	g, ctx := errgroup.WithContext(ctx)
	read := make(chan []dlq.Letter, planners)
	g.Go(func() error {
		defer close(read)
		return o.readInto(ctx, read, p.Selection, func(id uint64) { p.Missing = append(p.Missing, id) })
	})
	var mu sync.Mutex
	lines := map[[2]string]int{}
	for range planners {
		g.Go(func() error {
			for batch := range read {
				batch, err := o.whole(ctx, p.Selection, batch)
				if err != nil {
					return err
				}
				verdicts, err := o.verdicts(ctx, r, batch, p.At)
				if err != nil {
					return err
				}
				mu.Lock()
				err = p.add(lines, batch, verdicts, each)
				mu.Unlock()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// whole reads letters again, with their events, if one of them must be read to be judged.
// Those that have left meanwhile are left out.
func (o *Office) whole(ctx context.Context, s Selection, batch []dlq.Letter) ([]dlq.Letter, error) {
	if len(s.IDs) > 0 || !slices.ContainsFunc(batch, unread) {
		return batch, nil
	}
	first, last := batch[0].ID, batch[len(batch)-1].ID
	batch = batch[:0]
	for l, err := range o.box.Between(ctx, s.Filter, first, last) {
		if err != nil {
			return nil, err
		}
		batch = append(batch, l)
	}
	return batch, nil
}

// readInto passes on a selection's letters, in batches.
func (o *Office) readInto(ctx context.Context, read chan<- []dlq.Letter, s Selection, missing func(id uint64)) error {
	batch := make([]dlq.Letter, 0, planBatch)
	pass := func() error {
		select {
		case read <- batch:
			batch = make([]dlq.Letter, 0, planBatch)
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	letters := o.box.Summaries(ctx, s.Filter, s.First, s.Last)
	if len(s.IDs) > 0 {
		letters = o.letters(ctx, s, 0, missing)
	}
	for l, err := range letters {
		if err != nil {
			return err
		}
		if batch = append(batch, l); len(batch) == planBatch {
			if err := pass(); err != nil {
				return err
			}
		}
	}
	return pass()
}

// verdicts judges letters by one look into the ledger.
func (o *Office) verdicts(ctx context.Context, r rules, letters []dlq.Letter, now time.Time) ([]Verdict, error) {
	done, err := o.succeeded(ctx, letters)
	if err != nil {
		return nil, err
	}
	verdicts := make([]Verdict, len(letters))
	for i, l := range letters {
		verdicts[i] = r.judge(l, done[i], now)
	}
	return verdicts, nil
}

func (p *Plan) add(lines map[[2]string]int, letters []dlq.Letter, verdicts []Verdict, each func(dlq.Letter, Verdict) error) error {
	for n, l := range letters {
		v := verdicts[n]
		i, ok := lines[[2]string{l.Type, l.Group}]
		if !ok {
			i = len(p.Lines)
			lines[[2]string{l.Type, l.Group}] = i
			p.Lines = append(p.Lines, Line{Type: l.Type, Group: l.Group, Reason: string(l.Reason), Code: l.Code})
		}
		p.Letters++
		p.Lines[i].Letters++
		if v == Eligible {
			p.Eligible++
			p.Lines[i].Eligible++
			p.Types[l.Type]++
		} else {
			if p.Lines[i].Refused == nil {
				p.Lines[i].Refused = map[Verdict]int{}
			}
			p.Lines[i].Refused[v]++
			p.refuse(l, v)
		}
		if each != nil {
			if err := each(l, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Plan) refuse(l dlq.Letter, v Verdict) {
	r := p.Refused[v]
	r.Letters++
	if len(r.Examples) < examples {
		r.Examples = append(r.Examples, l.ID)
	}
	if v == Cooling && ready(l).After(r.Ready) {
		r.Ready = ready(l)
	}
	p.Refused[v] = r
}
