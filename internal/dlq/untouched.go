package dlq

import (
	"context"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/stream"
	"essworker/internal/topology"
)

// Untouched looks for the oldest letter that was never replayed and that no operator has
// said to ignore: nobody may have looked at it. It remembers how far it has looked, so
// that each further look is cheap. One goroutine may use it at a time.
type Untouched struct {
	ID       uint64    // of the letter last found; 0 is none
	FailedAt time.Time // when its event failed

	from    uint64 // every letter before this one was touched
	ignored map[string]bool
}

// Look looks again. After an error what was found before still stands.
func (u *Untouched) Look(ctx context.Context, nc *nats.Conn, topo topology.Names) error {
	notes, err := Notes(ctx, nc, topo)
	if err != nil {
		return err
	}
	ignored := map[string]bool{}
	for group, n := range notes {
		if n.State == StateIgnored {
			ignored[group] = true
		}
	}
	from := u.from
	if !maps.Equal(ignored, u.ignored) {
		from = 1
	}
	next := Untouched{ignored: ignored, from: from}
	for msg, err := range stream.Messages(ctx, nc, topo.LettersStream(), everything, from, math.MaxUint64) {
		if err != nil {
			return fmt.Errorf("look for the oldest untouched letter: %w", err)
		}
		next.from = msg.Sequence
		if number(msg.Header.Get(hReplays)) == 0 && !ignored[msg.Header.Get(hGroup)] {
			next.ID, next.FailedAt = msg.Sequence, moment(msg.Header.Get(hFailedAt), msg.Time)
			break
		}
	}
	*u = next
	return nil
}
