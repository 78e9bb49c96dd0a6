package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MinServer is the lowest server version that will do: keys of the fleet's bucket
// expire one by one, and the ledger answers for many subjects at once, both since
// 2.11.
const MinServer = "2.11.0"

// minLevel is MinServer as the server itself counts: its JetStream API level,
// which 2.11 introduced. The version is that of the server we talk to, the level
// that of the one that decides.
const minLevel = 1

// checkServer fails unless the server has JetStream, for this account, and is new
// enough.
func checkServer(ctx context.Context, js jetstream.JetStream) (*jetstream.AccountInfo, error) {
	info, err := js.AccountInfo(ctx)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return nil, fmt.Errorf("this NATS account has no JetStream: turn it on with `jetstream: enabled` in the account: %w", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return nil, fmt.Errorf("this NATS server has no JetStream: start it with `nats-server -js` or a `jetstream {}` block: %w", err)
	case Passing(err) && ctx.Err() == nil:
		return nil, fmt.Errorf("JetStream does not answer: the cluster has no leader, or too few of its servers are up: %w", err)
	case err != nil:
		return nil, fmt.Errorf("ask the NATS server for JetStream: %w", err)
	}
	return info, checkLevel(js.Conn().ConnectedServerVersion(), info.API.Level)
}

func checkLevel(version string, level int) error {
	if level < minLevel {
		return fmt.Errorf("the NATS server is version %s with JetStream API level %d: at least %s is needed", version, level, MinServer)
	}
	return nil
}

// Passing says whether an error of Plan or Apply may go away by itself: the server is
// gone for the moment, the cluster or a stream has no leader, or too few servers are
// up yet to take a stream. That there never were enough looks the same.
func Passing(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return slices.Contains([]jetstream.ErrorCode{10004, 10005, 10008, 10009, 10118, 10119}, api.ErrorCode)
	}
	for _, e := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders,
		nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrStaleConnection,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// checkRoom fails if the account may not have as many more streams.
func checkRoom(info *jetstream.AccountInfo, missing int) error {
	limit := info.Limits.MaxStreams
	if limit > 0 && missing > 0 && info.Streams+missing > limit {
		return fmt.Errorf("this NATS account may have %d streams and has %d: %d more are needed", limit, info.Streams, missing)
	}
	return nil
}

// explain adds to a server's refusal of a change what can be done about it. The
// numbers are the server's error codes, as `nats errors lookup` knows them.
func explain(cfg Config, err error) error {
	advice := map[jetstream.ErrorCode]string{
		10005: fmt.Sprintf("WORKER_REPLICAS=%d needs as many servers that can take the stream", cfg.Replicas),
		10074: fmt.Sprintf("WORKER_REPLICAS=%d needs a cluster; a single server can only do 1", cfg.Replicas),
		10023: "the server has no room left: raise max_file_store or free some",
		10047: "the server has no room left: raise max_file_store or free some",
		10113: "this account wants a byte limit on every stream: make it yourself with `nats stream add --discard=new --max-bytes=...`",
		10122: "this account limits a stream's bytes: make it yourself with `nats stream add --discard=new --max-bytes=...`",
		10026: "raise the account's or the stream's limit of consumers",
		10027: "raise the account's limit of streams",
		10065: "another stream takes in these subjects: see `nats stream subjects`, or take another WORKER_PREFIX",
		10099: "another consumer takes all events: see `nats consumer ls " + cfg.EventsStream() + "` and remove it",
		10100: "another consumer takes the same events: see `nats consumer ls " + cfg.EventsStream() + "` and remove it",
		10121: "the server or the account limits max_ack_pending: raise it, since it would stop lanes",
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && advice[api.ErrorCode] != "" {
		return fmt.Errorf("%s: %w", advice[api.ErrorCode], err)
	}
	return err
}
