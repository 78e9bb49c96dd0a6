package dlq_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fault"
)

func TestLetters_none(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		check := func(when string) {
			t.Helper()
			for _, f := range []dlq.Filter{{}, {Reason: "poison"}, {Type: typ}, {Limit: 3}} {
				if got := p.list(f); got != nil {
					t.Errorf("%s: Letters(%+v) = %v, want none", when, f, got)
				}
			}
			if groups, err := p.box.Groups(t.Context(), dlq.Filter{}, dlq.ByCause); len(groups) != 0 || err != nil {
				t.Errorf("%s: Groups = %v, %v, want none", when, groups, err)
			}
		}
		check("at first")
		p.replay(p.put(p.failed()))
		check("after the last one was replayed")
	})
}

func TestLetters_filters(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		start := time.Now()
		at := func(d time.Duration) dlq.When { return dlq.When{Time: start.Add(d)} }
		put := func(id, typ string, reason fault.Reason, code string, after time.Duration) {
			p.put(p.failed(func(f *dlq.Failed) {
				f.Type, f.Reason, f.Fault = typ, reason, &fault.Error{Kind: fault.Permanent, Code: code}
				f.Event, f.FailedAt = event.New(typ, "/hr", id, nil), start.Add(after)
			}))
		}
		put("a", "employee.onboarded", fault.Rejected, "C1", 0)
		put("b", "employee.onboarded", fault.Expired, "C2", time.Hour)
		put("c", "seal.grant.requested", fault.Rejected, "C1", 2*time.Hour)
		put("a", "seal.grant.requested", fault.Poison, "C3", 3*time.Hour)
		group := p.get(2).Group
		for _, tt := range []struct {
			filter dlq.Filter
			want   []uint64
		}{
			{dlq.Filter{}, []uint64{1, 2, 3, 4}},
			{dlq.Filter{Reason: "rejected"}, []uint64{1, 3}},
			{dlq.Filter{Reason: "invalid"}, nil},
			{dlq.Filter{Type: "seal.grant.requested"}, []uint64{3, 4}},
			{dlq.Filter{Type: "seal.grant"}, nil},
			{dlq.Filter{Type: "employee.onboarded", Reason: "expired"}, []uint64{2}},
			{dlq.Filter{Code: "C1"}, []uint64{1, 3}},
			{dlq.Filter{Code: "C"}, nil},
			{dlq.Filter{Group: group}, []uint64{2}},
			{dlq.Filter{EventID: "a"}, []uint64{1, 4}},
			{dlq.Filter{Since: at(time.Hour)}, []uint64{2, 3, 4}},
			{dlq.Filter{Until: at(time.Hour)}, []uint64{1}},
			{dlq.Filter{Since: at(time.Hour), Until: at(3 * time.Hour)}, []uint64{2, 3}},
			{dlq.Filter{Limit: 1}, []uint64{4}},
			{dlq.Filter{Limit: 3}, []uint64{2, 3, 4}},
			{dlq.Filter{Limit: 4}, []uint64{1, 2, 3, 4}},
			{dlq.Filter{Limit: 1 << 40}, []uint64{1, 2, 3, 4}},
			{dlq.Filter{Limit: 1, Reason: "rejected"}, []uint64{3}},
		} {
			if err := tt.filter.Validate(); err != nil {
				t.Errorf("%+v.Validate() = %v", tt.filter, err)
			}
			if d := cmp.Diff(tt.want, p.list(tt.filter)); d != "" {
				t.Errorf("Letters(%+v) (-want +got):\n%s", tt.filter, d)
			}
		}
	})
}

