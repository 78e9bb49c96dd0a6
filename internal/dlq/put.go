package dlq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/stream"
)

const (
	messageLimit = 1024 // bytes of Dlq-Message, encoded: the contract's 1 KiB
	fieldLimit   = 256  // bytes of every other text of foreign origin
	// condition is room for the headers that make the publish conditional.
	condition = 160
)

// Failed is an event the worker gives up on.
type Failed struct {
	Type       string // the type its subject stands for
	Action     string // the vendor action it asked for
	Consumer   string
	Stream     string
	StreamSeq  uint64
	Stored     time.Time // when the event was stored
	Deliveries uint64
	Subject    string
	Header     nats.Header // as delivered
	Data       []byte
	Event      event.Event // as far as it could be read
	Fault      *fault.Error
	Reason     fault.Reason
	Attempts   int // vendor calls made
	FailedAt   time.Time
}

// Key names the accepted message, and so its letter: no other message ever has the
// same stream sequence and time.
func Key(seq uint64, stored time.Time) string {
	return event.KeyOfMessage(seq, stored)
}

// Put stores the letter of a failed event and gives its id, which is the same one
// however often the same delivery of the event is put. It returns once the letter is
// confirmed stored, or with an error after which the event must be kept.
func (b *Box) Put(ctx context.Context, f Failed) (id uint64, err error) {
	key := Key(f.StreamSeq, f.Stored)
	msg := b.letter(f, key)
	if size(msg.Header)+len(msg.Data)+condition > int(b.js.Conn().MaxPayload()) {
		ack, err := b.js.PublishMsg(ctx, msg) // no room for a condition
		if err != nil {
			return 0, fmt.Errorf("store letter: %w", err)
		}
		return ack.Sequence, nil
	}
	// The id leaves the reason out: a second verdict about the same delivery is a duplicate.
	msg.Header.Set(jetstream.MsgIDHeader, "letter|"+key)
	id, existed, err := stream.PublishOnce(ctx, b.js, msg)
	if err != nil {
		return 0, fmt.Errorf("store letter: %w", err)
	}
	if existed && id == 0 {
		return b.find(ctx, msg.Subject)
	}
	return id, nil
}

// Find gives the id of the letter that an earlier delivery of a message has left,
// or 0 if there is none.
func (b *Box) Find(ctx context.Context, typ string, seq uint64, stored time.Time) (uint64, error) {
	return b.find(ctx, b.topo.LetterSubject("*", typ, Key(seq, stored)))
}

func (b *Box) find(ctx context.Context, subject string) (uint64, error) {
	msg, err := stream.LastFor(ctx, b.js.Conn(), b.topo.LettersStream(), subject)
	if errors.Is(err, stream.ErrNoMessage) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for letter: %w", err)
	}
	return msg.Sequence, nil
}

// letter builds the message: the event's own headers first, then ours in the order
// of their worth for as long as they fit into what the server accepts.
func (b *Box) letter(f Failed, key string) *nats.Msg {
	msg := &nats.Msg{
		Subject: b.topo.LetterSubject(string(f.Reason), f.Type, key),
		Header:  own(f.Header),
		Data:    f.Data,
	}
	room := int(b.js.Conn().MaxPayload()) - len(f.Data) - size(msg.Header) - condition
	add := func(name, value string) {
		if need := len(name) + len(value) + 4; value != "" && need <= room {
			msg.Header.Set(name, value)
			room -= need
		}
	}
	replays, origin := Generation(f.Header)
	add(hReason, string(f.Reason))
	add(hSubject, f.Subject)
	add(hReplays, strconv.Itoa(replays))
	if origin > 0 {
		add(hOrigin, strconv.FormatUint(origin, 10))
	}
	add(hGroup, groupOf(f.Action, f.Reason, f.Fault.Code, f.Fault.Message))
	add(hCode, encode(f.Fault.Code, fieldLimit))
	add(hAttempts, strconv.Itoa(f.Attempts))
	add(hFailedAt, f.FailedAt.UTC().Format(time.RFC3339Nano))
	add(hFirstSeen, f.Stored.UTC().Format(time.RFC3339Nano))
	add(hEventID, encode(f.Event.ID(), messageLimit))
	add(hSource, encode(f.Event.Source(), messageLimit))
	add(hRequestID, encode(f.Fault.RequestID, fieldLimit))
	add(hDeliveries, strconv.FormatUint(f.Deliveries, 10))
	add(hStream, f.Stream)
	add(hStreamSeq, strconv.FormatUint(f.StreamSeq, 10))
	add(hConsumer, f.Consumer)
	add(hWorker, encode(b.worker, fieldLimit))
	add(hMessage, encode(message(f.Fault), min(messageLimit, max(0, room-len(hMessage)-4))))
	return msg
}

// message is the fault's text without its code, which has a header of its own.
func message(f *fault.Error) string {
	if f.Message != "" || f.Err == nil {
		return f.Message
	}
	return strings.TrimSpace(f.Err.Error())
}

// size is what headers take on the wire.
func size(h nats.Header) int {
	if len(h) == 0 {
		return 0
	}
	n := len("NATS/1.0\r\n\r\n")
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}
