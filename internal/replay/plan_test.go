package replay_test

import (
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/replay"
)

// TestPlan says for each letter whether it is replayed, and why not.
func TestPlan(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		again := func(replays int, ago time.Duration) func(*dlq.Failed) {
			return func(f *dlq.Failed) {
				f.Header["Dlq-Replays"] = []string{strconv.Itoa(replays)}
				f.FailedAt = time.Now().Add(-ago)
			}
		}
		code := func(reason fault.Reason, code string) func(*dlq.Failed) {
			return func(f *dlq.Failed) { f.Reason, f.Fault = reason, &fault.Error{Kind: fault.Transient, Code: code} }
		}
		link := func(expires time.Time) func(*dlq.Failed) {
			return func(f *dlq.Failed) {
				y.link(f)
				f.Schema, f.Data = "", fmt.Appendf(f.Data[:len(f.Data)-1], `,"expiresAt":%q}`, expires.Format(time.RFC3339))
			}
		}
		verdicts := []struct {
			edit   func(*dlq.Failed)
			want   replay.Verdict
			forced replay.Verdict
		}{
			{func(*dlq.Failed) {}, replay.Eligible, replay.Eligible},
			{again(1, 59*time.Second), replay.Cooling, replay.Eligible},
			{again(1, 61*time.Second), replay.Eligible, replay.Eligible},
			{again(2, 61*time.Second), replay.Cooling, replay.Eligible},
			{again(2, 121*time.Second), replay.Eligible, replay.Eligible},
			{again(3, time.Hour), replay.Often, replay.Eligible},
			{code(fault.Exhausted, "Timeout"), replay.Unseen, replay.Eligible},
			{code(fault.Exhausted, "HTTP502"), replay.Unseen, replay.Eligible},
			{code(fault.Exhausted, "InternalError"), replay.Eligible, replay.Eligible},
			{code(fault.Poison, "NoTrace"), replay.Unseen, replay.Eligible},
			{func(f *dlq.Failed) { f.Schema, f.Data = "", []byte(`{"userId":7}`) }, replay.Unfit, replay.Unfit},
			{func(f *dlq.Failed) { f.Schema, f.Data = "0123456789ab", []byte("no JSON") }, replay.Unfit, replay.Unfit}, // it fit a schema of before
			{func(f *dlq.Failed) { f.Schema = "" }, replay.Eligible, replay.Eligible},
			{func(f *dlq.Failed) { f.Expires = time.Now().Add(-time.Second) }, replay.Expired, replay.Expired},
			{func(f *dlq.Failed) { f.Expires = time.Now().Add(time.Hour) }, replay.Eligible, replay.Eligible},
			{func(f *dlq.Failed) { f.Type, f.Subject = "retired.type", "ess.events.retired.type" }, replay.NoLane, replay.NoLane},
			{link(time.Now().Add(-time.Minute)), replay.Expired, replay.Expired},
			{link(time.Now().Add(time.Hour)), replay.Eligible, replay.Eligible},
			{func(f *dlq.Failed) {
				if _, err := y.JS.Publish(t.Context(), y.Topology.ResultSubject("employee.bound", event.Key(source, f.Event.ID())), nil); err != nil {
					t.Fatal(err)
				}
			}, replay.Succeeded, replay.Succeeded},
		}
		want, forced := map[uint64]replay.Verdict{}, map[uint64]replay.Verdict{}
		for _, v := range verdicts {
			id := y.letter(v.edit)
			want[id], forced[id] = v.want, v.forced
		}
		for _, force := range []bool{false, true} {
			got := map[uint64]replay.Verdict{}
			o := orders
			o.Force, o.Why = force, "mended"
			p, err := y.office.Plan(t.Context(), replay.Choice{}, o, func(l dlq.Letter, v replay.Verdict) error {
				got[l.ID] = v
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if force {
				want = forced
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("force %t (-want +got):\n%s", force, d)
			}
			refused := 0
			for _, r := range p.Refused {
				refused += r.Letters
			}
			if p.Letters != len(verdicts) || p.Eligible+refused != p.Letters || len(p.Lanes) != 2 || p.Types[typ]+p.Types["autosign.link.requested"] != p.Eligible {
				t.Errorf("force %t: the plan is %+v", force, p)
			}
		}
	})
}

// TestPlan_frozen: what is selected does not drift.
func TestPlan_frozen(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.put(20)
		newest := y.plan(replay.Choice{Filter: dlq.Filter{Limit: 5}}, orders)
		upTo := y.plan(replay.Choice{UpTo: 7}, orders)
		some := y.plan(replay.Choice{IDs: []uint64{9, 3, 3, 99}}, orders)
		y.put(10)
		for name, tt := range map[string]struct {
			plan    replay.Plan
			first   uint64
			last    uint64
			letters int
		}{
			"the newest five": {newest, 16, 20, 5},
			"up to an id":     {upTo, 1, 7, 7},
			"by their ids":    {some, 3, 99, 2},
		} {
			s := tt.plan.Selection
			if s.First != tt.first || s.Last != tt.last || tt.plan.Letters != tt.letters || tt.plan.Eligible != tt.letters {
				t.Errorf("%s: %+v", name, tt.plan)
			}
		}
		if d := cmp.Diff([]uint64{99}, some.Missing); d != "" || len(some.Selection.IDs) != 2 {
			t.Errorf("missing (-want +got):\n%s", d)
		}
		stop, _ := y.worker()
		defer stop()
		j := replay.Draft(newest, orders)
		if err := y.office.Create(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		y.until(j.ID, time.Minute, "over", over)
		_, succeeded := y.fates()
		want := map[string]int{"e15": 1, "e16": 1, "e17": 1, "e18": 1, "e19": 1}
		if !maps.Equal(succeeded, want) {
			t.Errorf("replayed %v, want %v", succeeded, want)
		}
	})
}
