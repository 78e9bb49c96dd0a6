package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/status"
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

// Draft is a plan as the job it would be.
func Draft(p Plan, orders Orders) Job {
	orders.Why = clean(orders.Why)
	return Job{
		ID: newID(), Created: p.At, Selection: p.Selection, Orders: orders, State: Waiting,
		Letters: p.Letters, Eligible: p.Eligible, Types: p.Types, Cursor: max(p.Selection.First, 1) - 1,
	}
}
