package dlq

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/stream"
)

// leaderWait is how long the leader of a stream may take to answer.
const leaderWait = 5 * time.Second

// Marks are places in the streams: what becomes of an event that is replayed from now
// on stands behind them.
type Marks struct {
	Events  uint64 `json:"events"`
	Results uint64 `json:"results"`
	Letters uint64 `json:"letters"`
}

// Marks gives the last sequence numbers, by the leaders.
func (b *Box) Marks(ctx context.Context) (m Marks, err error) {
	for name, last := range map[string]*uint64{
		b.topo.EventsStream(): &m.Events, b.topo.ResultsStream(): &m.Results, b.topo.LettersStream(): &m.Letters,
	} {
		s, err := b.js.Stream(ctx, name)
		if err != nil {
			return m, fmt.Errorf("look at stream %q: %w", name, err)
		}
		*last = s.CachedInfo().State.LastSeq
	}
	return m, nil
}

// Between gives the letters from id first to id last that a filter selects, oldest
// first and whole, as they are when they are read, with the letter's headers among the
// event's: to take them apart costs as much as the rest. The filter's limit is not heeded.
func (b *Box) Between(ctx context.Context, f Filter, first, last uint64) iter.Seq2[Letter, error] {
	subjects := b.subjects(f)
	if f.Reason == "" && f.Type == "" {
		subjects = everything
	}
	return func(yield func(Letter, error) bool) {
		for msg, err := range stream.Messages(ctx, b.js.Conn(), b.topo.LettersStream(), subjects, first, last) {
			if err != nil {
				yield(Letter{}, fmt.Errorf("read letters: %w", err))
				return
			}
			l := summary(msg)
			l.Header, l.Data = msg.Header, msg.Data
			if f.selects(l) && !yield(l, nil) {
				return
			}
		}
	}
}

// Summaries gives what Between gives, without payloads and the events' headers: a third
// of the work.
func (b *Box) Summaries(ctx context.Context, f Filter, first, last uint64) iter.Seq2[Letter, error] {
	return b.between(ctx, f, first, last)
}

// everything is the filter of all subjects of a stream. With any other one the server
// goes through all of them for each batch it gives, to count what is still to come.
const everything = ">"

// Result is that an event has a result.
type Result struct {
	Seq  uint64 // in the results stream
	Type string // of the result
	Key  string // of the event
}

// Results gives the results stored behind a place in their stream, oldest first.
func (b *Box) Results(ctx context.Context, after uint64) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		for msg, err := range stream.Messages(ctx, b.js.Conn(), b.topo.ResultsStream(), everything, after+1, math.MaxUint64) {
			if err != nil {
				yield(Result{}, fmt.Errorf("read results: %w", err))
				return
			}
			tokens := strings.Split(msg.Subject, ".") // <prefix>.results.<type, with dots>.<key>
			end := len(tokens) - 1
			if end > 2 && !yield(Result{msg.Sequence, strings.Join(tokens[2:end], "."), tokens[end]}, nil) {
				return
			}
		}
	}
}

// Underway gives the replays stored behind a place in the events stream that are not
// settled yet: their places by [ReplayID].
func (b *Box) Underway(ctx context.Context, after uint64) (map[string]uint64, error) {
	found := map[string]uint64{}
	for msg, err := range stream.Messages(ctx, b.js.Conn(), b.topo.EventsStream(), everything, after+1, math.MaxUint64) {
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if id := msg.Header.Get(jetstream.MsgIDHeader); strings.HasPrefix(id, "replay|") {
			found[id] = msg.Sequence
		}
	}
	return found, nil
}

// Waiting reports whether an event is not settled yet: it stands in its stream. It asks
// the leader: a direct get may be answered by a replica that has not seen yet what was
// just stored, which here would read as settled; and the client takes an event with a
// Status header for a status of the server.
func (b *Box) Waiting(ctx context.Context, seq uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	body, err := json.Marshal(map[string]uint64{"seq": seq})
	if err != nil {
		return false, err
	}
	msg, err := b.js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+b.topo.EventsStream(), body)
	if err != nil {
		return false, fmt.Errorf("look at event %d: %w", seq, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return false, fmt.Errorf("look at event %d: decode the answer: %w", seq, err)
	}
	switch {
	case answer.Error == nil:
		return true, nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return false, nil
	}
	return false, fmt.Errorf("look at event %d: %w", seq, answer.Error)
}
