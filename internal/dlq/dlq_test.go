package dlq_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/natstest"
	"essworker/internal/stream"
	"essworker/schemas"
)

const (
	typ    = "employee.onboarded"
	worker = "host/7 v1.2.3"
)

// post is a deployment's letters, with no worker in it.
type post struct {
	*natstest.Bed

	t   testing.TB
	box *dlq.Box
	n   uint64 // sequence numbers given to failed events
}

func inBubble(t *testing.T, test func(t *testing.T, p *post)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newPost(t)) })
}

func newPost(t testing.TB) *post {
	t.Helper()
	bed := natstest.New(t, typ, "seal.grant.requested", "autosign.link.requested")
	p := &post{Bed: bed, t: t}
	p.box = p.open(bed.JS)
	return p
}

func (p *post) open(js jetstream.JetStream) *dlq.Box {
	p.t.Helper()
	box, err := dlq.Open(p.t.Context(), js, p.Topology.Names, worker)
	if err != nil {
		p.t.Fatal(err)
	}
	return box
}

// failed is an event as a worker would give it up, another one each time.
func (p *post) failed(edit ...func(*dlq.Failed)) dlq.Failed {
	p.t.Helper()
	p.n++
	e := event.New(typ, "/hr", fmt.Sprintf("e%d", p.n), []byte(`{"userId":"u","openId":"o"}`))
	header, data, err := event.Write(e)
	if err != nil {
		p.t.Fatal(err)
	}
	f := dlq.Failed{
		Type: typ, Action: "BindEmployeeUserIdWithClientOpenId", Consumer: "employee-onboarded",
		Stream: p.Topology.EventsStream(), StreamSeq: p.n, Stored: time.Now().Add(-time.Minute), Deliveries: 1,
		Subject: p.Topology.EventSubject(typ), Header: header, Data: data, Event: e,
		Fault:  &fault.Error{Kind: fault.Permanent, Code: "InvalidParameter", Message: "it may not be", RequestID: "r-1"},
		Reason: fault.Rejected, Attempts: 2, FailedAt: time.Now(),
		Schema: schemas.Digest(typ), Expires: time.Now().Add(time.Hour),
	}
	for _, edit := range edit {
		edit(&f)
	}
	return f
}

func (p *post) put(f dlq.Failed) uint64 {
	p.t.Helper()
	id, err := p.box.Put(p.t.Context(), f)
	if err != nil {
		p.t.Fatalf("Put: %v", err)
	}
	return id
}

func (p *post) get(id uint64) dlq.Letter {
	p.t.Helper()
	l, err := p.box.Get(p.t.Context(), id)
	if err != nil {
		p.t.Fatalf("Get(%d): %v", id, err)
	}
	return l
}

func (p *post) replay(id uint64) dlq.Replayed {
	p.t.Helper()
	r, err := p.box.Replay(p.t.Context(), id)
	if err != nil {
		p.t.Fatalf("Replay(%d): %v", id, err)
	}
	return r
}

// list gives the ids a filter selects, in their order.
func (p *post) list(f dlq.Filter) []uint64 {
	p.t.Helper()
	var ids []uint64
	for l, err := range p.box.Letters(p.t.Context(), f) {
		if err != nil {
			p.t.Fatalf("Letters(%+v): %v", f, err)
		}
		if l.Data != nil {
			p.t.Errorf("Letters(%+v) gives letter %d with its payload, want it without", f, l.ID)
		}
		ids = append(ids, l.ID)
	}
	return ids
}

// stored is a message as it lies in its stream.
func (p *post) stored(name string, seq uint64) *jetstream.RawStreamMsg {
	p.t.Helper()
	msg, err := stream.Get(p.t.Context(), p.NC, name, seq)
	if err != nil {
		p.t.Fatalf("message %d of %s: %v", seq, name, err)
	}
	return msg
}

