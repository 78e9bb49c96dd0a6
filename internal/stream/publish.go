// Package stream makes a ledger of a stream: it stores a message on condition that
// its subject is empty, tells which subjects are not, and reads what is there.
//
// Its one rule: the condition is the server's to check. Whatever is lost, late or
// sent twice on the way, a subject gets one message, and whoever publishes learns
// that it is there.
package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// attemptWait is how long one attempt to publish waits for its confirmation. What
	// was sent may have been stored; the next attempt will be told so.
	attemptWait = 3 * time.Second
	retryMin    = 25 * time.Millisecond
	retryMax    = time.Second
)

// The server's error codes that Publisher tells apart, as `nats errors lookup`
// knows them.
const (
	codeUnavailable = 10008 // no leader at the moment
	codeNotEmpty    = 10071 // the subject has a message
	codeSameID      = 10158 // a message of the same id is under way, its fate open
	codeInFlight    = 10164 // a message on the subject is under way, its fate open
	codeTooMany     = 10167 // more comes in than the stream can take at the moment
)

// Publisher stores messages once. Each publish under way has a subscription of its
// own, kept for the next one, so that a confirmation goes from the connection straight
// to the goroutine that waits for it; the client library has one for all, which a
// goroutine of its own hands out. It is safe for concurrent use, and lives as long as
// its connection.
type Publisher struct {
	nc *nats.Conn

	mu   sync.Mutex
	idle []*inbox // the one used last comes last, and goes first
}

// NewPublisher publishes over nc.
func NewPublisher(nc *nats.Conn) *Publisher { return &Publisher{nc: nc} }

// Once stores msg unless its subject already has a message, and returns the
// sequence of the one that is there now. existed says that it was there before; it
// may be one of our own whose confirmation was lost. Give msg a Nats-Msg-Id that no
// message with another subject has; the condition is added to its headers, and its
// Reply is used.
//
// It tries again until ctx ends while the server is away, has no leader, or does
// not yet know the outcome of another attempt. Any other answer of the server is
// returned as an error: the stream is full, the message too large. When ctx ends
// the message may have been stored; the next call will tell. seq is 0 if the server
// did not say which message it has.
func (p *Publisher) Once(ctx context.Context, msg *nats.Msg) (seq uint64, existed bool, err error) {
	in, err := p.take()
	if err != nil {
		return 0, false, fmt.Errorf("publish to %q: %w", msg.Subject, err)
	}
	defer p.put(in)
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		seq, existed, err := in.publish(ctx, p.nc, msg)
		if err == nil {
			return seq, existed, nil
		}
		if seq, ok := notEmpty(err); ok {
			return seq, true, nil
		}
		if ctx.Err() != nil {
			return 0, false, fmt.Errorf("publish to %q: %w (last: %w)", msg.Subject, context.Cause(ctx), err)
		}
		if !Passing(err) {
			return 0, false, fmt.Errorf("publish to %q: %w", msg.Subject, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(2 * wait)): //nolint:gosec // jitter
		}
	}
}

func (p *Publisher) take() (*inbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.idle) - 1; last >= 0 {
		in := p.idle[last]
		p.idle = p.idle[:last]
		return in, nil
	}
	return newInbox(p.nc)
}

func (p *Publisher) put(in *inbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, in)
}

// notEmpty recognises the server's refusal to put a second message on a subject,
// and reads from its text which message is there.
func notEmpty(err error) (seq uint64, ok bool) {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || api.ErrorCode != codeNotEmpty {
		return 0, false
	}
	_, number, _ := strings.Cut(api.Description, ": ")
	seq, _ = strconv.ParseUint(number, 10, 64)
	return seq, true
}

// Passing reports whether the same publish may be stored later.
func Passing(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch api.ErrorCode {
		case codeUnavailable, codeSameID, codeInFlight, codeTooMany:
			return true
		}
		return false
	}
	for _, e := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, // of the one attempt: the caller's ctx has not ended
		jetstream.ErrNoStreamResponse, nats.ErrNoResponders,
		nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrStaleConnection,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
