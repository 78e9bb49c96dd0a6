package dlq

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
)

const (
	outcomePoll = 100 * time.Millisecond
	leaderWait  = 5 * time.Second // how long the leader may take to answer
)

// Outcome waits until a replayed event has left its stream and reports whether it
// succeeded. Seq is its place there, success the type of its success result.
func (b *Box) Outcome(ctx context.Context, seq uint64, l Letter, success string) (ok bool, err error) {
	for {
		waiting, err := b.has(ctx, b.topo.EventsStream(), map[string]any{"seq": seq})
		if err != nil {
			return false, fmt.Errorf("look at event %d: %w", seq, err)
		}
		if !waiting {
			break
		}
		select {
		case <-time.After(outcomePoll):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	subject := b.topo.ResultSubject(success, event.Key(l.Source, l.EventID))
	ok, err = b.has(ctx, b.topo.ResultsStream(), map[string]any{"last_by_subj": subject})
	if err != nil {
		return false, fmt.Errorf("look for the result of event %d: %w", seq, err)
	}
	return ok, nil
}

// has asks the stream's leader for a message. Direct gets may be answered by a
// replica that has not seen yet what was just stored, which here would read as
// "done" or "failed"; and the client takes an event with a Status header for a
// status of the server.
func (b *Box) has(ctx context.Context, stream string, request map[string]any) (bool, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	msg, err := b.js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if err != nil {
		return false, cmp.Or(context.Cause(ctx), err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return false, fmt.Errorf("decode the answer: %w", err)
	}
	switch {
	case answer.Error == nil:
		return true, nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return false, nil
	}
	return false, answer.Error
}
