package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publisher is PublishOnce for those who publish all the time. Each publish under way
// has a subscription of its own, kept for the next one, so that a confirmation goes
// from the connection straight to the goroutine that waits for it; the client library
// has one for all, which a goroutine of its own hands out. It is safe for concurrent use,
// and lives as long as its connection.
type Publisher struct {
	nc *nats.Conn

	mu   sync.Mutex
	idle []*inbox // the one used last comes last, and goes first
}

// NewPublisher publishes over nc.
func NewPublisher(nc *nats.Conn) *Publisher { return &Publisher{nc: nc} }

// Once is [PublishOnce]. It uses the message's Reply.
func (p *Publisher) Once(ctx context.Context, msg *nats.Msg) (seq uint64, existed bool, err error) {
	in, err := p.take()
	if err != nil {
		return 0, false, fmt.Errorf("publish to %q: %w", msg.Subject, err)
	}
	defer p.put(in)
	return once(ctx, msg, func() (stored, error) { return in.publish(ctx, p.nc, msg) })
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

// inbox receives the confirmations of one publish after the other.
type inbox struct {
	prefix  string
	replies chan *nats.Msg
	sent    uint64 // numbers publishes, so that a late confirmation is not taken for another's
	timer   *time.Timer
}

// inboxRoom is for confirmations that came too late and were not read.
const inboxRoom = 16

func newInbox(nc *nats.Conn) (*inbox, error) {
	in := &inbox{prefix: nc.NewInbox() + ".", replies: make(chan *nats.Msg, inboxRoom), timer: time.NewTimer(attemptWait)}
	_, err := receive(nc, in.prefix+"*", in.replies)
	return in, err
}

// receive has messages put into a channel, and nil once the connection is closed, so
// that nobody waits for what cannot come.
func receive(nc *nats.Conn, subject string, into chan *nats.Msg) (*nats.Subscription, error) {
	sub, err := nc.ChanSubscribe(subject, into)
	if err != nil {
		return nil, err
	}
	sub.SetClosedHandler(func(string) {
		select {
		case into <- nil:
		default:
		}
	})
	return sub, nil
}

// publish is one attempt.
func (in *inbox) publish(ctx context.Context, nc *nats.Conn, msg *nats.Msg) (stored, error) {
	in.sent++
	msg.Reply = in.prefix + strconv.FormatUint(in.sent, 36)
	if err := nc.PublishMsg(msg); err != nil {
		return stored{}, err
	}
	in.timer.Reset(attemptWait)
	defer in.timer.Stop()
	for {
		select {
		case reply := <-in.replies:
			if reply == nil {
				return stored{}, nats.ErrConnectionClosed
			}
			if reply.Subject == msg.Reply {
				return confirmation(reply)
			}
		case <-in.timer.C:
			return stored{}, nats.ErrTimeout
		case <-ctx.Done():
			return stored{}, context.Cause(ctx)
		}
	}
}

// confirmation reads the server's answer to a publish.
func confirmation(reply *nats.Msg) (stored, error) {
	if len(reply.Data) == 0 && reply.Header.Get("Status") == "503" {
		return stored{}, jetstream.ErrNoStreamResponse
	}
	if seq, ok := plainAck(reply.Data); ok {
		return stored{seq: seq}, nil
	}
	var got struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.PubAck
	}
	switch err := json.Unmarshal(reply.Data, &got); {
	case err != nil:
		return stored{}, jetstream.ErrInvalidJSAck
	case got.Error != nil:
		return stored{}, got.Error
	case got.Stream == "":
		return stored{}, jetstream.ErrInvalidJSAck
	}
	return stored{got.Sequence, got.Duplicate}, nil
}

// plainAck reads what the server nearly always says, {"stream":"NAME","seq":17}, and
// leaves everything else to the JSON decoder.
func plainAck(data []byte) (seq uint64, ok bool) {
	rest, begins := bytes.CutPrefix(data, []byte(`{"stream":"`))
	name, rest, named := bytes.Cut(rest, []byte(`","seq":`))
	number, ends := bytes.CutSuffix(rest, []byte("}"))
	if !begins || !named || !ends || len(name) == 0 || bytes.IndexByte(name, '"') >= 0 || len(number) > len("9007199254740991") {
		return 0, false
	}
	for _, c := range number {
		if c < '0' || c > '9' {
			return 0, false
		}
		seq = seq*10 + uint64(c-'0')
	}
	return seq, len(number) > 0
}
