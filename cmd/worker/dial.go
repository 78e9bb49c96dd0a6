package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/replay"
	"essworker/internal/topology"
)

// client is what every command that talks to a deployment needs to find it.
type client struct {
	NATS natsconn.Config `embed:"" group:"NATS"`
	topology.Names
}

// dial connects once: a command at a terminal fails at once when nobody answers.
func dial(ctx context.Context, cfg natsconn.Config, inbox string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := natsconn.Connect(ctx, cfg, natsconn.Options{
		Name: "essworker cli " + workerName(), InboxPrefix: inbox, Log: slog.New(slog.DiscardHandler), NoRetry: true,
	})
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(confirmWait))
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("jetstream: %w", err)
	}
	return nc, js, nil
}

// confirmWait is how long a publish may go without the server's word.
const confirmWait = 20 * time.Second

// box opens the deployment's letters.
func (c client) box(ctx context.Context) (*nats.Conn, *dlq.Box, error) {
	nc, js, err := dial(ctx, c.NATS, "_INBOX_ops")
	if err != nil {
		return nil, nil, err
	}
	box, err := dlq.Open(ctx, js, c.Names, "")
	if err != nil {
		nc.Close()
		return nil, nil, notSetUp(err)
	}
	return nc, box, nil
}

// office opens the replay jobs of the deployment that the letters are of.
func (c client) office(ctx context.Context, box *dlq.Box) (*replay.Office, error) {
	js := box.JetStream()
	return replay.Open(ctx, js.Conn(), js, c.Names, handlers.Routes(nil, handlers.Defaults{}))
}

// notSetUp adds what to do when the streams are missing.
func notSetUp(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: run worker setup first, or check --prefix and --nats-url", err)
	}
	return err
}
