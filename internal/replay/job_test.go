package replay_test

import (
	"strings"
	"testing"
	"time"

	"essworker/internal/esssim"
	"essworker/internal/replay"
)

// TestJob is a job from its plan to its report.
func TestJob(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(1000)
		j := y.create(replay.Choice{}, orders)
		y.letter() // too late for it
		j = y.until(j.ID, time.Minute, "over", over)
		if j.State != replay.Done || j.Seen.Succeeded != 1000 || j.Seen.Stored != 1000 || j.Letters != 1000 {
			t.Errorf("the job ended as %+v", j)
		}
		if got := y.count(y.Topology.LettersStream()); got != 1 {
			t.Errorf("%d letters, want the one that was not selected", got)
		}
		y.checkOnce()
		var batches []replay.Batch
		for n := range j.Batches {
			b, err := y.office.Batch(t.Context(), j.ID, n)
			if err != nil {
				t.Fatal(err)
			}
			batches = append(batches, b)
		}
		ids := map[uint64]bool{}
		for _, b := range batches {
			for _, s := range b.Sent {
				ids[s.ID] = s.Outcome == replay.Good && s.Seq > 0
			}
		}
		if len(ids) != 1000 || !ids[1] || !ids[1000] {
			t.Errorf("the report has %d letters, want each with its outcome", len(ids))
		}
		if first, second := len(batches[0].Sent), len(batches[1].Sent); first != 1 || second != 5 {
			t.Errorf("it began with %d and %d letters, want a canary of 1 and 5", first, second)
		}
	})
}

// TestJob_notMended: the cause is not mended. The job stops within its canary.
func TestJob_notMended(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(1000)
		y.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "still not [sim]"})
		j := y.until(y.create(replay.Choice{}, orders).ID, time.Minute, "over", over)
		if j.State != replay.Stopped || !strings.Contains(j.Note, "InvalidParameter.ParamError") {
			t.Errorf("the job is %s (%s), want it stopped, with the new reason", j.State, j.Note)
		}
		if calls := len(y.sim.Calls()); calls > 6 {
			t.Errorf("%d vendor calls, want at most 6", calls)
		}
		if got := y.count(y.Topology.LettersStream()); got != 1000 {
			t.Errorf("%d letters, want all 1000", got)
		}
		y.checkOnce()
	})
}
