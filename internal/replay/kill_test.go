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
	"essworker/internal/replay"
	"essworker/internal/topology"
)

var seeds = flag.Uint64("seeds", 50, "how many random afternoons TestJob_killed has")

// TestJob_killed kills, at random moments, the workers that run a job, with their lanes,
// one of which an operator stops and lets go on meanwhile.
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
			if chance.IntN(3) == 0 {
				y.link(f)
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
	pause := func(pause bool) {
		err := topology.Resume(y.t.Context(), y.JS, y.Topology.Names, typ)
		if pause {
			_, err = topology.Pause(y.t.Context(), y.JS, y.Topology.Names, typ, time.Time{})
		}
		if err != nil {
			y.t.Fatal(err)
		}
	}
	for range 1 + chance.IntN(5) {
		time.Sleep(time.Duration(chance.IntN(2500)) * time.Millisecond)
		pause(chance.IntN(3) == 0)
		kill()
		if chance.IntN(4) == 0 { // nobody is there for longer than the duplicate window
			time.Sleep(15 * time.Minute)
		}
		stop, kill = y.worker()
	}
	defer stop()
	pause(false)
	for _, j := range jobs {
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
