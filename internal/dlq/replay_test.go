package dlq_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/natsconn"
	"essworker/internal/topology"
)

func (p *post) letters() jetstream.Stream {
	p.t.Helper()
	s, err := p.JS.Stream(p.t.Context(), p.Topology.LettersStream())
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// TestReplay follows an event through three generations of letters.
func TestReplay(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		first := p.put(p.failed())
		p.put(p.failed()) // so that ids and generations do not run side by side
		ids := map[string]bool{}
		id := first
		for generation := 1; generation <= 3; generation++ {
			want := p.get(id)
			r := p.replay(id)
			if r.Duplicate || r.Seq != uint64(generation) {
				t.Errorf("generation %d: Replay = %+v, want message %d, no duplicate", generation, r, generation)
			}
			if _, err := p.box.Get(t.Context(), id); !errors.Is(err, dlq.ErrNoLetter) {
				t.Errorf("generation %d: Get of the replayed letter = %v, want ErrNoLetter", generation, err)
			}
			msg := p.stored("ESS_EVENTS", r.Seq)
			wantHeader := map[string]string{"Dlq-Replays": strconv.Itoa(generation), "Dlq-Origin": strconv.FormatUint(first, 10)}
			for name, values := range want.Header {
				wantHeader[name] = strings.Join(values, ",")
			}
			got := map[string]string{}
			for name, values := range msg.Header {
				if !strings.HasPrefix(name, "Nats-") {
					got[name] = strings.Join(values, ",")
				}
			}
			if d := cmp.Diff(wantHeader, got); d != "" || string(msg.Data) != string(want.Data) || msg.Subject != "ess.events."+typ {
				t.Errorf("generation %d: stored on %q with %q and headers (-want +got):\n%s", generation, msg.Subject, msg.Data, d)
			}
			ids[msg.Header.Get("Nats-Msg-Id")] = true

			id = p.put(p.failsAgain(r.Seq))
			l := p.get(id)
			if l.Replays != generation || l.Origin != first {
				t.Errorf("generation %d: letter of replay %d and origin %d, want %d and %d", generation, l.Replays, l.Origin, generation, first)
			}
			conforms(t, p.stored("ESS_DEADLETTERS", id).Header)
		}
		if len(ids) != 3 || ids[""] {
			t.Errorf("message ids %v, want three", ids)
		}
	})
}

func TestReplay_noLetter(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		p.replay(p.put(p.failed()))
		for _, id := range []uint64{0, 1, 2, 1<<64 - 1} {
			if _, err := p.box.Replay(t.Context(), id); !errors.Is(err, dlq.ErrNoLetter) {
				t.Errorf("Replay(%d) = %v, want ErrNoLetter", id, err)
			}
		}
		if got := p.count("ESS_EVENTS"); got != 1 {
			t.Errorf("%d events, want 1", got)
		}
	})
}

// TestReplay_cutOff: the event was stored, the letter not yet removed when the
// replay ended. Again, it is not stored twice.
func TestReplay_cutOff(t *testing.T) {
	withoutRemoval(t, func(t *testing.T, p *post, cut *dlq.Box) {
		id := p.put(p.failed())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := cut.Replay(ctx, id); err == nil {
			t.Fatal("Replay without the right to delete = nil, want an error")
		}
		if letters, events := p.count("ESS_DEADLETTERS"), p.count("ESS_EVENTS"); letters != 1 || events != 1 {
			t.Fatalf("after the cut: %d letters and %d events, want 1 and 1", letters, events)
		}
		time.Sleep(9 * time.Minute) // within the duplicate window
		if r := p.replay(id); r != (dlq.Replayed{Seq: 1, Duplicate: true}) {
			t.Errorf("Replay again = %+v, want message 1, a duplicate", r)
		}
		if letters, events := p.count("ESS_DEADLETTERS"), p.count("ESS_EVENTS"); letters != 0 || events != 1 {
			t.Errorf("in the end: %d letters and %d events, want 0 and 1", letters, events)
		}
	})
}

// TestReplay_atOnce: two operators press the same button.
func TestReplay_atOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		var boxes []*dlq.Box
		for range 4 {
			js, err := jetstream.New(p.Connect(natsconn.Options{}, natsconn.Config{}))
			if err != nil {
				t.Fatal(err)
			}
			boxes = append(boxes, p.open(js))
		}
		for range 20 {
			id, before := p.put(p.failed()), p.count("ESS_EVENTS")
			var done atomic.Int32
			var wg sync.WaitGroup
			for _, box := range boxes {
				wg.Go(func() {
					switch _, err := box.Replay(t.Context(), id); {
					case err == nil:
						done.Add(1)
					case !errors.Is(err, dlq.ErrNoLetter):
						t.Errorf("Replay = %v, want done or ErrNoLetter", err)
					}
				})
			}
			wg.Wait()
			if done.Load() == 0 || p.count("ESS_EVENTS") != before+1 || p.count("ESS_DEADLETTERS") != 0 {
				t.Fatalf("%d replays done, %d events more, %d letters; want one event and no letter", done.Load(), p.count("ESS_EVENTS")-before, p.count("ESS_DEADLETTERS"))
			}
		}
	})
}

