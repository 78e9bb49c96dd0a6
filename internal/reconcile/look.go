package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// events reads those that wait: what they are replays and edits of, which are settled,
// and the places of all.
func (c *Checker) events(ctx context.Context, v *view) (findings []Finding, waiting map[uint64]bool, err error) {
	s, err := c.js.Stream(ctx, c.topo.EventsStream())
	if err != nil {
		return nil, nil, fmt.Errorf("open stream %q: %w", c.topo.EventsStream(), err)
	}
	state := s.CachedInfo().State
	waiting = map[uint64]bool{}
	for _, r := range c.routes {
		lane, err := c.js.Consumer(ctx, c.topo.EventsStream(), topology.Consumer(r.Type))
		if err != nil {
			return nil, nil, fmt.Errorf("look at consumer %q: %w", topology.Consumer(r.Type), err)
		}
		info := lane.CachedInfo()
		var overdue []*jetstream.RawStreamMsg
		ids := map[uint64]event.Event{}
		for m, err := range stream.Messages(ctx, c.js.Conn(), c.topo.EventsStream(), c.topo.EventSubject(r.Type), state.FirstSeq, state.LastSeq) {
			if err != nil {
				return nil, nil, err
			}
			waiting[m.Sequence] = true
			e, _ := event.Parse(r.Type, m.Header, m.Data)
			_, origin := dlq.Generation(m.Header)
			key := event.KeyOfMessage(m.Sequence, m.Time)
			if e.Context != nil && e.ID() != "" && e.Source() != "" {
				key = event.Key(e.Source(), e.ID())
				v.saw(key, e.ID(), origin)
			} else {
				v.saw(key, "", origin)
			}
			if Overdue(info, m, info.Config.AckWait) {
				overdue = append(overdue, m)
				ids[m.Sequence] = e
			}
		}
		settled, err := Settled(ctx, c.ledger, c.topo, r, overdue)
		if err != nil {
			return nil, nil, err
		}
		for _, seq := range settled {
			e := ids[seq]
			findings = append(findings, Finding{
				Kind: EventDone, Type: r.Type, Seq: seq, Event: name(e.ID()), Source: name(e.Source()), Mends: "takes it out of its stream",
			})
		}
	}
	return findings, waiting, nil
}

// editsLookedFor is how many edits of an event are looked for one by one, by the number of
// the replay each was: more need force.
const editsLookedFor = 4

// gone gives the failures whose letter nothing tells of.
func (c *Checker) gone(ctx context.Context, failed map[string]failure, v view) ([]Finding, error) {
	for _, f := range failed {
		if original, ok := dlq.EditOf(f.id); ok {
			v.letters[original] = true
		}
	}
	var lost []string
	for _, key := range slices.Sorted(maps.Keys(failed)) {
		f := failed[key]
		if v.letters[key] {
			continue
		}
		subjects := []string{c.topo.ResultSubject(f.route.Success, key)}
		for n := range editsLookedFor {
			edited := event.Key(f.source, dlq.EditPrefix(f.source, f.id)+strconv.Itoa(n+1))
			subjects = append(subjects, c.topo.ResultSubject(f.route.Success, edited))
		}
		found, err := c.ledger.Last(ctx, subjects...)
		if err != nil {
			return nil, fmt.Errorf("look for results: %w", err)
		}
		if len(found) == 0 {
			lost = append(lost, key)
		}
	}
	if len(lost) == 0 {
		return nil, nil
	}
	edited, err := c.edited(ctx)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	for _, key := range lost {
		f := failed[key]
		if edited[key] {
			continue
		}
		letter, err := c.letterOf(ctx, f)
		if err != nil {
			return nil, err
		}
		if letter == 0 || v.origins[letter] {
			continue
		}
		findings = append(findings, Finding{
			Kind: LetterGone, Type: f.route.Type, Letter: letter, Event: name(f.id), Source: name(f.source),
			Result: c.topo.ResultSubject(f.route.Failure, key),
		})
	}
	return findings, nil
}

// edited gives the keys of all events of which an edit has succeeded. It reads the headers
// of all successes, so it comes last.
func (c *Checker) edited(ctx context.Context) (map[string]bool, error) {
	keys := map[string]bool{}
	for _, r := range c.routes {
		err := c.results(ctx, r.Success, func(_ *jetstream.RawStreamMsg, _, id, _ string) {
			if original, ok := dlq.EditOf(id); ok {
				keys[original] = true
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// letterOf reads from a failure which letter it names; 0 if the result is gone by now.
func (c *Checker) letterOf(ctx context.Context, f failure) (uint64, error) {
	m, err := stream.Get(ctx, c.js.Conn(), c.topo.ResultsStream(), f.seq)
	if errors.Is(err, stream.ErrNoMessage) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read result %d: %w", f.seq, err)
	}
	var data event.Failure
	if err := json.Unmarshal(m.Data, &data); err != nil {
		return 0, fmt.Errorf("read result %d: %w", f.seq, err)
	}
	return data.DeadLetter.ID, nil
}

// parked is how long after its event was given up a letter is stored at the latest. One
// stored later was restored or imported, and its failure result need not be here.
const parked = time.Hour

// odd is a finding about a letter, and the place its event had.
type odd struct {
	Finding

	seq uint64
}

// letters gives those whose event has succeeded, and those without their failure result.
func (c *Checker) letters(ctx context.Context, failed map[string]failure, v *view) (found []odd, err error) {
	s, err := c.js.Stream(ctx, c.topo.ResultsStream())
	if err != nil {
		return nil, fmt.Errorf("open stream %q: %w", c.topo.ResultsStream(), err)
	}
	age := cmp.Or(s.CachedInfo().Config.MaxAge, 1<<62) // results older than that are gone, as they should be
	some := make([]dlq.Letter, 0, perLookup)
	judge := func() error {
		done, err := c.box.Succeeded(ctx, c.success, some...)
		if err != nil {
			return err
		}
		for _, l := range some {
			_, told := failed[dlq.ResultKey(l)]
			f := Finding{Type: l.Type, Letter: l.ID, Event: name(l.EventID), Source: name(l.Source)}
			switch by, succeeded := done[l.ID]; {
			case succeeded:
				f.Kind, f.By, f.Mends = LetterDone, name(by), "discards the letter"
			case !told && l.Replays == 0 && time.Since(l.FailedAt) < age-parked && l.Stored.Sub(l.FailedAt) < parked && c.failure(l.Type) != "":
				f.Kind, f.Mends = NoResult, "publishes the failure result"
			default:
				continue
			}
			found = append(found, odd{f, l.StreamSeq})
		}
		some = some[:0]
		return nil
	}
	for l, err := range c.box.Letters(ctx, dlq.Filter{}) {
		if err != nil {
			return nil, err
		}
		v.saw(dlq.ResultKey(l), l.EventID, l.Origin)
		if some = append(some, l); len(some) == perLookup {
			if err := judge(); err != nil {
				return nil, err
			}
		}
	}
	err = judge()
	return found, err
}

func (c *Checker) success(typ string) string { return c.route(typ).Success }

func (c *Checker) failure(typ string) string { return c.route(typ).Failure }

func (c *Checker) route(typ string) event.Route {
	for _, r := range c.routes {
		if r.Type == typ {
			return r
		}
	}
	return event.Route{}
}