func (p *post) count(name string) uint64 {
	p.t.Helper()
	s, err := p.JS.Stream(p.t.Context(), name)
	if err != nil {
		p.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// failsAgain is what a worker makes of a replayed event that fails once more.
func (p *post) failsAgain(seq uint64) dlq.Failed {
	p.t.Helper()
	msg := p.stored(p.Topology.EventsStream(), seq)
	return p.failed(func(f *dlq.Failed) {
		f.StreamSeq, f.Stored, f.Header, f.Data = seq, msg.Time, msg.Header, msg.Data
		f.Event, _ = event.Parse(typ, msg.Header, msg.Data)
	})
}

func TestPut_saysWhy(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		f := p.failed()
		got := p.get(p.put(f))
		want := dlq.Letter{
			ID: 1, Reason: fault.Rejected, Type: typ, Code: "InvalidParameter", Message: "it may not be", RequestID: "r-1",
			Attempts: 2, Deliveries: 1, FirstSeen: f.Stored, FailedAt: f.FailedAt,
			Subject: "ess.events.employee.onboarded", Stream: "ESS_EVENTS", StreamSeq: 1, Consumer: "employee-onboarded",
			Worker: worker, EventID: "e1", Source: "/hr", Header: f.Header, Data: f.Data,
			Key: dlq.Key(1, f.Stored), Schema: f.Schema, Expires: f.Expires,
		}
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(dlq.Letter{}, "Group", "Stored")); d != "" {
			t.Errorf("letter (-want +got):\n%s", d)
		}
		msg := p.stored("ESS_DEADLETTERS", 1)
		if want := "ess.deadletters.rejected.employee.onboarded." + dlq.Key(1, f.Stored); msg.Subject != want {
			t.Errorf("subject %q, want %q", msg.Subject, want)
		}
		conforms(t, msg.Header)
		if got := msg.Header.Get("Dlq-Replays"); got != "0" {
			t.Errorf("Dlq-Replays is %q, want 0", got)
		}
		if _, there := msg.Header["Dlq-Origin"]; there {
			t.Error("a first letter has an origin")
		}
	})
}

// conforms holds a letter's headers to their schema.
func conforms(t testing.TB, h nats.Header) {
	t.Helper()
	flat := map[string]string{}
	for name, values := range h {
		if !strings.HasPrefix(name, "Nats-") { // the server's own, and what made the publish conditional
			flat[name] = strings.Join(values, ",")
		}
	}
	text, err := json.Marshal(flat)
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate("letter.headers", text); err != nil {
		t.Errorf("the headers of a letter break their schema: %v\n%s", err, text)
	}
}

// TestPut_keepsTheEvent: byte for byte, and its headers but for what is not its own.
func TestPut_keepsTheEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		theirs := nats.Header{
			"ce-id": {"1"}, "CE-ID": {"2"}, "ce-Source": {"%2Fhr"}, "X-Many": {"a", "b", "a"}, "X-Empty": {""},
			"X-Raw": {"典子谦 \"quoted\" %"}, "Natsy": {"kept"}, "dlqx": {"kept"}, "Status": {"404"}, "Description": {"no"},
		}
		f := p.failed(func(f *dlq.Failed) {
			f.Data, f.Header = every, maps.Clone(theirs)
			maps.Copy(f.Header, nats.Header{
				"Nats-Msg-Id": {"x"}, "NATS-TTL": {"1s"}, "nats-rollup": {"all"}, "Nats-Sequence": {"9"},
				"Dlq-Reason": {"poison"}, "DLQ-GROUP": {"aaaaaa"}, "dlq-anything": {"x"}, "Dlq-Event-Id": {"forged"},
				"no name": {"x"}, "naïve": {"x"}, "": {"x"}, "a\x00b": {"x"},
			})
		})
		l := p.get(p.put(f))
		if d := cmp.Diff(theirs, l.Header); d != "" {
			t.Errorf("headers (-want +got):\n%s", d)
		}
		if d := cmp.Diff(every, l.Data); d != "" {
			t.Errorf("payload (-want +got):\n%s", d)
		}
		if l.Reason != fault.Rejected || l.EventID != "e1" {
			t.Errorf("letter says %s of event %q, want rejected of e1: not what the event's headers say", l.Reason, l.EventID)
		}
		if d := cmp.Diff([]uint64{l.ID}, p.list(dlq.Filter{})); d != "" {
			t.Errorf("listing (-want +got):\n%s", d)
		}
		r := p.replay(l.ID)
		msg := p.stored("ESS_EVENTS", r.Seq)
		own := nats.Header{}
		for name, values := range msg.Header {
			if !strings.HasPrefix(name, "Nats-") && !strings.HasPrefix(name, "Dlq-") {
				own[name] = values
			}
		}
		if d := cmp.Diff(theirs, own); d != "" {
			t.Errorf("headers of the replayed event (-want +got):\n%s", d)
		}
		if d := cmp.Diff(every, msg.Data); d != "" {
			t.Errorf("payload of the replayed event (-want +got):\n%s", d)
		}
	})
}

