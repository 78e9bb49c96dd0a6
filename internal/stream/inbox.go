package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

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
func (in *inbox) publish(ctx context.Context, nc *nats.Conn, msg *nats.Msg) (seq uint64, existed bool, err error) {
	in.sent++
	msg.Reply = in.prefix + strconv.FormatUint(in.sent, 36)
	if err := nc.PublishMsg(msg); err != nil {
		return 0, false, err
	}
	in.timer.Reset(attemptWait)
	defer in.timer.Stop()
	for {
		select {
		case reply := <-in.replies:
			if reply == nil {
				return 0, false, nats.ErrConnectionClosed
			}
			if reply.Subject == msg.Reply {
				return confirmation(reply)
			}
		case <-in.timer.C:
			return 0, false, nats.ErrTimeout
		case <-ctx.Done():
			return 0, false, context.Cause(ctx)
		}
	}
}

// confirmation reads the server's answer to a publish.
func confirmation(reply *nats.Msg) (seq uint64, existed bool, err error) {
	if len(reply.Data) == 0 && reply.Header.Get("Status") == "503" {
		return 0, false, jetstream.ErrNoStreamResponse
	}
	if seq, ok := plainAck(reply.Data); ok {
		return seq, false, nil
	}
	return decodeAck(reply.Data)
}

func decodeAck(data []byte) (seq uint64, existed bool, err error) {
	var got struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.PubAck
	}
	switch err := json.Unmarshal(data, &got); {
	case err != nil:
		return 0, false, jetstream.ErrInvalidJSAck
	case got.Error != nil:
		return 0, false, got.Error
	case got.Stream == "":
		return 0, false, jetstream.ErrInvalidJSAck
	}
	return got.Sequence, got.Duplicate, nil
}

// plainAck reads what the server nearly always says, {"stream":"NAME","seq":17}, and
// leaves everything else to the JSON decoder.
func plainAck(data []byte) (seq uint64, ok bool) {
	rest, begins := bytes.CutPrefix(data, []byte(`{"stream":"`))
	name, rest, named := bytes.Cut(rest, []byte(`","seq":`))
	number, ends := bytes.CutSuffix(rest, []byte("}"))
	if !begins || !named || !ends || len(name) == 0 || bytes.ContainsFunc(name, unplain) {
		return 0, false
	}
	if len(number) == 0 || len(number) > len("9007199254740991") || number[0] == '0' {
		return 0, false
	}
	for _, c := range number {
		if c < '0' || c > '9' {
			return 0, false
		}
		seq = seq*10 + uint64(c-'0')
	}
	return seq, true
}

// unplain finds what does not stand for itself in a JSON string.
func unplain(c rune) bool { return c < ' ' || c == '"' || c == '\\' || c == utf8.RuneError }
