package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/stream"
)

// Letters gives the letters that a filter selects, oldest first and without their
// payloads and headers. It ends with those that were there when it began; with a limit it gives
// the newest ones.
func (s shelf) Letters(ctx context.Context, f Filter) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		info, err := s.stream.Info(ctx)
		if err != nil {
			yield(Letter{}, fmt.Errorf("list letters: %w", err))
			return
		}
		letters := s.between(ctx, f, info.State.FirstSeq, info.State.LastSeq)
		if f.Limit > 0 {
			letters = s.newest(ctx, f, info.State.FirstSeq, info.State.LastSeq)
		}
		for l, err := range letters {
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// between gives the selected letters with these ids.
func (s shelf) between(ctx context.Context, f Filter, first, last uint64) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		for msg, err := range stream.Headers(ctx, s.js, s.name, s.subjects(f), first, last) {
			if err == nil {
				err = s.complete(ctx, msg)
			}
			if errors.Is(err, stream.ErrNoMessage) { // removed meanwhile
				continue
			}
			if err != nil {
				yield(Letter{}, fmt.Errorf("list letters: %w", err))
				return
			}
			if l := summary(msg); f.selects(l) {
				if !yield(l, nil) {
					return
				}
			}
		}
	}
}

// complete fetches what a letter that had no room for its headers lacks: its payload,
// which says what event it is.
func (s shelf) complete(ctx context.Context, msg *jetstream.RawStreamMsg) error {
	if msg.Header.Get(hStreamSeq) != "" {
		return nil
	}
	whole, err := stream.Get(ctx, s.js.Conn(), s.name, msg.Sequence)
	if err == nil {
		*msg = *whole
	}
	return err
}

// tail is how many of the last letters are read at first when only the newest are
// wanted; often that is enough.
const tail = 256

// newest gives the last f.Limit of the selected letters.
func (s shelf) newest(ctx context.Context, f Filter, first, last uint64) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		from := first
		if n := uint64(f.Limit + tail); last-first >= n { //nolint:gosec // never negative
			from = last - n + 1
		}
		found, err := s.ring(ctx, f, from, last)
		if err == nil && len(found) < f.Limit && from > first {
			var older []Letter
			f.Limit -= len(found)
			older, err = s.ring(ctx, f, first, from-1)
			found = append(older, found...)
		}
		if err != nil {
			yield(Letter{}, err)
			return
		}
		for _, l := range found {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// ring reads all and keeps the last f.Limit.
func (s shelf) ring(ctx context.Context, f Filter, first, last uint64) ([]Letter, error) {
	var newest []Letter // once full, its oldest letter is at n % f.Limit
	n := 0
	for l, err := range s.between(ctx, f, first, last) {
		if err != nil {
			return nil, err
		}
		if len(newest) < f.Limit {
			newest = append(newest, l)
		} else {
			newest[n%f.Limit] = l
		}
		n++
	}
	if n > f.Limit {
		n %= f.Limit
		newest = append(newest[n:len(newest):len(newest)], newest[:n]...)
	}
	return newest, nil
}

// subjects narrows a listing to what the server can select by itself.
func (s shelf) subjects(f Filter) string {
	reason := cmp.Or(f.Reason, "*")
	if f.Type != "" {
		return s.subject(reason, f.Type, "*")
	}
	return strings.TrimSuffix(s.subject(reason, ">", "*"), ".*")
}