// TestLetters_many has more letters than come at once, with gaps, and letters that
// come and go while they are listed.
func TestLetters_many(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		const n = 1234
		for range n {
			p.put(p.failed())
		}
		remove := func(id uint64) {
			t.Helper()
			if err := p.letters().DeleteMsg(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []uint64{1, 2, 500, 501, 1000, 1234} {
			remove(id)
		}
		want := make([]uint64, 0, n)
		for id := range uint64(n) {
			if !slices.Contains([]uint64{1, 2, 500, 501, 1000, 1234}, id+1) {
				want = append(want, id+1)
			}
		}
		if d := cmp.Diff(want, p.list(dlq.Filter{})); d != "" {
			t.Errorf("Letters (-want +got):\n%s", d)
		}
		if d := cmp.Diff(want[len(want)-700:], p.list(dlq.Filter{Limit: 700})); d != "" {
			t.Errorf("the newest 700 (-want +got):\n%s", d)
		}
		var got []uint64
		for l, err := range p.box.Letters(t.Context(), dlq.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, l.ID)
			if l.ID == 3 {
				p.put(p.failed()) // after the listing began
				for id := uint64(502); id < 1000; id++ {
					remove(id)
				}
			}
		}
		if last := got[len(got)-1]; !slices.IsSorted(got) || last != 1233 || len(got) > len(want) {
			t.Errorf("while letters were removed: %d listed up to %d, want at most %d in order up to 1233", len(got), last, len(want))
		}
		for _, err := range p.box.Letters(t.Context(), dlq.Filter{}) {
			if err != nil {
				t.Error(err)
			}
			break // an iterator may be left
		}
	})
}

func TestGroups(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		start := time.Now()
		put := func(code, message string, after time.Duration, h nats.Header) {
			p.put(p.failed(func(f *dlq.Failed) {
				f.Fault = &fault.Error{Kind: fault.Permanent, Code: code, Message: message}
				f.FailedAt, f.Header = start.Add(after), h
			}))
		}
		put("A", "user 17 is gone", -3*time.Hour, nil)
		put("B", "", -time.Minute, nil)
		put("A", "user 4711 is gone", -time.Hour, nats.Header{"Dlq-Replays": {"1"}})
		put("A", "user 5 is gone", -2*time.Hour, nil)
		groups, err := p.box.Groups(t.Context(), dlq.Filter{}, dlq.ByCause)
		if err != nil {
			t.Fatal(err)
		}
		recent := func(counts ...int) (hours [2 * dlq.Hours]int) {
			copy(hours[len(hours)-len(counts):], counts)
			return hours
		}
		first, second := p.get(1).Group, p.get(2).Group
		want := []dlq.Group{
			{
				Key: first, ID: first, Reason: "rejected", Code: "A", Type: typ, Message: "user 4711 is gone", Count: 3, Causes: 1,
				First: start.Add(-3 * time.Hour), Last: start.Add(-time.Hour), Recent: recent(1, 0, 1, 0, 1, 0, 0), Again: 1, Replays: 1, Newest: []uint64{1, 3, 4},
			},
			{
				Key: second, ID: second, Reason: "rejected", Code: "B", Type: typ, Count: 1, Causes: 1,
				First: start.Add(-time.Minute), Last: start.Add(-time.Minute), Recent: recent(1), Newest: []uint64{2},
			},
		}
		if d := cmp.Diff(want, groups); d != "" {
			t.Errorf("Groups (-want +got):\n%s", d)
		}
	})
}

// TestGroups_by puts the same letters together in other ways.
func TestGroups_by(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		for i, code := range []string{"A", "B", "A"} {
			p.put(p.failed(func(f *dlq.Failed) {
				f.Fault = &fault.Error{Kind: fault.Permanent, Code: code}
				f.FailedAt = time.Date(2000, 1, 3-i, 12, 0, 0, 0, time.Local)
			}))
		}
		for by, want := range map[dlq.By]string{
			dlq.ByCode: "A 2 1, B 1 1", dlq.ByType: typ + " 3 2", dlq.BySource: "/hr 3 2",
			dlq.ByDay: "2000-01-01 1 1, 2000-01-02 1 1, 2000-01-03 1 1",
		} {
			groups, err := p.box.Groups(t.Context(), dlq.Filter{}, by)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, g := range groups {
				got = append(got, fmt.Sprint(g.Key, " ", g.Count, " ", g.Causes))
			}
			if text := strings.Join(got, ", "); text != want {
				t.Errorf("Groups by %s: key, letters, causes %q, want %q", by, text, want)
			}
		}
	})
}

