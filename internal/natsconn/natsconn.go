// Package natsconn opens the one connection to NATS, with every option that keeps
// the worker's promises.
//
// Its one rule: no command makes a connection of its own, since each option below
// has a loss or a dead worker behind it.
//
//   - No reconnect buffer: with the client's default of 8 MB, a publish that was
//     reported failed is stored after the reconnect. Here it fails at once and its
//     caller decides.
//   - Reconnect for ever, with jitter, and through refused logins too: a fleet
//     outlives its servers, does not fall upon a new one all at once, and gets over
//     credentials that were late in being renewed. The client would give up after
//     60 attempts, or the second refused login.
//   - Pings every 20 seconds, and two unanswered end the connection: the client
//     would take six minutes to notice a server that vanished without a word.
//   - An inbox prefix per role, so that a role may read its own answers only.
//   - An error handler that counts permission violations: a denied publish is
//     otherwise a timeout that explains nothing.
//   - TLS beyond loopback, unless plain text is allowed by name: events carry
//     personal data, and the login goes first.
//   - A denied subscription is an error for its reader instead of silence.
package natsconn

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

const (
	reconnectWait      = time.Second
	reconnectJitter    = time.Second
	reconnectJitterTLS = 3 * time.Second
	pingInterval       = 20 * time.Second
	pingsUnanswered    = 2

	// answerQueue is room for the messages of one answer, at most 1024 and the end. The
	// client's own choice would cost half a megabyte each time a question is asked.
	answerQueue = 2048

	retryMin = 250 * time.Millisecond
	retryMax = 5 * time.Second
)

// Options is what differs between the commands that connect.
type Options struct {
	Name        string                     // required: who we are, as the server's listings show it
	InboxPrefix string                     // required: where answers come, "_INBOX_worker"; a role may subscribe to its own only. Config.InboxPrefix wins
	Log         *slog.Logger               // nil drops what it is told
	Meter       metric.Meter               // nil counts nothing
	NoRetry     bool                       // fail at once if no server answers, as a command should; a worker waits
	InProcess   nats.InProcessConnProvider // the server in this process, in place of Config.URL
	// Denied is told of each publish and subscription that the server denies, one at a
	// time, after it was counted and logged: who asked waits for an answer that never
	// comes. May be nil.
	Denied func(*DeniedError)
}

// Connect opens the connection. While no server can be reached it logs and tries
// again until ctx ends, unless opts.NoRetry; a refused login or a bad file fails at
// once. The error names the servers without their passwords. Once it has
// returned a connection, ctx has no more part in it.
func Connect(ctx context.Context, cfg Config, opts Options) (*nats.Conn, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Meter == nil {
		opts.Meter = noop.Meter{}
	}
	list, err := options(cfg, opts)
	if err != nil {
		return nil, err
	}
	at := cfg.URL.String()
	if opts.InProcess != nil {
		at = "the server in this process"
	}
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		nc, err := dial(ctx, cfg, list)
		switch {
		case err == nil:
			return nc, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("connect to %s: %w", at, context.Cause(ctx))
		case final(err):
			return nil, refused(at, err)
		case opts.NoRetry:
			return nil, absent(at, err)
		}
		pause := wait/2 + rand.N(wait) //nolint:gosec // jitter
		opts.Log.Warn("no NATS server", "url", at, "error", err, "retry_in", pause.Round(time.Millisecond).String())
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// dial is one attempt. The client's cannot be interrupted and may take seconds,
// so one that ctx gives up is closed when it arrives.
func dial(ctx context.Context, cfg Config, opts []nats.Option) (*nats.Conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	type answer struct {
		nc  *nats.Conn
		err error
	}
	got := make(chan answer, 1)
	go func() {
		nc, err := nats.Connect(cfg.URL.Reveal(), opts...)
		got <- answer{nc, err}
	}()
	select {
	case a := <-got:
		return a.nc, a.err
	case <-ctx.Done():
		go func() {
			if a := <-got; a.nc != nil {
				a.nc.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

func options(cfg Config, opts Options) ([]nats.Option, error) {
	if opts.InProcess != nil {
		cfg.URL, cfg.AllowPlaintext = "", true // nothing leaves the process
	} else if err := cfg.checkURL(); err != nil {
		return nil, err
	}
	list, err := cfg.options()
	if err != nil {
		return nil, err
	}
	h, err := newHandlers(opts)
	if err != nil {
		return nil, err
	}
	if opts.InProcess != nil {
		list = append(list, nats.InProcessServer(opts.InProcess))
	}
	return append(list,
		nats.Name(opts.Name),
		nats.CustomInboxPrefix(cmp.Or(cfg.InboxPrefix, opts.InboxPrefix)),
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitterTLS),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsUnanswered),
		nats.PermissionErrOnSubscribe(true),
		nats.SyncQueueLen(answerQueue),
		nats.ErrorHandler(h.failed),
		nats.DisconnectErrHandler(h.disconnected),
		nats.ReconnectHandler(h.reconnected),
		nats.ClosedHandler(h.closed),
		nats.LameDuckModeHandler(h.lameDuck),
	), nil
}