func TestPut_twiceIsOneLetter(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		f := p.failed()
		first := p.put(f)
		p.put(p.failed()) // somebody else's
		other := f
		other.Reason, other.Fault = fault.Poison, &fault.Error{Kind: fault.Permanent, Code: "NoTrace"}
		late := other
		late.Deliveries = 4
		for name, again := range map[string]dlq.Failed{"the same": f, "another reason": other} {
			if id := p.put(again); id != first {
				t.Errorf("Put of %s = %d, want %d", name, id, first)
			}
		}
		time.Sleep(time.Hour) // the server has forgotten the message's id
		for name, again := range map[string]dlq.Failed{"the same, late": f, "another reason, late": late} {
			if id := p.put(again); id != first {
				t.Errorf("Put of %s = %d, want %d", name, id, first)
			}
		}
		if got := p.count("ESS_DEADLETTERS"); got != 2 {
			t.Errorf("%d letters, want 2", got)
		}
		if got := p.get(first).Reason; got != fault.Rejected {
			t.Errorf("the letter's reason is %s, want the first, rejected", got)
		}
		// A sequence number given again by a stream made anew is another message.
		f.Stored = f.Stored.Add(time.Nanosecond)
		if id := p.put(f); id == first {
			t.Errorf("Put of a message stored at another time = %d, the letter of the first", id)
		}
	})
}

func TestFind(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		f := p.failed(func(f *dlq.Failed) { f.Reason = fault.Expired })
		for _, want := range []uint64{0, 1} {
			got, err := p.box.Find(t.Context(), f.Type, f.StreamSeq, f.Stored)
			if got != want || err != nil {
				t.Errorf("Find = %d, %v, want %d", got, err, want)
			}
			p.put(f)
		}
		for name, key := range map[string]struct {
			typ    string
			seq    uint64
			stored time.Time
		}{
			"type": {"seal.grant.requested", f.StreamSeq, f.Stored}, "sequence": {f.Type, 2, f.Stored}, "time": {f.Type, f.StreamSeq, time.Now()},
		} {
			if got, err := p.box.Find(t.Context(), key.typ, key.seq, key.stored); got != 0 || err != nil {
				t.Errorf("Find with another %s = %d, %v, want 0", name, got, err)
			}
		}
	})
}

// TestPut_identity: what package event takes for an id or a source is never cut,
// however it is written: it leads to the event's result.
func TestPut_identity(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		id, source := strings.Repeat("%", 1024), "/"+strings.Repeat("谦", 341)
		f := p.failed(func(f *dlq.Failed) { f.Event = event.New(typ, source, id, nil) })
		l := p.get(p.put(f))
		if l.EventID != id || l.Source != source {
			t.Errorf("event %.20q... of %d bytes from %.20q... of %d, want 1024 and 1024", l.EventID, len(l.EventID), l.Source, len(l.Source))
		}
		conforms(t, p.stored("ESS_DEADLETTERS", l.ID).Header)
	})
}

