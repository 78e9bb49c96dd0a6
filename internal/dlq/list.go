package dlq

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"essworker/internal/stream"
)

// Letters gives the letters that a filter selects, oldest first and without their
// payloads. It ends with those that were there when it began; with a limit it gives
// the newest ones.
func (b *Box) Letters(ctx context.Context, f Filter) iter.Seq2[Letter, error] {
	if f.Limit == 0 {
		return b.all(ctx, f)
	}
	return func(yield func(Letter, error) bool) {
		var newest []Letter // once full, a ring whose oldest letter is at n % f.Limit
		n := 0
		for l, err := range b.all(ctx, f) {
			if err != nil {
				yield(l, err)
				return
			}
			if len(newest) < f.Limit {
				newest = append(newest, l)
			} else {
				newest[n%f.Limit] = l
			}
			n++
		}
		for i := range newest {
			if !yield(newest[(n+i)%len(newest)], nil) {
				return
			}
		}
	}
}

func (b *Box) all(ctx context.Context, f Filter) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		info, err := b.stream.Info(ctx)
		if err != nil {
			yield(Letter{}, fmt.Errorf("list letters: %w", err))
			return
		}
		for msg, err := range stream.Messages(ctx, b.js.Conn(), b.topo.LettersStream(), b.subjects(f), info.State.FirstSeq, info.State.LastSeq) {
			if err != nil {
				yield(Letter{}, fmt.Errorf("list letters: %w", err))
				return
			}
			if l := read(msg); f.selects(l) {
				l.Data = nil
				if !yield(l, nil) {
					return
				}
			}
		}
	}
}

// subjects narrows a listing to what the server can select by itself.
func (b *Box) subjects(f Filter) string {
	reason := cmp.Or(f.Reason, "*")
	if f.Type != "" {
		return b.topo.LetterSubject(reason, f.Type, "*")
	}
	return strings.TrimSuffix(b.topo.LetterSubject(reason, ">", "*"), ".*")
}

// Group is every letter with the same cause.
type Group struct {
	ID      string
	Reason  string
	Code    string
	Type    string
	Message string // of its newest letter, masked
	Count   int
	First   time.Time
	Last    time.Time
	Replays int // letters of it that were replayed before
}

// Groups gives the selected letters by cause, the largest group first.
func (b *Box) Groups(ctx context.Context, f Filter) ([]Group, error) {
	byID := map[string]*Group{}
	for l, err := range b.Letters(ctx, f) {
		if err != nil {
			return nil, err
		}
		g, ok := byID[l.Group]
		if !ok {
			g = &Group{ID: l.Group, Reason: string(l.Reason), Code: l.Code, Type: l.Type, First: l.FailedAt}
			byID[l.Group] = g
		}
		g.Count++
		g.Message = l.Message
		g.First, g.Last = earlier(g.First, l.FailedAt), later(g.Last, l.FailedAt)
		if l.Replays > 0 {
			g.Replays++
		}
	}
	groups := make([]Group, 0, len(byID))
	for _, g := range byID {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), cmp.Compare(a.ID, b.ID))
	})
	return groups, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
