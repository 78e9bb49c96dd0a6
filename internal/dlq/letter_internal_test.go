package dlq

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/topology"
	"essworker/schemas"
)

// FuzzLetter: whatever bytes the vendor answers and an event holds, the letter's
// headers are plain text of a bounded size that fits the server, and it reads as it
// was written.
func FuzzLetter(f *testing.F) {
	for _, s := range []string{
		"", " ", "%", "%41", "%zz", "InvalidParameter", "该openid已绑定其他userid，请解绑后重试", "a\r\nNats-Rollup: all\r\n\r\n",
		"\x00\x01\x7f\x80\xff", "\xe5\x85", "\ufffd", " edges ", "tab\t", strings.Repeat("%", 2000), strings.Repeat("谦", 2000), strings.Repeat("a ", 2000),
	} {
		f.Add(s, s, s, s, s, []byte(s), 1<<20)
		f.Add("", "", "", "X-"+s, s, []byte(s), 300)
	}
	box := &Box{topo: topology.Names{Prefix: "ess"}, worker: "host/7 v1"}
	const typ = "employee.onboarded"
	f.Fuzz(func(t *testing.T, code, message, requestID, name, value string, data []byte, maxPayload int) {
		header := nats.Header{"Dlq-Replays": {"1"}, name: {value}}
		if maxPayload > 8<<20 || maxPayload < wire(own(header))+len(data) || wire(own(header)) > headerLimit {
			t.Skip("the server would not have taken the event itself")
		}
		stored := time.Unix(1, 2).UTC()
		msg, conditional := box.letter(Failed{
			Type: typ, Action: "A", Consumer: "c", Stream: "ESS_EVENTS", StreamSeq: 17, Stored: stored, Deliveries: 3,
			Subject: "ess.events." + typ, Header: header, Data: data, Event: event.New(typ, "/hr", value, nil),
			Fault:  &fault.Error{Kind: fault.Permanent, Code: "C" + code, Message: message, RequestID: requestID},
			Reason: fault.Rejected, Attempts: 2, FailedAt: stored,
		}, Key(17, stored), maxPayload)

		if conditional {
			msg.Header.Set(jetstream.MsgIDHeader, "letter|"+Key(17, stored))
			msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
		}
		if n := wire(msg.Header); n+len(data) > maxPayload || n > headerLimit {
			t.Errorf("headers of %d bytes and a payload of %d do not fit into %d", n, len(data), maxPayload)
		}
		printable(t, msg.Header, "Dlq-Code", 256)
		printable(t, msg.Header, "Dlq-Message", 1024)
		printable(t, msg.Header, "Dlq-Request-Id", 256)
		printable(t, msg.Header, "Dlq-Event-Id", 3072)

		l := read(&jetstream.RawStreamMsg{Subject: msg.Subject, Sequence: 5, Time: stored, Header: msg.Header, Data: msg.Data})
		if l.Reason != fault.Rejected || l.Type != typ || l.Subject != "ess.events."+typ || string(l.Data) != string(data) {
			t.Errorf("letter reads %+v, not as it was written", l)
		}
		if l.StreamSeq == 0 {
			return // cut, for want of room
		}
		conforms(t, msg.Header)
		reads(t, "code", l.Code, "C"+code, 256)
		reads(t, "request id", l.RequestID, requestID, 256)
		reads(t, "event id", l.EventID, value, 3072)
		if maxPayload-len(data) > 16<<10 && wire(own(header)) < 8<<10 {
			reads(t, "message", l.Message, message, 1024)
			if l.Replays != 1 || l.Worker != "host/7 v1" || len(l.Group) != 6 {
				t.Errorf("letter reads %+v, want everything in it", l)
			}
		}
	})
}

// wire is what headers take on the wire.
func wire(h nats.Header) int {
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

func printable(t *testing.T, h nats.Header, name string, most int) {
	t.Helper()
	if v := h.Get(name); len(v) > most || v != strings.TrimSpace(v) || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%s: %q of %d bytes, want printable ASCII of at most %d with no space around it", name, v, len(v), most)
	}
}

// reads wants the text, or as much of its beginning as has room when every byte
// takes three, cut between characters.
func reads(t *testing.T, name, got, text string, room int) {
	t.Helper()
	switch {
	case got == text:
	case 3*len(text) <= room, len(got) < room/3-utf8.UTFMax, !strings.HasPrefix(text, got):
		t.Errorf("%s reads %q of %d bytes, want %q of %d", name, got, len(got), text, len(text))
	case utf8.ValidString(text) && !utf8.ValidString(got):
		t.Errorf("%s is cut within a character: %q", name, got)
	}
}

func conforms(t *testing.T, h nats.Header) {
	t.Helper()
	flat := map[string]string{}
	for name := range h {
		flat[name] = h.Get(name)
	}
	text, err := json.Marshal(flat)
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate("letter.headers", text); err != nil {
		t.Errorf("the headers of a letter break their schema: %v\n%s", err, text)
	}
}
