// Package reconcile compares events, results and letters, which a worker that was cut
// off and an operator in a hurry can leave at odds, and mends what is stranded.
//
// Its one rule: what differs once may be work under way. A finding is told only if two
// looks in a row find it, and mended only if it is still so.
package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/mask"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// Kind says what is stranded.
type Kind string

// What can be at odds.
const (
	LetterGone Kind = "letter-gone" // a failure result names a letter that is not there, and nothing tells what became of it
	LetterDone Kind = "letter-done" // a letter whose event has succeeded
	NoResult   Kind = "no-result"   // a letter without its failure result
	EventDone  Kind = "event-done"  // an event that was handed out and has its result
)

// Finding is one thing that is stranded.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Type   string `json:"type"`             // of the event
	Letter uint64 `json:"letter,omitzero"`  // its id
	Event  string `json:"event,omitempty"`  // the event's id, masked
	Source string `json:"source,omitempty"` // and its source
	Seq    uint64 `json:"seq,omitzero"`     // of EventDone: its place in the events stream
	Result string `json:"result,omitempty"` // the subject of the result
	By     string `json:"by,omitempty"`     // of LetterDone: the id of the event that succeeded, masked
	Mends  string `json:"mends,omitempty"`  // what Mend does about it; empty if it can do nothing
}

// pause lies between two looks: work under way is over by then.
const pause = 2 * time.Second

// Checker looks at one deployment. It is safe for concurrent use.
type Checker struct {
	js        jetstream.JetStream
	topo      topology.Names
	routes    []event.Route
	source    string // of results that are made up for
	box       *dlq.Box
	discarded *dlq.Discarded
	ledger    *stream.Lookup
}

// Open uses existing streams. Source is that of the worker's results.
func Open(ctx context.Context, js jetstream.JetStream, topo topology.Names, routes []event.Route, source string) (*Checker, error) {
	box, err := dlq.Open(ctx, js, topo, "")
	if err != nil {
		return nil, err
	}
	discarded, err := dlq.OpenDiscarded(ctx, js, topo)
	if err != nil {
		return nil, err
	}
	return &Checker{js, topo, routes, source, box, discarded, stream.NewLookup(js.Conn(), topo.ResultsStream())}, nil
}

// Check gives what is stranded. It reads the headers of all failure results, letters and
// discarded letters, and the events that wait; where a letter seems to be gone, those of
// all successes too.
func (c *Checker) Check(ctx context.Context) ([]Finding, error) {
	found, err := c.look(ctx)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	again, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(f Finding) bool { return !slices.Contains(again, f) }), nil
}

// look compares once. The order in which it reads follows the way an event takes, from
// result to letter to event, so that little is missed that moves meanwhile.
func (c *Checker) look(ctx context.Context) ([]Finding, error) {
	failed, err := c.failures(ctx)
	if err != nil {
		return nil, err
	}
	v := view{letters: map[string]bool{}, origins: map[uint64]bool{}}
	odd, err := c.letters(ctx, failed, &v)
	if err != nil {
		return nil, err
	}
	for l, err := range c.discarded.Letters(ctx, dlq.Filter{}) {
		if err != nil {
			return nil, err
		}
		v.saw(dlq.ResultKey(l), l.EventID, l.Origin)
	}
	findings, waiting, err := c.events(ctx, &v)
	if err != nil {
		return nil, err
	}
	gone, err := c.gone(ctx, failed, v)
	if err != nil {
		return nil, err
	}
	for _, o := range odd {
		if o.Kind != NoResult || !waiting[o.seq] { // of an event that waits the result is about to be told
			gone = append(gone, o.Finding)
		}
	}
	return append(gone, findings...), nil
}

// view is what is known to be somewhere.
type view struct {
	letters map[string]bool // keys of events that are letters, discarded, or wait, or whose edits do
	origins map[uint64]bool // letters whose replays are somewhere
}

func (v *view) saw(key, id string, origin uint64) {
	v.letters[key] = true
	if original, ok := dlq.EditOf(id); ok {
		v.letters[original] = true
	}
	if origin > 0 {
		v.origins[origin] = true
	}
}

// failure is one failure result, without its data.
type failure struct {
	route  event.Route
	seq    uint64
	id     string
	source string
}

// failures gives the failure results there are, by the key of their event.
func (c *Checker) failures(ctx context.Context) (map[string]failure, error) {
	failed := map[string]failure{}
	for _, r := range c.routes {
		err := c.results(ctx, r.Failure, func(m *jetstream.RawStreamMsg, key, id, source string) {
			failed[key] = failure{route: r, seq: m.Sequence, id: id, source: source}
		})
		if err != nil {
			return nil, err
		}
	}
	return failed, nil
}

// results reads the headers of all results of a type: of each the key, the id and the source
// of its event.
func (c *Checker) results(ctx context.Context, typ string, each func(m *jetstream.RawStreamMsg, key, id, source string)) error {
	s, err := c.js.Stream(ctx, c.topo.ResultsStream())
	if err != nil {
		return fmt.Errorf("open stream %q: %w", c.topo.ResultsStream(), err)
	}
	state := s.CachedInfo().State
	prefix := c.topo.ResultSubject(typ, "")
	for m, err := range stream.Headers(ctx, c.js, c.topo.ResultsStream(), prefix+"*", state.FirstSeq, state.LastSeq) {
		if err != nil {
			return err
		}
		e, _ := event.Parse(typ, m.Header, nil) // the error is that there is no data
		id, _ := e.Extensions()["causationid"].(string)
		source, _ := e.Extensions()["causationsource"].(string)
		each(m, m.Subject[len(prefix):], id, source)
	}
	return nil
}

// name is an id as it may be shown.
func name(id string) string { return mask.Text(id) }
