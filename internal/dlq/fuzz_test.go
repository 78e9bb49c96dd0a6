package dlq_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fault"
)

// FuzzPut: whatever bytes the vendor answers and an event holds, there is a letter,
// its headers are plain text of a bounded size, and it reads as it was written.
func FuzzPut(f *testing.F) {
	for _, s := range []string{
		"", " ", "%", "%41", "%zz", "InvalidParameter", "该openid已绑定其他userid，请解绑后重试", "a\r\nNats-Rollup: all\r\n\r\n",
		"\x00\x01\x7f\x80\xff", "\xe5\x85", "\ufffd", " edges ", "tab\t", strings.Repeat("%", 2000), strings.Repeat("谦", 2000), strings.Repeat("a ", 2000),
	} {
		f.Add(s, s, s, s, []byte(s))
	}
	p := newPost(f)
	f.Fuzz(func(t *testing.T, code, message, requestID, id string, data []byte) {
		p.t = t
		began := time.Now()
		put := p.failed(func(f *dlq.Failed) {
			f.Fault = &fault.Error{Kind: fault.Permanent, Code: code, Message: message, RequestID: requestID}
			f.Event, f.Data = event.New(typ, "/hr", id, nil), data
			f.StreamSeq = uint64(began.UnixNano()) //nolint:gosec // of its own, also beside other fuzzing processes
		})
		letter := p.put(put)
		header := p.stored("ESS_DEADLETTERS", letter).Header
		if code == "" {
			header.Set("Dlq-Code", "None") // every fault has one; here it may be anything
		}
		conforms(t, header)
		for name, most := range map[string]int{"Dlq-Code": 256, "Dlq-Message": 1024, "Dlq-Request-Id": 256, "Dlq-Event-Id": 3072} {
			if v := header.Get(name); len(v) > most || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s: %q of %d bytes, want printable ASCII of at most %d", name, v, len(v), most)
			}
		}
		got := p.get(letter)
		readsAs(t, "code", got.Code, code, 256)
		readsAs(t, "message", got.Message, message, 1024)
		readsAs(t, "request id", got.RequestID, requestID, 256)
		readsAs(t, "event id", got.EventID, id, 3072)
		if string(got.Data) != string(data) {
			t.Errorf("payload %q, want %q", got.Data, data)
		}
	})
}

// readsAs wants the text, or as much of its beginning as has room when every byte
// takes three, cut between characters.
func readsAs(t *testing.T, name, got, text string, room int) {
	t.Helper()
	switch {
	case got == text:
	case 3*len(text) <= room, len(got) < room/3-utf8.UTFMax, !strings.HasPrefix(text, got):
		t.Errorf("%s reads %q of %d bytes, want %q of %d", name, got, len(got), text, len(text))
	case utf8.ValidString(text) && !utf8.ValidString(got):
		t.Errorf("%s is cut within a character: %q", name, got)
	}
}
