package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// headersBatch is how many messages one request brings.
	headersBatch = 4096
	// headersKept is how long the server keeps a consumer that was not deleted.
	headersKept = 30 * time.Second
	// headersQuiet is after how long without a message the server is asked for how many
	// it has.
	headersQuiet = 500 * time.Millisecond
)

// Headers gives the messages from sequence first to sequence last whose subject matches
// the filter, oldest first and without their payloads, which the server does not send.
// It makes a consumer for as long as it runs: for thousands of messages that is several
// times cheaper than [Messages], whose every request has the server count what is to
// come; for a few it is dearer. The stream must not be a work queue. A user who may not
// make a consumer, see [May], reads the dearer way, if the stream allows direct get.
func Headers(ctx context.Context, js jetstream.JetStream, stream, filter string, first, upTo uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		if first > upTo || upTo == 0 {
			return
		}
		if !May(ctx, js.Conn(), "$JS.API.CONSUMER.CREATE."+stream+".any."+filter) {
			for m, err := range Messages(ctx, js.Conn(), stream, filter, first, upTo) {
				if m != nil {
					m.Data = nil
				}
				if !yield(m, err) {
					return
				}
			}
			return
		}
		r, err := openHeaders(ctx, js, stream, filter, max(first, 1))
		if err != nil {
			yield(nil, fmt.Errorf("read headers from %s: %w", stream, err))
			return
		}
		defer r.close(ctx)
		for {
			m, pending, err := r.next(ctx)
			if err != nil {
				yield(nil, fmt.Errorf("read headers from %s: %w", stream, err))
				return
			}
			if m == nil || m.Sequence > upTo || !yield(m, nil) || pending == 0 {
				return
			}
		}
	}
}

// headersReader reads one consumer of its own.
type headersReader struct {
	js           jetstream.JetStream
	stream, name string
	sub          *nats.Subscription
	inbox        chan *nats.Msg
	asked        int // messages of the last request that have not come
}

func openHeaders(ctx context.Context, js jetstream.JetStream, stream, filter string, first uint64) (*headersReader, error) {
	c, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: first, FilterSubject: filter,
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: headersKept,
	})
	if err != nil {
		return nil, err
	}
	r := &headersReader{js: js, stream: stream, name: c.CachedInfo().Name, inbox: make(chan *nats.Msg, headersBatch+1)}
	r.sub, err = js.Conn().ChanSubscribe(js.Conn().NewInbox(), r.inbox)
	return r, err
}

// next gives the next message and how many are behind it; nil if there is none.
func (r *headersReader) next(ctx context.Context) (*jetstream.RawStreamMsg, uint64, error) {
	if r.asked == 0 {
		if err := r.ask(); err != nil {
			return nil, 0, err
		}
	}
	msg, err := r.receive(ctx)
	if msg == nil {
		return nil, 0, err
	}
	// A message is what could be acknowledged, whatever its headers say.
	if strings.HasPrefix(msg.Reply, "$JS.ACK.") {
		r.asked--
		meta, err := msg.Metadata()
		if err != nil {
			return nil, 0, fmt.Errorf("read the place of a message: %w", err)
		}
		return &jetstream.RawStreamMsg{
			Subject: msg.Subject, Sequence: meta.Sequence.Stream, Time: meta.Timestamp.UTC(), Header: msg.Header,
		}, meta.NumPending, nil
	}
	switch status := msg.Header.Get("Status"); status {
	case "404":
		return nil, 0, nil
	case "503":
		return nil, 0, nats.ErrNoResponders
	default:
		return nil, 0, fmt.Errorf("the server answers %s %s", status, msg.Header.Get("Description"))
	}
}

// ask asks for what is there. There is one such request at a time: the server refuses
// a second one before the first is served.
func (r *headersReader) ask() error {
	body, err := json.Marshal(map[string]any{"batch": headersBatch, "no_wait": true})
	if err != nil {
		return err
	}
	r.asked = headersBatch
	return r.js.Conn().PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+r.stream+"."+r.name, r.sub.Subject, body)
}

// receive waits for what comes next. Nothing comes where the messages that were left
// have been removed meanwhile; then it gives nil.
func (r *headersReader) receive(ctx context.Context) (*nats.Msg, error) {
	select {
	case msg := <-r.inbox: // without a timer for each
		return msg, nil
	default:
	}
	for end := time.Now().Add(pageWait); ; {
		select {
		case msg := <-r.inbox:
			return msg, nil
		case <-time.After(headersQuiet):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		c, err := r.js.Consumer(ctx, r.stream, r.name)
		if err != nil {
			return nil, err
		}
		if c.CachedInfo().NumPending == 0 && len(r.inbox) == 0 {
			return nil, nil
		}
		if time.Now().After(end) {
			return nil, context.DeadlineExceeded
		}
	}
}

func (r *headersReader) close(ctx context.Context) {
	_ = r.sub.Unsubscribe() // it fails only on a closed connection
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWait)
	defer cancel()
	_ = r.js.DeleteConsumer(ctx, r.stream, r.name) // else it goes by itself
}