// TestPut_unmaskedCause: a fault nobody classified has a cause whose text nobody masked.
func TestPut_unmaskedCause(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		f := p.failed(func(f *dlq.Failed) {
			f.Fault = fault.Of(fmt.Errorf("dial 620000198802020000:\r\n%w", context.DeadlineExceeded))
		})
		l := p.get(p.put(f))
		if want := "dial ***:  context deadline exceeded"; l.Message != want || l.Code != "Unclassified" {
			t.Errorf("letter says %s %q, want Unclassified %q", l.Code, l.Message, want)
		}
	})
}

func TestGroup(t *testing.T) {
	says := func(message string) func(*dlq.Failed) {
		return func(f *dlq.Failed) {
			f.Fault = &fault.Error{Kind: fault.Permanent, Code: "InvalidParameter", Message: message}
		}
	}
	inBubble(t, func(t *testing.T, p *post) {
		group := func(edit ...func(*dlq.Failed)) string { return p.get(p.put(p.failed(edit...))).Group }
		for _, same := range [][]string{
			{"user yDRS4UUgygqdcj56UuO4zjExBQcOiB68 is gone", "user n9527 is gone", "user 0 is gone", "User  n9527  is gone"},
			{"用户 yDRS4UUgygqdcj56UuO4zjExBQcOiB68 不存在", "用户 n9527 不存在"},
			{"at 12:30:01 of 2026-11-22", "at 01:02:03 of 2000-01-01"},
			{"request fc0b4e2a-9d53-4a3e-8f27-7b1f3d0f9e11", "request 0190b3c2-7d4e-7c1a-8f3e-5b1d2c3a4e5f"},
			{"no answer within 35s", "no answer within 5s"},
		} {
			for _, message := range same[1:] {
				if a, b := group(says(same[0])), group(says(message)); a != b {
					t.Errorf("%q and %q are groups %s and %s, want one", same[0], message, a, b)
				}
			}
		}
		seen := map[string]string{}
		for name, edit := range map[string]func(*dlq.Failed){
			"none":    func(*dlq.Failed) {},
			"reason":  func(f *dlq.Failed) { f.Reason = fault.Exhausted },
			"action":  func(f *dlq.Failed) { f.Action = "Other" },
			"code":    func(f *dlq.Failed) { f.Fault = &fault.Error{Code: "Other", Message: f.Fault.Message} },
			"message": says("something else"),
		} {
			g := group(edit)
			if len(g) != 6 || strings.Trim(g, "abcdefghijklmnopqrstuvwxyz234567") != "" {
				t.Errorf("group %q, want six of a-z and 2-7", g)
			}
			if other, there := seen[g]; there {
				t.Errorf("another %s and another %s give one group, %s", name, other, g)
			}
			seen[g] = name
		}
	})
}

func TestGeneration(t *testing.T) {
	for _, tt := range []struct {
		header  nats.Header
		replays int
		origin  uint64
	}{
		{nil, 0, 0},
		{nats.Header{"Dlq-Replays": {"2"}, "Dlq-Origin": {"17"}}, 2, 17},
		{nats.Header{"dlq-replays": {"2"}, "DLQ-ORIGIN": {"17"}}, 2, 17},
		{nats.Header{"Dlq-Replays": {}, "Dlq-Origin": {"", "x", "3"}}, 0, 3},
		{nats.Header{"Dlq-Replays": {"1"}, "dlq-replays": {"4", "2"}, "DLQ-REPLAYS": {"3"}}, 4, 0},
		{nats.Header{"Dlq-Replays": {"-1"}, "Dlq-Origin": {"1e3"}}, 0, 0},
		{nats.Header{"Dlq-Replays": {"9223372036854775807"}, "Dlq-Origin": {"18446744073709551615"}}, 0, 0}, // one more would overflow
		{nats.Header{"Dlq-Replays": {"99999999999999999999"}, "Dlq-Reason": {"5"}}, 0, 0},
	} {
		if replays, origin := dlq.Generation(tt.header); replays != tt.replays || origin != tt.origin {
			t.Errorf("Generation(%v) = %d, %d, want %d, %d", tt.header, replays, origin, tt.replays, tt.origin)
		}
	}
}
