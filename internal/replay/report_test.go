package replay_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/esssim"
	"essworker/internal/replay"
)

// report gives the outcome of each letter that a job has come to.
func (y *yard) report(j replay.Job) map[uint64]replay.Outcome {
	y.t.Helper()
	outcomes := map[uint64]replay.Outcome{}
	for s, err := range y.office.Report(y.t.Context(), j) {
		if err != nil {
			y.t.Fatalf("Report: %v", err)
		}
		if _, twice := outcomes[s.ID]; twice {
			y.t.Errorf("the report has letter %d twice", s.ID)
		}
		outcomes[s.ID] = s.Outcome
	}
	return outcomes
}

// TestReport_underWay: one slow event does not keep from the record what has become of
// those replayed with it.
func TestReport_underWay(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(5)
		y.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 20 * time.Second, Count: 1})
		id := y.create(orders).ID
		j := y.until(id, 10*time.Second, "through but for one", func(j replay.Job) bool { return j.Seen.Succeeded == 4 })
		time.Sleep(6 * time.Second)
		known := 0
		for _, o := range y.report(j) {
			if o == replay.Good {
				known++
			}
		}
		if known != 4 {
			t.Errorf("six seconds later the report knows %d outcomes, want 4", known)
		}
		y.until(id, time.Minute, "over", over)
		y.checkOnce()
	})
}

// TestResume_notStored: what the broker has refused to store is tried again when the job
// is resumed, and is one letter of the report.
func TestResume_notStored(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(9)
		large := y.letter(func(f *dlq.Failed) { f.Data = append(f.Data, bytes.Repeat([]byte(" "), 3000)...) })
		y.put(10)
		limit := func(bytes int32) {
			t.Helper()
			s, err := y.JS.Stream(t.Context(), y.Topology.EventsStream())
			if err != nil {
				t.Fatal(err)
			}
			cfg := s.CachedInfo().Config
			cfg.MaxMsgSize = bytes
			if _, err := y.JS.UpdateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
		limit(2000)
		id := y.create(orders).ID
		j := y.until(id, time.Minute, "over", over)
		if j.State != replay.Stopped || j.Seen.Succeeded != 19 || j.Seen.Trouble != 1 || j.Remaining() != 1 || !strings.Contains(j.Note, "1 could not be stored") {
			t.Errorf("the job ended as %+v, want it stopped, with one letter that could not be stored", j)
		}
		if o := y.report(j)[large]; o != replay.NotStored {
			t.Errorf("the report says %q of the letter, want %q", o, replay.NotStored)
		}
		limit(-1)
		if _, err := y.office.Resume(t.Context(), id, "anna@ops", "there is room now"); err != nil {
			t.Fatal(err)
		}
		j = y.until(id, time.Minute, "over", over)
		if j.State != replay.Done || j.Seen.Succeeded != 20 || j.Seen.Trouble != 0 || j.Remaining() != 0 {
			t.Errorf("resumed, the job ended as %+v", j)
		}
		if o := y.report(j); len(o) != 20 || o[large] != replay.Good {
			t.Errorf("the report is %v, want 20 letters that succeeded", o)
		}
		y.checkOnce()
	})
}

// TestCancel_nobodyHasIt: a job that no runner has is over as soon as it is cancelled.
func TestCancel_nobodyHasIt(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.put(10)
		waiting, paused := y.create(orders).ID, y.create(orders).ID
		if _, err := y.office.Pause(t.Context(), paused, "anna@ops", "lunch"); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{waiting, paused} {
			if _, err := y.office.Cancel(t.Context(), id, "anna@ops", "enough"); err != nil {
				t.Fatal(err)
			}
			if j := y.job(id); j.State != replay.Cancelled || !j.Over() || j.Note != "cancelled by anna@ops: enough" || j.Remaining() != 10 {
				t.Errorf("cancelled, the job is %+v", j)
			}
		}
	})
}
