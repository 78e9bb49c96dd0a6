package dlq

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"essworker/internal/event"
	"essworker/internal/stream"
)

// EditID is the id of the event that a letter's edited event becomes. It begins with the
// key of the event it was and is the same whatever was edited: of several edits of one
// letter one can succeed.
func EditID(l Letter) string {
	return EditPrefix(l.Source, l.EventID) + strconv.Itoa(l.Replays+1)
}

// EditPrefix is how the ids of an event's edits begin.
func EditPrefix(source, id string) string { return event.Key(source, id) + "-edit-" }

// EditOf gives the key of the event that an id says to be an edit of; ok is false for
// any other id.
func EditOf(id string) (key string, ok bool) {
	key, n, found := strings.Cut(id, "-edit-")
	return key, found && keyOfEvent.MatchString(key) && number(n) > 0
}

var keyOfEvent = regexp.MustCompile(`^[a-z2-7]{26}$`)

// ResultKey names a letter's event on the subjects of its results.
func ResultKey(l Letter) string {
	if l.EventID == "" || l.Source == "" {
		return l.Key
	}
	return event.Key(l.Source, l.EventID)
}

// perLookup is how many letters are looked up at once.
const perLookup = 200

// Succeeded tells which letters' events have succeeded, by a replay, a duplicate or an
// edit of theirs: by letter, the id of the event that did. success gives the type of an
// event type's success results, empty if it has none.
func (b *Box) Succeeded(ctx context.Context, success func(typ string) string, letters ...Letter) (map[uint64]string, error) {
	ledger := stream.NewLookup(b.js.Conn(), b.topo.ResultsStream())
	done := map[uint64]string{}
	for some := range slices.Chunk(letters, perLookup) {
		type sign struct {
			letter uint64
			event  string
		}
		meant := map[string][]sign{}
		var subjects []string
		for _, l := range some {
			result := success(l.Type)
			if result == "" {
				continue
			}
			for key, id := range map[string]string{ResultKey(l): l.EventID, event.Key(l.Source, EditID(l)): EditID(l)} {
				subject := b.topo.ResultSubject(result, key)
				meant[subject] = append(meant[subject], sign{l.ID, id})
				subjects = append(subjects, subject)
			}
		}
		found, err := ledger.Last(ctx, subjects...)
		if err != nil {
			return nil, fmt.Errorf("look for results: %w", err)
		}
		for subject := range found {
			for _, m := range meant[subject] {
				done[m.letter] = m.event
			}
		}
	}
	return done, nil
}