// TestSetNote: what is noted about a group stands with it, orders the groups and is
// taken back; letters that failed since are counted.
func TestSetNote(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		for _, code := range []string{"A", "A", "B"} {
			p.put(p.failed(func(f *dlq.Failed) { f.Fault = &fault.Error{Kind: fault.Permanent, Code: code} }))
		}
		often, rare := p.get(1).Group, p.get(3).Group
		order := func(want ...string) []dlq.Group {
			t.Helper()
			groups, err := p.box.Groups(t.Context(), dlq.Filter{}, dlq.ByCause)
			if err != nil {
				t.Fatal(err)
			}
			if got := []string{groups[0].ID, groups[1].ID}; !slices.Equal(got, want) {
				t.Errorf("groups %v, want %v", got, want)
			}
			return groups
		}
		note := func(state dlq.State) {
			t.Helper()
			if err := p.box.SetNote(t.Context(), often, dlq.Note{State: state, Why: "call 13812345678", By: "anna@ops"}); err != nil {
				t.Fatal(err)
			}
		}
		order(often, rare)
		note(dlq.StateIgnored)
		noted := time.Now()
		time.Sleep(time.Hour)
		p.put(p.failed(func(f *dlq.Failed) { f.Fault = &fault.Error{Kind: fault.Permanent, Code: "A"} }))
		got := order(rare, often)[1]
		if want := (dlq.Note{State: dlq.StateIgnored, Why: "call ***", By: "anna@ops", At: noted.UTC()}); got.Note != want || got.Since != 1 {
			t.Errorf("note %+v, %d letters since; want %+v, 1", got.Note, got.Since, want)
		}
		note(dlq.StateOpen)
		if got := order(often, rare)[0]; got.Note != (dlq.Note{}) {
			t.Errorf("note %+v after it was taken back", got.Note)
		}
	})
}

// scribble leaves a note on a group that cannot be read, as a later version might.
func (p *post) scribble(group string) {
	p.t.Helper()
	if _, err := p.JS.Publish(p.t.Context(), "$KV."+p.Topology.FleetBucket()+".group."+group, []byte(`{"state":5}`)); err != nil {
		p.t.Fatal(err)
	}
}

// TestGroups_unreadableNote: such a group is open, and the others are as they were.
func TestGroups_unreadableNote(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		l := p.get(p.put(p.failed()))
		other := p.get(p.put(p.failed(func(f *dlq.Failed) { f.Fault.Code = "Other" })))
		p.scribble(l.Group)
		if err := p.box.SetNote(t.Context(), other.Group, dlq.Note{State: dlq.StateIgnored, Why: "known", By: "anna"}); err != nil {
			t.Fatal(err)
		}
		groups, err := p.box.Groups(t.Context(), dlq.Filter{}, dlq.ByCause)
		if err != nil || len(groups) != 2 {
			t.Fatalf("Groups = %v, %v, want two", groups, err)
		}
		if n := groups[0].Note; groups[0].ID != l.Group || !n.Unread || n.State != "" {
			t.Errorf("the first group is %s with the note %+v, want %s, open, its note unread", groups[0].ID, n, l.Group)
		}
		if n := groups[1].Note; n.Unread || n.State != dlq.StateIgnored {
			t.Errorf("the other group's note is %+v, want that it is ignored", n)
		}
	})
}

func TestIsGroup(t *testing.T) {
	for word, want := range map[string]bool{"abc234": true, "a22222": true, "222222": false, "17": false, "abc23": false, "abc019": false, "ABC234": false} {
		if got := dlq.IsGroup(word); got != want {
			t.Errorf("IsGroup(%q) = %t, want %t", word, got, want)
		}
	}
}

