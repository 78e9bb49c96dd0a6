package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// First gives sequence and time of the first message from a sequence on whose subject
// matches. The error is ErrNoMessage if there is none. The stream must allow direct
// get. The server has no way to leave the payload out: it comes, and is dropped unread.
func First(ctx context.Context, nc *nats.Conn, stream, subject string, from uint64) (seq uint64, at time.Time, err error) {
	m, err := one(ctx, nc, stream, map[string]any{"seq": max(from, 1), "next_by_subj": subject})
	if err != nil {
		return 0, time.Time{}, err
	}
	return m.Sequence, m.Time, nil
}

// Count gives how many messages have a subject that matches, by one direct get: the
// server counts what is still to come behind the first of them, and that one's payload
// is dropped unread. It costs the server some 0.4 µs a message that matches; listing
// the subjects, the other way to count, costs twice that and memory for each. With
// replicas the answer may be a moment old.
func Count(ctx context.Context, nc *nats.Conn, stream, subject string) (uint64, error) {
	body, err := json.Marshal(map[string]any{"seq": 1, "next_by_subj": subject, "batch": 1})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, pageWait)
	defer cancel()
	// The end of the batch is a second answer, which nobody waits for.
	msg, err := nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream, body)
	if err != nil {
		return 0, fmt.Errorf("count %s in %s: %w", subject, stream, err)
	}
	if last(msg.Header, jetstream.SequenceHeader) == "" {
		if err := refusal(stream, msg); !errors.Is(err, ErrNoMessage) {
			return 0, err
		}
		return 0, nil
	}
	behind, err := strconv.ParseUint(last(msg.Header, "Nats-Num-Pending"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("count %s in %s: read the answer: %w", subject, stream, err)
	}
	return behind + 1, nil
}
