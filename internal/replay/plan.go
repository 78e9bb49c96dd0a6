package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"essworker/internal/dlq"
	"essworker/internal/fleet"
	"essworker/internal/status"
)

const (
	// planBatch is how many letters are judged together, by one look into the ledger.
	planBatch = 500
	// planners judge at the same time.
	planners = 2
	// examples is how many ids a plan names for each verdict.
	examples = 5
)

// Plan is what a replay would do. Making one changes nothing.
type Plan struct {
	Selection Selection
	At        time.Time // the server's time it was made
	Letters   int
	Eligible  int
	Missing   []uint64 // ids that are no letters
	Types     map[string]int
	Lines     []Line // by type and group, the largest first
	Refused   map[Verdict]Refusal
	Lanes     []Lane // of the eligible letters, in the order of the routes
}

// Line is the letters of one type and group.
type Line struct {
	Type     string
	Group    string
	Reason   string
	Code     string
	Letters  int
	Eligible int
	Refused  map[Verdict]int // of the others
}

// Refusal is the letters that are not replayed for one reason.
type Refusal struct {
	Letters  int
	Examples []uint64
	Ready    time.Time // of those that cool down, when the last one is ready
}

// Lane is what a plan costs one lane.
type Lane struct {
	Type   string
	Action string
	State  status.State
	Calls  int // vendor calls, one for each letter
	// Limit is the calls a second that are agreed on, for replays and live events
	// together; 0 is none, or unknown if Known is false.
	Limit int
	Known bool
	Pace  float64 // at present
	Share float64 // the part that replays may take while live events wait
	// Alone is how long the calls take when there are no live events, Beside when there
	// are all the time; 0 is unknown: there is no limit, and nothing else is known.
	Alone, Beside time.Duration
}

// Choice is which letters an operator means: those with the ids, or those that the
// filter selects.
type Choice struct {
	IDs    []uint64
	Filter dlq.Filter
	From   uint64 // of the filter's, no earlier ones
	UpTo   uint64 // of the filter's, no later ones; 0 is those there are now
}

// Plan freezes a selection and judges each of its letters. Each, if it is not nil, is
// told of each letter and must not keep it; it is called by one goroutine at a time, in
// no order.
func (o *Office) Plan(ctx context.Context, c Choice, orders Orders, each func(dlq.Letter, Verdict) error) (Plan, error) {
	info, err := o.js.Stream(ctx, o.topo.LettersStream())
	if err != nil {
		return Plan{}, fmt.Errorf("look at the letters: %w", err)
	}
	state := info.CachedInfo()
	p := Plan{At: state.TimeStamp, Types: map[string]int{}, Refused: map[Verdict]Refusal{}}
	p.Selection = Selection{Filter: c.Filter, First: max(state.State.FirstSeq, c.From), Last: state.State.LastSeq}
	if c.UpTo > 0 {
		p.Selection.Last = min(p.Selection.Last, c.UpTo)
	}
	if len(c.IDs) > 0 {
		p.Selection = Selection{IDs: slices.Compact(slices.Sorted(slices.Values(c.IDs)))}
		p.Selection.First, p.Selection.Last = p.Selection.IDs[0], p.Selection.IDs[len(p.Selection.IDs)-1]
	}
	if err := o.newest(ctx, &p.Selection); err != nil {
		return Plan{}, err
	}
	if err := o.judge(ctx, &p, rules{routes: o.routes, force: orders.Force}, each); err != nil {
		return Plan{}, err
	}
	p.Selection.IDs = slices.DeleteFunc(p.Selection.IDs, func(id uint64) bool { return slices.Contains(p.Missing, id) })
	slices.SortFunc(p.Lines, func(a, b Line) int { return b.Letters - a.Letters })
	if p.Lanes, err = o.lanes(ctx, p.Types, orders.Rate); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// newest turns a limit to the newest letters into a first one: what is selected must
// not drift.
func (o *Office) newest(ctx context.Context, s *Selection) error {
	limit := s.Filter.Limit
	if s.Filter.Limit = 0; limit == 0 {
		return nil
	}
	ring, n := make([]uint64, min(limit, max(1, int(s.Last)-int(s.First)+1))), 0 //nolint:gosec // sequence numbers
	for l, err := range o.box.Summaries(ctx, s.Filter, s.First, s.Last) {
		if err != nil {
			return err
		}
		ring[n%len(ring)] = l.ID
		n++
	}
	if n > len(ring) {
		s.First = ring[n%len(ring)]
	}
	return nil
}

// letters gives those of a selection behind a place, oldest first and whole, and of ids
// those that are no letters.
func (o *Office) letters(ctx context.Context, s Selection, after uint64, missing func(id uint64)) func(yield func(dlq.Letter, error) bool) {
	if len(s.IDs) == 0 {
		return o.box.Between(ctx, s.Filter, max(s.First, after+1), s.Last)
	}
	return func(yield func(dlq.Letter, error) bool) {
		for _, id := range s.IDs {
			if id <= after {
				continue
			}
			l, err := o.box.Get(ctx, id)
			if errors.Is(err, dlq.ErrNoLetter) {
				missing(id)
				continue
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

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

// lanes tells what a replay of so many letters, by type, costs.
func (o *Office) lanes(ctx context.Context, types map[string]int, rate float64) ([]Lane, error) {
	snap, err := status.NewReader(o.nc, o.js, o.topo, o.order).Lanes(ctx)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, n := range types {
		total += n
	}
	var lanes []Lane
	for _, s := range snap.Lanes {
		n := types[s.Type]
		if n == 0 {
			continue
		}
		l := Lane{Type: s.Type, Action: s.Action, State: s.State, Calls: n, Limit: s.Quota.Limit, Known: s.Quota.Known, Pace: s.Quota.Pace, Share: shareOf(snap.Workers)}
		most := math.Inf(1)
		if rate > 0 {
			most = rate * float64(n) / float64(total) // the letters of all lanes take turns
		}
		l.Alone, l.Beside = lasts(n, min(most, pace(l.Pace))), lasts(n, min(most, pace(l.Pace*l.Share)))
		lanes = append(lanes, l)
	}
	return lanes, nil
}

func pace(perSecond float64) float64 {
	if perSecond <= 0 {
		return math.Inf(1)
	}
	return perSecond
}

func lasts(n int, perSecond float64) time.Duration {
	if math.IsInf(perSecond, 1) {
		return 0
	}
	return time.Duration(float64(n) / perSecond * float64(time.Second))
}

// shareOf is the smallest share of replays that a worker was told.
func shareOf(workers []fleet.Presence) float64 {
	share := 0.0
	for _, w := range workers {
		if w.ReplayShare > 0 && (share == 0 || w.ReplayShare < share) {
			share = w.ReplayShare
		}
	}
	return share
}

// Draft is a plan as the job it would be.
func Draft(p Plan, orders Orders) Job {
	orders.Why = clean(orders.Why)
	return Job{
		ID: newID(), Created: p.At, Selection: p.Selection, Orders: orders, State: Waiting,
		Letters: p.Letters, Eligible: p.Eligible, Types: p.Types, Cursor: max(p.Selection.First, 1) - 1,
	}
}
