package consumer_test

import (
	"fmt"
	"testing"
	"time"

	"essworker/internal/esssim"
)

func TestWorker_eachEventDoneOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		stop := y.work()
		y.publish(90)
		y.settle(time.Minute)
		stop()
		y.checkLaws()
		if got := len(y.sim.Calls()); got != 90 {
			t.Errorf("%d vendor calls for 90 events, want 90", got)
		}
	})
}

// TestOutage_parksNothing is promise 4 at length: however long the vendor is away,
// no good event becomes a letter, and each is done once.
func TestOutage_parksNothing(t *testing.T) {
	t.Parallel()
	for _, outage := range []time.Duration{30 * time.Minute, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour} {
		for _, kind := range []esssim.Fault{{Kind: esssim.Status, Status: 503}, {Kind: esssim.ResetBefore}} {
			t.Run(fmt.Sprintf("%v_%s", outage, kind.Kind), func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, y *yard) {
					stop := y.work()
					y.publish(30)
					y.settle(time.Minute)
					y.sim.Inject(kind)
					y.publish(270)
					time.Sleep(outage)
					probes := len(y.sim.Calls())
					y.sim.ClearFaults()
					y.settle(15 * time.Minute)
					stop()
					y.checkLaws()
					// A few calls before the breakers open, then one a cooldown and lane.
					if most := 30 + 3*(40+int(outage/y.gates.BreakerCooldown)); probes > most {
						t.Errorf("%d calls during an outage of %v, want at most %d", probes, outage, most)
					}
				})
			})
		}
	}
}
