package replay_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/esssim"
	"essworker/internal/handlers"
	"essworker/internal/replay"
	"essworker/internal/topology"
)

var seeds = flag.Uint64("seeds", 50, "how many random afternoons TestJob_killed has")

// TestJob_killed kills, at random moments, the workers that run a job, with their lanes.
// Meanwhile operators stop lanes and let them go on, in turn, and the jobs too.
// Each letter ends as one of replayed and still a letter, and none is done twice.
func TestJob_killed(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 10)
	}
	for seed := range n {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(_ *testing.T, y *yard) { y.afternoon(rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func (y *yard) afternoon(chance *rand.Rand) {
	n := 8 + chance.IntN(30)
	for range n {
		y.letter(func(f *dlq.Failed) {
			switch chance.IntN(4) {
			case 0:
				y.link(f)
				return
			case 1:
				y.seal(f)
				return
			}
			if chance.IntN(10) == 0 { // this one fails again
				f.Data = fmt.Appendf(nil, `{"userId":"yDSIM%027d","openId":"n%d"}`, 0, 1_000_000+y.letters)
			}
		})
	}
	y.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: time.Duration(1+chance.IntN(300)) * time.Millisecond})
	o := orders
	o.StopAt = 1
	if chance.IntN(2) == 0 {
		o.Rate = float64(5 + chance.IntN(50))
	}
	jobs := []replay.Job{y.create(o)}
	if chance.IntN(2) == 0 { // another operator has the same idea
		jobs = append(jobs, y.create(o))
	}
	stop, kill := y.worker()
	lane := func(typ string, pause bool) {
		err := topology.Resume(y.t.Context(), y.JS, y.Topology.Names, typ)
		if pause {
			_, err = topology.Pause(y.t.Context(), y.JS, y.Topology.Names, typ, time.Time{})
		}
		if err != nil {
			y.t.Fatal(err)
		}
	}
	types := handlers.Types()
	for range 1 + chance.IntN(5) {
		time.Sleep(time.Duration(chance.IntN(2500)) * time.Millisecond)
		for _, typ := range types {
			lane(typ, chance.IntN(3) == 0)
		}
		switch id := jobs[chance.IntN(len(jobs))].ID; chance.IntN(4) { // it may be paused already, or over
		case 0:
			_, _ = y.office.Pause(y.t.Context(), id, "anna@ops", "lunch")
		case 1:
			_, _ = y.office.Resume(y.t.Context(), id, "anna@ops", "back")
		}
		kill()
		if chance.IntN(4) == 0 { // nobody is there for longer than the duplicate window
			time.Sleep(15 * time.Minute)
		}
		stop, kill = y.worker()
	}
	defer stop()
	for _, typ := range types {
		lane(typ, false)
	}
	for _, j := range jobs {
		_, _ = y.office.Resume(y.t.Context(), j.ID, "anna@ops", "back")
		j = y.until(j.ID, 30*time.Minute, "over", over)
		if j.State != replay.Done || j.Dealt() != n {
			y.t.Errorf("the job ended as %+v, want every letter dealt with", j)
		}
		if len(jobs) == 1 && j.Seen.Gone > 0 {
			y.t.Errorf("the job has not met %d letters that nobody else has taken", j.Seen.Gone)
		}
	}
	y.checkOnce()
}
