package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/stream"
)

const outcomePoll = 100 * time.Millisecond

// Outcome waits until a replayed event has left its stream and reports whether it
// succeeded. Seq is its place there, success the type of its success result.
func (b *Box) Outcome(ctx context.Context, seq uint64, l Letter, success string) (ok bool, err error) {
	events, err := b.js.Stream(ctx, b.topo.EventsStream())
	if err != nil {
		return false, fmt.Errorf("open stream %q: %w", b.topo.EventsStream(), err)
	}
	for {
		_, err := events.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return false, fmt.Errorf("look at event %d: %w", seq, err)
		}
		select {
		case <-time.After(outcomePoll):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	_, err = stream.LastFor(ctx, b.js.Conn(), b.topo.ResultsStream(), b.topo.ResultSubject(success, event.Key(l.Source, l.EventID)))
	if errors.Is(err, stream.ErrNoMessage) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the result of event %d: %w", seq, err)
	}
	return true, nil
}
