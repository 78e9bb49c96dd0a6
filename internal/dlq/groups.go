package dlq

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// By is what letters are put together by.
type By string

// Each letter has one cause, one code and so on. The cause is what a group of letters
// is by itself.
const (
	ByCause  By = "cause"
	ByCode   By = "code"
	ByType   By = "type"
	BySource By = "source"
	ByDay    By = "day"
)

// key is what tells letters apart.
func (by By) key(l Letter) string {
	switch by {
	case ByCode:
		return l.Code
	case ByType:
		return l.Type
	case BySource:
		return l.Source
	case ByDay:
		return l.FailedAt.Local().Format(time.DateOnly)
	default:
		return l.Group
	}
}

// Hours is how far back a group counts its letters by the time they failed.
const Hours = 24

// perHour is how finely it does.
const perHour = 2

// newest is how many ids a group keeps.
const newest = 10

// Group is letters that have something in common. What is told of the cause is that of
// the newest letter, and of all of them only where they are put together by cause.
type Group struct {
	Key     string // what they have in common; by cause, the group's id
	ID      string // of the cause
	Reason  string
	Code    string
	Type    string
	Message string // masked
	Count   int
	First   time.Time
	Last    time.Time
	Causes  int                  // how many causes there are among them
	Recent  [Hours * perHour]int // letters of the last hours, by half hours, the last one ending now
	Again   int                  // letters that were replayed before, and so failed again
	Replays int                  // replays that ended as one of these letters, all of them told by the letters
	Note    Note                 // by cause: what an operator said about it
	Since   int                  // letters that failed after the note was made
	Newest  []uint64             // ids of the last ten letters
}

// Groups gives the selected letters put together, what is open before what was
// acknowledged or is to be ignored, the largest first; by day, the days in their order.
func (b *Box) Groups(ctx context.Context, f Filter, by By) ([]Group, error) {
	notes := map[string]Note{}
	if by == ByCause {
		var err error
		if notes, err = Notes(ctx, b.js.Conn(), b.topo); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	byKey := map[string]*Group{}
	causes := map[[2]string]bool{}
	for l, err := range b.Letters(ctx, f) {
		if err != nil {
			return nil, err
		}
		key := by.key(l)
		g, ok := byKey[key]
		if !ok {
			g = &Group{Key: key, First: l.FailedAt, Note: notes[key]}
			byKey[key] = g
		}
		g.add(l, now)
		if cause := [2]string{key, l.Group}; !causes[cause] {
			causes[cause] = true
			g.Causes++
		}
	}
	groups := make([]Group, 0, len(byKey))
	for _, g := range byKey {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b Group) int {
		if by == ByDay {
			return cmp.Compare(a.Key, b.Key)
		}
		return cmp.Or(
			cmp.Compare(a.Note.State.rank(), b.Note.State.rank()), cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), cmp.Compare(a.Key, b.Key),
		)
	})
	return groups, nil
}

func (g *Group) add(l Letter, now time.Time) {
	g.Count++
	if len(g.Newest) == newest {
		g.Newest = append(g.Newest[:0], g.Newest[1:]...)
	}
	g.Newest = append(g.Newest, l.ID)
	if !l.FailedAt.Before(g.Last) {
		g.ID, g.Reason, g.Code, g.Type, g.Message = l.Group, string(l.Reason), l.Code, l.Type, l.Message
		g.Last = l.FailedAt
	}
	if l.FailedAt.Before(g.First) {
		g.First = l.FailedAt
	}
	if l.Replays > 0 {
		g.Again++
		g.Replays += l.Replays
	}
	if !g.Note.At.IsZero() && l.FailedAt.After(g.Note.At) {
		g.Since++
	}
	if ago := int(now.Sub(l.FailedAt) / (time.Hour / perHour)); 0 <= ago && ago < len(g.Recent) {
		g.Recent[len(g.Recent)-1-ago]++
	}
}
