package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoMessage says that a stream has no such message (any more).
var ErrNoMessage = errors.New("no such message")

// readBatch is how many messages one request brings.
const readBatch = 500

// The client library's own ways to read take a message whose publisher gave it a
// Status header for an answer of the server: the message cannot be got and a
// consumer starts over for ever. Here a message is what has a sequence.

// Get gives one message. The error is ErrNoMessage if there is none. The stream must
// allow direct get.
func Get(ctx context.Context, nc *nats.Conn, stream string, seq uint64) (*jetstream.RawStreamMsg, error) {
	return one(ctx, nc, stream, map[string]any{"seq": seq})
}

// LastFor gives the last message of a subject, which may have wildcards. The error
// is ErrNoMessage if there is none.
func LastFor(ctx context.Context, nc *nats.Conn, stream, subject string) (*jetstream.RawStreamMsg, error) {
	return one(ctx, nc, stream, map[string]any{"last_by_subj": subject})
}

func one(ctx context.Context, nc *nats.Conn, stream string, request map[string]any) (*jetstream.RawStreamMsg, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	var msg *nats.Msg
	for wait := askAgain; ; wait *= 2 { // for a slow server longer each time
		try, giveUp := context.WithTimeout(ctx, wait)
		msg, err = nc.RequestWithContext(try, "$JS.API.DIRECT.GET."+stream, body)
		giveUp()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read from %s: %w", stream, err)
	}
	if last(msg.Header, jetstream.SequenceHeader) == "" {
		return nil, refusal(stream, msg)
	}
	return read(msg)
}

// Messages gives the messages from sequence first to sequence last whose subject
// matches the filter, oldest first. The stream must allow direct get.
func Messages(ctx context.Context, nc *nats.Conn, stream, filter string, first, upTo uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		inbox := nc.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			yield(nil, fmt.Errorf("read from %s: %w", stream, err))
			return
		}
		defer func() { _ = sub.Unsubscribe() }() // it fails only on a closed connection
		for next := max(first, 1); next <= upTo; {
			batch, err := page(ctx, nc, sub, stream, filter, next)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, m := range batch {
				if m.Sequence > upTo || !yield(m, nil) {
					return
				}
			}
			if len(batch) == 0 {
				return
			}
			next = batch[len(batch)-1].Sequence + 1
		}
	}
}

// page asks for one batch; an empty one is the end.
func page(ctx context.Context, nc *nats.Conn, sub *nats.Subscription, stream, filter string, from uint64) ([]*jetstream.RawStreamMsg, error) {
	body, err := json.Marshal(map[string]any{"seq": from, "next_by_subj": filter, "batch": readBatch})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pageWait)
	defer cancel()
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+stream, sub.Subject, body); err != nil {
		return nil, fmt.Errorf("read from %s: %w", stream, err)
	}
	batch := make([]*jetstream.RawStreamMsg, 0, readBatch)
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("read from %s: %w", stream, err)
		}
		if last(msg.Header, jetstream.SequenceHeader) == "" {
			err := refusal(stream, msg)
			if errors.Is(err, ErrNoMessage) || msg.Header.Get("Status") == "204" { // the end of all, or of the batch
				err = nil
			}
			return batch, err
		}
		m, err := read(msg)
		if err != nil {
			return nil, err
		}
		batch = append(batch, m)
	}
}

// pageWait bounds the answer to one request for a batch.
const pageWait = 5 * answerWait

func refusal(stream string, msg *nats.Msg) error {
	switch status := msg.Header.Get("Status"); status {
	case "404":
		return ErrNoMessage
	case "503":
		return fmt.Errorf("read from %s: %w", stream, nats.ErrNoResponders)
	default:
		return fmt.Errorf("read from %s: the server answers %s %s", stream, status, msg.Header.Get("Description"))
	}
}
