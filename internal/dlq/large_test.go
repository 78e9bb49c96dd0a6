package dlq_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"essworker/internal/dlq"
	"essworker/internal/event"
)

// wireSize is what a message's headers take on the wire.
func wireSize(h nats.Header) int {
	if len(h) == 0 {
		return 0
	}
	n := len("NATS/1.0\r\n\r\n")
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(": \r\n") + len(v)
		}
	}
	return n
}

// accept stores an event as its publisher would, which the server must take, and
// gives it up.
func (p *post) accept(h nats.Header, data []byte, e event.Event) dlq.Failed {
	p.t.Helper()
	ack, err := p.JS.PublishMsg(p.t.Context(), &nats.Msg{Subject: p.Topology.EventSubject(typ), Header: h, Data: data})
	if err != nil {
		p.t.Fatalf("the server does not take the event itself: %v", err)
	}
	stored := p.stored(p.Topology.EventsStream(), ack.Sequence)
	return p.failed(func(f *dlq.Failed) {
		f.StreamSeq, f.Stored, f.Header, f.Data, f.Event = ack.Sequence, stored.Time, h, data, e
	})
}

// TestPut_large: an event may fill the largest message the server takes, to the last
// byte or nearly. It still becomes one letter that is listed and found, and that is
// replayed, or says why it cannot be.
func TestPut_large(t *testing.T) {
	const payload = 1 << 20 // the server's max_payload
	const mark = len("NATS/1.0\r\n\r\n") + len("Dlq-Replays: 1\r\n")
	inBubble(t, func(t *testing.T, p *post) {
		for _, room := range []int{0, mark - 1, mark, 100, 171, 172, 600} {
			id := fmt.Sprintf("large%d", room)
			body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/hr","type":%q,"data":{"userId":"u","openId":"o"}}`, id, typ)
			data := []byte(body + strings.Repeat(" ", payload-room-len(body)))
			p.large(t, p.accept(nil, data, event.New(typ, "/hr", id, nil)), room >= mark)
		}
	})
}

// TestPut_largeHeaders: whatever max_payload says, the server stores no more than
// 64 KiB of headers with a message.
func TestPut_largeHeaders(t *testing.T) {
	const headers = 1<<16 - 1
	const mark = len("Dlq-Replays: 1\r\n")
	inBubble(t, func(t *testing.T, p *post) {
		for _, room := range []int{0, 1, mark - 1, mark, 100, 160, 1000} {
			f := p.failed()
			f.Header["X-Huge"] = []string{""}
			f.Header["X-Huge"][0] = strings.Repeat("x", headers-room-wireSize(f.Header))
			p.large(t, p.accept(f.Header, f.Data, f.Event), room >= mark)
		}
	})
}

// TestPut_largeAndUnreadable: what has no identity is no duplicate of anything, and
// needs no mark to be replayed.
func TestPut_largeAndUnreadable(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		f := p.accept(nil, make([]byte, 1<<20), event.Event{})
		l := p.get(p.put(f))
		r := p.replay(l.ID)
		if msg := p.stored("ESS_EVENTS", r.Seq); len(msg.Data) != 1<<20 {
			t.Errorf("replayed %d bytes, want %d", len(msg.Data), 1<<20)
		}
	})
}

func (p *post) large(t *testing.T, f dlq.Failed, replayable bool) {
	t.Helper()
	before := p.count("ESS_DEADLETTERS")
	id := p.put(f)
	if again := p.put(f); again != id || p.count("ESS_DEADLETTERS") != before+1 {
		t.Errorf("Put twice = %d and %d, %d letters more; want one", id, again, p.count("ESS_DEADLETTERS")-before)
	}
	if d := cmp.Diff([]uint64{id}, p.list(dlq.Filter{EventID: f.Event.ID()})); d != "" {
		t.Errorf("listed by the event's id (-want +got):\n%s", d)
	}
	l := p.get(id)
	if string(l.Data) != string(f.Data) || !cmp.Equal(f.Header, l.Header, cmp.Comparer(sameHeader)) {
		t.Errorf("%s: letter of %d bytes and headers %.200v, want %d bytes and the event's headers", f.Event.ID(), len(l.Data), l.Header, len(f.Data))
	}
	if l.Reason != f.Reason || l.Type != typ || l.Subject != f.Subject || l.EventID != f.Event.ID() || l.Source != "/hr" {
		t.Errorf("letter = %s %s on %q of %q from %q, want what the event was", l.Reason, l.Type, l.Subject, l.EventID, l.Source)
	}
	r, err := p.box.Replay(t.Context(), id)
	if !replayable {
		if err == nil || !strings.Contains(err.Error(), "max_payload") || p.get(id).ID != id {
			t.Errorf("Replay of %s = %+v, %v, want an error that tells what to do, and the letter kept", f.Event.ID(), r, err)
		}
		return
	}
	if err != nil {
		t.Errorf("Replay of %s: %v", f.Event.ID(), err)
		return
	}
	msg := p.stored("ESS_EVENTS", r.Seq)
	if replays, _ := dlq.Generation(msg.Header); replays != 1 || string(msg.Data) != string(f.Data) {
		t.Errorf("replayed event of %d bytes is marked %d, want %d bytes and 1", len(msg.Data), replays, len(f.Data))
	}
}

// sameHeader takes no header and an empty one for the same.
func sameHeader(a, b nats.Header) bool {
	return len(a) == len(b) && (len(a) == 0 || cmp.Equal(map[string][]string(a), map[string][]string(b)))
}

// TestLetters_large: a listing reads payloads it does not give, and more of them than
// a subscription may hold at a time.
func TestLetters_large(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 80 MiB twice")
	}
	inBubble(t, func(t *testing.T, p *post) {
		const n = 80
		for range n {
			p.put(p.failed(func(f *dlq.Failed) { f.Data = make([]byte, 1<<20-4096) }))
		}
		if got := len(p.list(dlq.Filter{})); got != n {
			t.Errorf("%d letters listed, want %d", got, n)
		}
	})
}
