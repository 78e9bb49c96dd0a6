// Package dlq keeps the events the worker gave up on.
//
// A dead letter is the event byte for byte with headers that say why it is here.
// Its id is its sequence number in the letters stream. Nothing here is ever deleted
// but by an operator's command, and a replayed letter only once its event is
// confirmed stored again.
package dlq

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/topology"
)

// The headers of a letter. Text in them is percent-encoded.
const (
	hReason     = "Dlq-Reason"
	hCode       = "Dlq-Code"
	hMessage    = "Dlq-Message"
	hRequestID  = "Dlq-Request-Id"
	hAttempts   = "Dlq-Attempts"
	hDeliveries = "Dlq-Deliveries"
	hFirstSeen  = "Dlq-First-Seen"
	hFailedAt   = "Dlq-Failed-At"
	hSubject    = "Dlq-Subject"
	hStream     = "Dlq-Stream"
	hStreamSeq  = "Dlq-Stream-Seq"
	hConsumer   = "Dlq-Consumer"
	hWorker     = "Dlq-Worker"
	hReplays    = "Dlq-Replays"
	hOrigin     = "Dlq-Origin"
	hGroup      = "Dlq-Group"
	hEventID    = "Dlq-Event-Id"
	hSource     = "Dlq-Event-Source"
	hSchema     = "Dlq-Schema"
	hExpires    = "Dlq-Expires"
	hTrace      = "Dlq-Trace"      // of a letter and its replays: the span that wrote the letter, as a traceparent
	hMoved      = "Dlq-Moved-From" // of a letter that was discarded or restored: its id before
)

// Letter is one dead letter as it is stored.
type Letter struct {
	ID         uint64       // sequence number in the letters stream
	Reason     fault.Reason // why the worker gave up
	Type       string       // the event type its subject stands for
	Code       string       // the vendor's code, or ours
	Message    string       // masked
	RequestID  string       // the vendor's
	Attempts   int          // vendor calls made
	Deliveries int          // times a worker was handed the event
	FirstSeen  time.Time    // when the event was stored
	FailedAt   time.Time    // when the worker gave up
	Subject    string       // the event's subject, where a replay goes
	Stream     string       // the event's stream and place in it
	StreamSeq  uint64
	Consumer   string
	Worker     string    // host/pid and version of the worker that gave up
	Stored     time.Time // when the letter was stored here
	Replays    int       // times replayed so far
	Origin     uint64    // id of its first letter; 0 on a first letter
	Group      string    // six characters naming the cause
	Key        string    // names the accepted message, wherever its letter goes: see [Key]
	Moved      uint64    // its id before it was last discarded or restored; 0 if it never was, and in listings
	EventID    string    // the event's own id and source; empty if unreadable
	Source     string
	Schema     string      // digest of the schema that its data fit when the worker gave up; empty if nobody has looked
	Expires    time.Time   // when its event is of no use any more; zero is never, or unknown where Schema is empty
	Trace      string      // traceparent of the span that wrote the letter; empty if nobody traced it
	Header     nats.Header // the event's own headers; nil in listings
	Data       []byte      // the event's payload; nil in listings
}

// read makes a Letter of a stored message.
func read(msg *jetstream.RawStreamMsg) Letter {
	l := summary(msg)
	l.Header, l.Data = own(msg.Header), msg.Data
	l.Moved = uint64(number(msg.Header.Get(hMoved))) //nolint:gosec // never negative
	return l
}

// summary is read without the event's headers and payload. Headers of ours that are
// missing, because there was no room for them, are filled in from the subject and from
// the event.
func summary(msg *jetstream.RawStreamMsg) Letter {
	h := msg.Header
	l := Letter{
		ID:         msg.Sequence,
		Stored:     msg.Time,
		Reason:     fault.Reason(h.Get(hReason)),
		Code:       Decode(h.Get(hCode)),
		Message:    Decode(h.Get(hMessage)),
		RequestID:  Decode(h.Get(hRequestID)),
		Attempts:   number(h.Get(hAttempts)),
		Deliveries: number(h.Get(hDeliveries)),
		FirstSeen:  moment(h.Get(hFirstSeen), msg.Time),
		FailedAt:   moment(h.Get(hFailedAt), msg.Time),
		Subject:    h.Get(hSubject),
		Stream:     h.Get(hStream),
		StreamSeq:  uint64(number(h.Get(hStreamSeq))), //nolint:gosec // never negative
		Consumer:   h.Get(hConsumer),
		Worker:     Decode(h.Get(hWorker)),
		Replays:    number(h.Get(hReplays)),
		Origin:     uint64(number(h.Get(hOrigin))), //nolint:gosec // never negative
		Group:      h.Get(hGroup),
		EventID:    Decode(h.Get(hEventID)),
		Source:     Decode(h.Get(hSource)),
		Schema:     h.Get(hSchema),
		Trace:      h.Get(hTrace),
		Expires:    moment(h.Get(hExpires), time.Time{}),
	}
	// <prefix>.deadletters.<reason>.<type, with dots>.<key>
	if tokens := strings.Split(msg.Subject, "."); len(tokens) > 4 {
		l.Key = tokens[len(tokens)-1]
		l.Type = strings.Join(tokens[3:len(tokens)-1], ".")
		l.Reason = cmp.Or(l.Reason, fault.Reason(tokens[2]))
		l.Subject = cmp.Or(l.Subject, topology.Names{Prefix: tokens[0]}.EventSubject(l.Type))
	}
	if h.Get(hStreamSeq) == "" && l.Reason != fault.Poison { // reading what is poison may be what crashes
		e, _ := event.Parse(l.Type, own(h), msg.Data)
		l.EventID, l.Source = cmp.Or(l.EventID, e.ID()), cmp.Or(l.Source, e.Source())
	}
	return l
}

// own are the event's headers: no Nats-*, which are the server's, and no Dlq-*. A
// name that our client cannot write is left out too, or its event could not be kept:
// other clients may send any bytes but a colon, and no attribute of an event has such
// a name.
func own(h nats.Header) nats.Header {
	n := 0
	for name := range h {
		if goesOn(name) {
			n++
		}
	}
	out := make(nats.Header, n)
	for name, values := range h {
		if goesOn(name) {
			out[name] = values
		}
	}
	return out
}

func goesOn(name string) bool { return !foreign(name) && writable(name) }

func foreign(name string) bool {
	return len(name) >= 4 && strings.EqualFold(name[:4], "Dlq-") || len(name) >= 5 && strings.EqualFold(name[:5], "Nats-")
}

// writable is what nats.go takes for the name of a header.
func writable(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"()/,:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

// number reads a count; anything else is 0. So is one that no count can reach, and
// that would overflow when one is added.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1<<53 {
		return 0
	}
	return n
}

func moment(s string, otherwise time.Time) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t
	}
	return otherwise.UTC()
}

// Generation reads from an event's headers how often it was replayed and the id of
// its first letter; zeros if it never was one.
func Generation(h nats.Header) (replays int, origin uint64) {
	for name, values := range h {
		for _, v := range values { // of several the largest: which comes first is chance
			switch {
			case strings.EqualFold(name, hReplays):
				replays = max(replays, number(v))
			case strings.EqualFold(name, hOrigin):
				origin = max(origin, uint64(number(v))) //nolint:gosec // never negative
			}
		}
	}
	return replays, origin
}

// TraceOf is the traceparent of the span that wrote the letter of which an event is a
// replay; empty if there is none.
func TraceOf(h nats.Header) string { return h.Get(hTrace) }