// TestReplay_nowhere: a letter whose event cannot be put back stays.
func TestReplay_nowhere(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		_, err := p.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FOREIGN", Subjects: []string{"ess.events.foreign"}})
		if err != nil {
			t.Fatal(err)
		}
		for subject, want := range map[string]string{
			"ess.events.retired.type":         "replay letter 1 to",
			"ess.events.foreign":              "not the events stream",
			"ess.results.employee.bound.x":    "no subject of events",
			"$JS.API.STREAM.PURGE.ESS_EVENTS": "no subject of events",
			"other.events.employee.onboarded": "no subject of events",
			"ess.events.":                     "no subject of events",
			"ess.events.>":                    "replay letter",
			"ess.events.employee.onboarded x": "replay letter",
		} {
			id := p.put(p.failed(func(f *dlq.Failed) { f.Subject = subject }))
			want := strings.Replace(want, "letter 1", fmt.Sprintf("letter %d", id), 1)
			if r, err := p.box.Replay(t.Context(), id); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Replay to %q = %+v, %v, want an error with %q", subject, r, err, want)
			}
			if l := p.get(id); l.Replays != 0 {
				t.Errorf("after a replay to %q the letter is %+v, want it as it was", subject, l)
			}
		}
		if got := p.count("ESS_EVENTS"); got != 0 {
			t.Errorf("%d events, want none", got)
		}
	})
}

// take is a worker that settles the event at seq, with a result or without.
func (p *post) take(seq uint64, success string, e event.Event) {
	p.t.Helper()
	if success != "" {
		subject := p.Topology.ResultSubject(success, event.Key(e.Source(), e.ID()))
		if _, err := p.JS.Publish(p.t.Context(), subject, nil); err != nil {
			p.t.Fatal(err)
		}
	}
	c, err := p.JS.Consumer(p.t.Context(), p.Topology.EventsStream(), topology.Consumer(typ))
	if err != nil {
		p.t.Fatal(err)
	}
	inbox := p.NC.NewInbox() // by hand: the client takes a Status header for the server's
	sub, err := p.NC.SubscribeSync(inbox)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.NC.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.ESS_EVENTS."+c.CachedInfo().Name, inbox, nil); err != nil {
		p.t.Fatal(err)
	}
	msg, err := sub.NextMsgWithContext(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if meta, err := msg.Metadata(); err != nil || meta.Sequence.Stream != seq {
		p.t.Fatalf("took message %v, %v, want %d", meta, err, seq)
	}
	if _, err := p.NC.RequestWithContext(p.t.Context(), msg.Reply, []byte("+ACK")); err != nil {
		p.t.Fatal(err)
	}
}

// TestOutcomes: what becomes of a replayed event is read from the streams it leaves
// something in, and from where it stood.
func TestOutcomes(t *testing.T) {
	const success = "employee.bound"
	inBubble(t, func(t *testing.T, p *post) {
		for _, tt := range []struct {
			name   string
			header nats.Header
			result string
		}{
			{"a success", nil, success},
			{"a letter again", nil, ""},
			{"a failure result", nil, "employee.bind.failed"},
			{"an event that looks like a status", nats.Header{"Status": {"404"}}, success},
			{"another that does", nats.Header{"Status": {"503"}, "Description": {"gone"}}, success},
		} {
			f := p.failed()
			maps.Copy(f.Header, tt.header)
			l := p.get(p.put(f))
			marks, err := p.box.Marks(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r := p.replay(l.ID)
			underway, err := p.box.Underway(t.Context(), marks.Events)
			if want := map[string]uint64{dlq.ReplayID(l): r.Seq}; err != nil || !maps.Equal(underway, want) {
				t.Errorf("%s: Underway = %v, %v, want %v", tt.name, underway, err, want)
			}
			if waiting, err := p.box.Waiting(t.Context(), r.Seq); !waiting || err != nil {
				t.Errorf("%s: Waiting = %t, %v before it is settled, want true", tt.name, waiting, err)
			}
			p.take(r.Seq, tt.result, f.Event)
			if waiting, err := p.box.Waiting(t.Context(), r.Seq); waiting || err != nil {
				t.Errorf("%s: Waiting = %t, %v once it is settled, want false", tt.name, waiting, err)
			}
			var got, want []string
			for res, err := range p.box.Results(t.Context(), marks.Results) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, res.Type+" "+res.Key)
			}
			if tt.result != "" {
				want = []string{tt.result + " " + event.Key(l.Source, l.EventID)}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: Results = %q, want %q", tt.name, got, want)
			}
		}
		if err := p.JS.DeleteStream(t.Context(), "ESS_EVENTS"); err != nil {
			t.Fatal(err)
		}
		if waiting, err := p.box.Waiting(t.Context(), 1); waiting || err == nil {
			t.Errorf("Waiting without the stream = %t, %v, want an error", waiting, err)
		}
	})
}
