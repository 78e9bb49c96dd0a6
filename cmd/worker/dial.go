package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/replay"
	"essworker/internal/roles"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// client is what every command that talks to a deployment needs to find it.
type client struct {
	NATS natsconn.Config `embed:"" group:"NATS"`
	topology.Names
}

// dial connects once: a command at a terminal fails at once when nobody answers. The
// role is whose work the command is, for a user whose name does not tell. If the server
// denies something ctx ends, see [endsWhenDenied].
func dial(ctx context.Context, cfg natsconn.Config, role roles.Role) (*nats.Conn, jetstream.JetStream, error) {
	// A command lives for seconds: a fifth of its processor time is worth the memory that
	// rarer collections take (100,000 letters: 110 MB in place of 70).
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	nc, err := natsconn.Connect(ctx, cfg, natsconn.Options{
		Name: "essworker cli " + workerName(), InboxPrefix: inboxOf(cfg, role), Log: slog.New(slog.DiscardHandler), NoRetry: true,
		Denied: denial(ctx),
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

// inboxOf is the prefix of a user's inbox: that of its role, if its name tells that.
func inboxOf(cfg natsconn.Config, usual roles.Role) string {
	if role, ok := roles.Of(cfg.Login()); ok {
		return role.Inbox()
	}
	return usual.Inbox()
}

// denialKey is of the function in a command's context that ends it when the server denies something.
type denialKey struct{}

// endsWhenDenied gives a command's context, which a denial ends: without that the
// command would wait for an answer that never comes, and then could not say why.
func endsWhenDenied(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return context.WithValue(ctx, denialKey{}, cancel), cancel
}

// denial is what a connection of the command tells denials to.
func denial(ctx context.Context) func(*natsconn.DeniedError) {
	cancel, ok := ctx.Value(denialKey{}).(context.CancelCauseFunc)
	if !ok {
		return nil
	}
	return func(err *natsconn.DeniedError) {
		if err.Subject != stream.AskUser { // a record has another name for who it was, then
			cancel(err)
		}
	}
}

// denied is what a command failed of: what the server has denied, if it has, with what
// the command was at.
func denied(ctx context.Context, err error) error {
	cause, ok := errors.AsType[*natsconn.DeniedError](context.Cause(ctx))
	switch {
	case !ok:
		return err
	case err == nil: // what watches for ever takes the end of its context for its own
		return cause
	}
	if _, told := errors.AsType[*natsconn.DeniedError](err); told {
		return err
	}
	return exit{exitCode(err), fmt.Errorf("%w (%w)", cause, err)}
}

// confirmWait is how long a publish may go without the server's word.
const confirmWait = 20 * time.Second

// box opens the deployment's letters.
func (c client) box(ctx context.Context) (*nats.Conn, *dlq.Box, error) {
	nc, js, err := dial(ctx, c.NATS, roles.Operator)
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
