package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// Record is one record as it was kept.
type Record struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Action
	Who    Who    `json:"who"`
	Failed string `json:"failed,omitempty"` // what went wrong: then it is the second record of the action Of
	Of     string `json:"of,omitempty"`     // the id of the first record
}

// Query selects records; a zero field selects all.
type Query struct {
	Since, Until time.Time
	Limit        int // at most so many, the newest
}

// window is how many records are read at first when only the newest are wanted.
const window = 256

// Records gives the selected records, newest last. What cannot be read is an error: a
// gap must not look like nothing done.
func Records(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, topo topology.Names, q Query) ([]Record, error) {
	s, err := js.Stream(ctx, topo.AuditStream())
	if err != nil {
		return nil, fmt.Errorf("open stream %q: %w", topo.AuditStream(), err)
	}
	state := s.CachedInfo().State
	var found []Record
	for first, last := state.FirstSeq, state.LastSeq; last >= max(first, 1); {
		from := first
		if size := uint64(max(q.Limit, window)); q.Limit > 0 && last-first >= size {
			from = last - size + 1
		}
		var older []Record
		for r, err := range between(ctx, nc, topo, from, last) {
			if err != nil {
				return nil, err
			}
			if (q.Since.IsZero() || !r.Time.Before(q.Since)) && (q.Until.IsZero() || r.Time.Before(q.Until)) {
				older = append(older, r)
			}
		}
		found = slices.Concat(older, found)
		if q.Limit > 0 && len(found) >= q.Limit {
			return found[len(found)-q.Limit:], nil
		}
		last = from - 1
	}
	return found, nil
}

func between(ctx context.Context, nc *nats.Conn, topo topology.Names, from, last uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for m, err := range stream.Messages(ctx, nc, topo.AuditStream(), ">", from, last) {
			var r Record
			if err == nil {
				r, err = read(m)
			}
			if err != nil {
				err = fmt.Errorf("read records: %w", err)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func read(m *jetstream.RawStreamMsg) (Record, error) {
	var r Record
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return r, fmt.Errorf("record %d: %w", m.Sequence, err)
	}
	e, _ := event.Parse("", m.Header, m.Data) // that its type is not the empty one says nothing
	r.ID, r.Time = e.ID(), m.Time
	if cause, ok := e.Extensions()["causationid"].(string); ok {
		r.Of = cause
	}
	return r, nil
}
