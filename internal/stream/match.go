package stream

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Match gives the last message of every subject that matches, which may hold
// wildcards, by one direct get: its state at one moment, deletions of a bucket's keys
// among it. The server gives at most 1024 subjects and refuses more. With replicas the
// answer may be a moment old. It waits for up to two seconds, or until ctx ends.
func Match(ctx context.Context, nc *nats.Conn, stream, subject string) (map[string]*jetstream.RawStreamMsg, error) {
	found, err := match(ctx, nc, stream, subject)
	if err != nil {
		return nil, fmt.Errorf("look up %s in %s: %w", subject, stream, err)
	}
	return found, nil
}

func match(ctx context.Context, nc *nats.Conn, stream, subject string) (map[string]*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	body, err := json.Marshal(map[string][]string{"multi_last": {subject}})
	if err != nil {
		return nil, err
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails if the connection is closed
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, body); err != nil {
		return nil, err
	}
	found := make(map[string]*jetstream.RawStreamMsg)
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		if end, err := take(msg, found); end || err != nil {
			return found, err
		}
	}
}