// TestLetters_hostile: headers that mean something to servers and clients mean
// nothing in a letter.
func TestLetters_hostile(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		hostile := []nats.Header{
			{"Status": {"404"}},
			{"Status": {"404"}, "Description": {"Message Not Found"}},
			{"Status": {"408"}},
			{"Status": {"100"}, "Description": {"Idle Heartbeat"}},
			{"Status": {"503"}},
			{"Status": {"204"}, "Description": {"EOB"}},
			{"status": {"404"}, "STATUS": {"503"}},
			{"Nats-Sequence": {"1"}, "nats-sequence": {"2"}, "NATS-SEQUENCE": {"3"}, "Nats-Time-Stamp": {"never"}},
			{"Nats-Subject": {"ess.deadletters.poison.x.y"}, "Nats-Stream": {"OTHER"}, "Nats-Num-Pending": {"0"}},
			{"Nats-Expected-Stream": {"OTHER"}, "Nats-Rollup": {"all"}, "Nats-TTL": {"1s"}, "Nats-Schedule": {"@every 1s"}},
			{"Nats-Marker-Reason": {"MaxAge"}, "KV-Operation": {"DEL"}, "Nats-Msg-Id": {"letter|1"}},
			{"Dlq-Reason": {"\x7f"}, "Dlq-Replays": {"-1"}, "Dlq-Origin": {"none"}, "Dlq-Subject": {"$JS.API.STREAM.DELETE.ESS_EVENTS"}},
			{"Dlq-Replays": {"99999999999999999999"}, "Dlq-Origin": {"9223372036854775807"}},
			{"X": {"bare\x0bcontrol\x00\x7f\xff"}},
			{"X-Huge": {strings.Repeat("x", 60_000)}},
		}
		for i, h := range hostile {
			f := p.failed(func(f *dlq.Failed) { f.Header = h })
			id := p.put(f)
			if id != uint64(i)+1 {
				t.Fatalf("letter of %.80v has id %d, want %d", h, id, i+1)
			}
			conforms(t, p.stored("ESS_DEADLETTERS", id).Header)
		}
		ids := p.list(dlq.Filter{})
		if len(ids) != len(hostile) {
			t.Fatalf("%d letters listed, want %d", len(ids), len(hostile))
		}
		for i, id := range ids {
			l := p.get(id)
			r := p.replay(id)
			msg := p.stored("ESS_EVENTS", r.Seq)
			if want := fmt.Sprintf("e%d", i+1); l.EventID != want || r.Duplicate || r.Seq != uint64(i)+1 {
				t.Errorf("letter of %.80v: of event %q replayed as %+v, want %q and a message of its own", hostile[i], l.EventID, r, want)
			}
			for name, values := range hostile[i] {
				if strings.HasPrefix(strings.ToLower(name), "nats-") || strings.HasPrefix(name, "Dlq-") {
					continue
				}
				if d := cmp.Diff(values, msg.Header[name]); d != "" {
					t.Errorf("replayed header %s (-want +got):\n%s", name, d)
				}
			}
		}
	})
}

func TestFilter_Validate(t *testing.T) {
	for _, tt := range []struct {
		filter dlq.Filter
		want   string // the setting it names
	}{
		{dlq.Filter{}, ""},
		{dlq.Filter{Reason: "invalid", Type: "a.b-c_d", Limit: 1}, ""},
		{dlq.Filter{Limit: -1}, "--limit"},
		{dlq.Filter{Reason: "Rejected"}, "--reason"},
		{dlq.Filter{Type: "seal.>"}, "--type"},
		{dlq.Filter{Type: "seal.*"}, "--type"},
		{dlq.Filter{Type: "seal. grant"}, "--type"},
		{dlq.Filter{Type: "seal..grant"}, "--type"},
	} {
		err := tt.filter.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want+": ") {
			t.Errorf("%+v.Validate() = %v, want one that names %q", tt.filter, err, tt.want)
		}
	}
}

func TestFilter_Empty(t *testing.T) {
	for _, f := range []dlq.Filter{{}, {Limit: 3}} {
		if !f.Empty() {
			t.Errorf("%+v.Empty() = false, want true", f)
		}
	}
	for _, f := range []dlq.Filter{
		{Reason: "poison"},
		{Type: typ},
		{Code: "C"},
		{Group: "aaaaaa"},
		{EventID: "e"},
		{Since: dlq.When{Time: time.Unix(1, 0)}},
		{Until: dlq.When{Time: time.Unix(1, 0)}},
	} {
		if f.Empty() {
			t.Errorf("%+v.Empty() = true, want false", f)
		}
	}
}

func TestWhen(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *post) {
		now := time.Now()
		for text, want := range map[string]time.Time{
			"2h": now.Add(-2 * time.Hour), "-2h": now.Add(-2 * time.Hour), "1h30m": now.Add(-90 * time.Minute),
			"2026-11-22T08:00:00Z":      time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
			"2026-11-22T08:00:00+08:00": time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		} {
			var got dlq.When
			if err := got.UnmarshalText([]byte(text)); err != nil || !got.Equal(want) {
				t.Errorf("When(%q) = %v, %v, want %v", text, got, err, want)
			}
		}
		for _, text := range []string{"", "yesterday", "2026-11-22", "3 days"} {
			if err := new(dlq.When).UnmarshalText([]byte(text)); err == nil {
				t.Errorf("When(%q) is no error", text)
			}
		}
	})
}
