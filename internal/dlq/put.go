package dlq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/mask"
	"essworker/internal/stream"
)

const (
	messageLimit  = 1024     // bytes of Dlq-Message, encoded: the contract's 1 KiB
	identityLimit = 3 * 1024 // of an event's id and source: package event takes 1 KiB of each, and they must not be cut
	fieldLimit    = 256      // of every other text of foreign origin
	// condition is room for the headers that make the publish conditional.
	condition = 160
	// headerLimit is how many bytes of headers the server stores with a message,
	// whatever its max_payload (nats-server 2.15, stream.go: error 10097).
	headerLimit = math.MaxUint16
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
	Trace      string    // traceparent of the span that gives it up; empty if nobody traces it
	Schema     string    // digest of the schema that its data fits; empty if it does not, or nobody has looked
	Expires    time.Time // when the event is of no use any more; zero is never
}

// Key names the accepted message, and so its letter: no other message ever has the
// same stream sequence and time.
func Key(seq uint64, stored time.Time) string {
	return event.KeyOfMessage(seq, stored)
}

// Put stores the letter of a failed event and gives its id, which is the same one
// however often the event is put, also with another reason. It returns once the
// letter is confirmed stored, or with an error after which the event must be kept.
func (b *Box) Put(ctx context.Context, f Failed) (id uint64, err error) {
	key := Key(f.StreamSeq, f.Stored)
	msg, conditional := b.letter(f, key, b.maxPayload())
	if f.Deliveries > 1 || !conditional {
		// Longer ago than the duplicate window, and under another reason's subject, the
		// server would not know an earlier letter for the same.
		if id, err := b.Find(ctx, f.Type, f.StreamSeq, f.Stored); id > 0 || err != nil {
			return id, err
		}
	}
	if !conditional {
		ack, err := b.js.PublishMsg(ctx, msg)
		if err != nil {
			return 0, fmt.Errorf("store letter: %w", err)
		}
		return ack.Sequence, nil
	}
	// The id leaves the reason out: a second verdict about the same delivery is a duplicate.
	msg.Header.Set(jetstream.MsgIDHeader, "letter|"+key)
	id, existed, err := b.publisher.Once(ctx, msg)
	if err != nil {
		return 0, fmt.Errorf("store letter: %w", err)
	}
	if existed && id == 0 {
		return b.Find(ctx, f.Type, f.StreamSeq, f.Stored)
	}
	return id, nil
}

// Find gives the id of the letter that an earlier delivery of a message has left,
// or 0 if there is none.
func (b *Box) Find(ctx context.Context, typ string, seq uint64, stored time.Time) (uint64, error) {
	subject := b.topo.LetterSubject("*", typ, Key(seq, stored))
	msg, err := stream.LastFor(ctx, b.js.Conn(), b.topo.LettersStream(), subject)
	if errors.Is(err, stream.ErrNoMessage) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for letter: %w", err)
	}
	return msg.Sequence, nil
}

// letter builds the message: the event's own headers first, then ours for as long as
// they fit into what the server accepts, those first that nothing else tells.
// conditional says whether there is room to make the publish conditional.
func (b *Box) letter(f Failed, key string, maxPayload int) (msg *nats.Msg, conditional bool) {
	msg = &nats.Msg{
		Subject: b.topo.LetterSubject(string(f.Reason), f.Type, key),
		Header:  own(f.Header),
		Data:    f.Data,
	}
	w := newHeaderWriter(msg, maxPayload)
	if conditional = w.room >= condition; conditional {
		w.room -= condition
	}
	replays, origin := Generation(f.Header)
	w.add(hReplays, strconv.Itoa(replays))
	if origin > 0 {
		w.add(hOrigin, strconv.FormatUint(origin, 10))
	}
	w.add(hGroup, groupOf(f.Action, f.Reason, f.Fault.Code, message(f.Fault)))
	w.add(hCode, encode(f.Fault.Code, fieldLimit))
	w.add(hAttempts, strconv.Itoa(f.Attempts))
	w.add(hFailedAt, f.FailedAt.UTC().Format(time.RFC3339Nano))
	w.add(hFirstSeen, f.Stored.UTC().Format(time.RFC3339Nano))
	w.add(hReason, string(f.Reason))
	w.add(hSubject, f.Subject)
	w.add(hEventID, encode(f.Event.ID(), identityLimit))
	w.add(hSource, encode(f.Event.Source(), identityLimit))
	if f.Expires.IsZero() || w.add(hExpires, f.Expires.UTC().Format(time.RFC3339Nano)) {
		w.add(hSchema, f.Schema) // it tells that nobody needs to read the event, for its end neither
	}
	w.add(hTrace, f.Trace)
	w.add(hRequestID, encode(f.Fault.RequestID, fieldLimit))
	w.add(hDeliveries, strconv.FormatUint(f.Deliveries, 10))
	w.add(hStream, f.Stream)
	w.add(hStreamSeq, strconv.FormatUint(f.StreamSeq, 10))
	w.add(hConsumer, f.Consumer)
	w.add(hWorker, encode(b.worker, fieldLimit))
	w.add(hMessage, encode(message(f.Fault), min(messageLimit, w.room-len(hMessage)-perHeader)))
	return msg, conditional
}

// message is the fault's text without its code, which has a header of its own.
// The text of a cause is the one nobody has masked yet.
func message(f *fault.Error) string {
	if f.Message != "" || f.Err == nil {
		return f.Message
	}
	return mask.Text(strings.TrimSpace(f.Err.Error()))
}

// What headers take on the wire beside names and values: "NATS/1.0", the empty line
// at the end, and with each header a colon, a space and the end of its line.
const (
	aroundHeaders = len("NATS/1.0\r\n\r\n")
	perHeader     = len(": \r\n")
)

// headerWriter adds headers to a message for as long as there is room.
type headerWriter struct {
	header nats.Header
	room   int // bytes
}

// newHeaderWriter measures what a message of ours leaves room for.
func newHeaderWriter(msg *nats.Msg, maxPayload int) headerWriter {
	room := min(maxPayload-len(msg.Data), headerLimit) - aroundHeaders
	for name, values := range msg.Header {
		for _, v := range values {
			room -= len(name) + len(v) + perHeader
		}
	}
	return headerWriter{msg.Header, room}
}

// add sets a header unless its value is empty, and reports whether it had room.
func (w *headerWriter) add(name, value string) bool {
	need := len(name) + len(value) + perHeader
	if need > w.room {
		return false
	}
	if value != "" {
		w.header.Set(name, value)
		w.room -= need
	}
	return true
}
