package replay_test

import (
	"testing"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/esssim"
	"essworker/internal/replay"
)

// TestPast finds the replays that a letter comes from, by whatever its jobs were chosen.
func TestPast(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(4)
		y.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "still not [sim]"})
		var jobs []string
		for range 2 {
			forced := orders
			forced.Force, forced.Why = true, "again"
			jobs = append(jobs, y.create(forced).ID)
			y.until(jobs[len(jobs)-1], time.Minute, "over", over)
		}
		newest := uint64(0)
		for l, err := range y.box.Letters(t.Context(), dlq.Filter{}) {
			if err != nil || l.Replays != 2 {
				t.Fatalf("letter %+v, %v, want those replayed twice", l, err)
			}
			newest = l.ID
		}
		l, err := y.box.Get(t.Context(), newest)
		if err != nil {
			t.Fatal(err)
		}
		past, err := y.office.Past(t.Context(), l)
		if err != nil || len(past) != 2 {
			t.Fatalf("Past = %+v, %v, want two replays", past, err)
		}
		for i, p := range past {
			if p.Job != jobs[i] || p.Replay != i+1 || p.Origin != l.Origin || p.Outcome != replay.Bad || p.By != orders.By || p.At.IsZero() {
				t.Errorf("replay %d is %+v, want that of job %s, which has failed", i+1, p, jobs[i])
			}
		}
		if past[0].ID != l.Origin || past[0].Letter != past[1].ID || past[1].Letter != l.ID {
			t.Errorf("Past = %+v, want the way from letter %d to %d", past, l.Origin, l.ID)
		}
		if v, _, err := y.office.Verdict(t.Context(), l); v != replay.Cooling || err != nil {
			t.Errorf("Verdict = %s, %v, want cooling", v, err)
		}
	})
}
