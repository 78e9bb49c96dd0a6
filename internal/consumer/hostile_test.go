package consumer_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/esssim"
	"essworker/internal/fault"
	"essworker/internal/handlers"
	"essworker/internal/natstest"
)

var seeds = flag.Int("seeds", 50, "how many seeds TestHostile_lawsHold plays")

// TestHostile_lawsHold plays a random afternoon for every seed: the vendor loses
// answers, breaks off, stalls, throttles and answers nonsense, while workers come,
// go and die. Whatever happens, nothing is lost and nothing has two results.
func TestHostile_lawsHold(t *testing.T) {
	t.Parallel()
	n := *seeds
	if underRace || testing.Short() {
		n = min(n, 25) // the detector needs to see the code run, not every afternoon of it
	}
	for seed := range n {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				topo := natstest.Defaults()
				topo.AckWait = 15 * time.Second // waits of the same shape, and shorter
				y := newYard(t, natstest.Start(t, natstest.Setup{Topology: topo, Types: handlers.Types()}))
				y.vendor.Timeout = 10 * time.Second
				afternoon(y, uint64(seed))
			})
		})
	}
}

func afternoon(y *yard, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, seed))
	y.sim.Inject(esssim.Fault{
		Kind: esssim.Hostile, Seed: seed, Ratio: 0.1 + 0.4*rnd.Float64(), Delay: time.Duration(rnd.IntN(12)) * time.Second,
		Kinds: []esssim.Kind{
			esssim.Latency, esssim.HangBefore, esssim.HangAfter, esssim.ResetBefore, esssim.ResetAfter, esssim.Status,
			esssim.Truncated, esssim.Null, esssim.EmptyObject, esssim.NotJSON, esssim.Hollow, esssim.NoCode,
			esssim.Throttle, esssim.SlowBody, esssim.Gzip, esssim.Wording,
		},
	})
	y.lanes.BackoffMax = 20 * time.Second // the shape of a long wait, without its length
	var stops, kills []func()
	start := func() {
		stop, kill := y.worker()
		stops, kills = append(stops, stop), append(kills, kill)
	}
	start()
	start()
	killed := 0
	for range 4 {
		y.publish(4)
		y.spoil(rnd)
		time.Sleep(time.Duration(rnd.IntN(5000)) * time.Millisecond)
		i := rnd.IntN(len(stops))
		switch how := rnd.IntN(3); {
		case how == 0:
			stops[i]()
		case how == 1 && killed < y.lanes.PoisonAfter-1:
			kills[i]()
			killed++
		default:
			continue
		}
		stops, kills = append(stops[:i], stops[i+1:]...), append(kills[:i], kills[i+1:]...)
		start()
	}
	time.Sleep(20 * time.Second)
	y.sim.ClearFaults()
	y.settle(2 * time.Hour)
	for _, stop := range stops {
		stop()
	}
	// Attempts may run out under such a vendor: those are letters an operator replays.
	// Nothing here kills an event's workers three times, so nothing may be poison.
	y.checkLaws(fault.Exhausted)
}

// spoil publishes one event that can only fail: for good at the vendor, or unreadable.
func (y *yard) spoil(rnd *rand.Rand) {
	y.t.Helper()
	id := fmt.Sprintf("bad%d", len(y.events))
	switch rnd.IntN(3) {
	case 0:
		y.send("employee.onboarded", id, `{"userId":"nobody","openId":"n1"}`)
		y.events = append(y.events, published{"employee.onboarded", id, true})
	case 1:
		y.send("seal.grant.requested", id, `{"sealId":"s"}`)
		y.events = append(y.events, published{"seal.grant.requested", id, true})
	default:
		y.raw(handlers.Types()[rnd.IntN(3)], nats.Header{"X": {"y"}}, []byte("\x00 not an event"))
	}
}
