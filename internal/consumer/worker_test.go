package consumer_test

import (
	"flag"
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

var outage = flag.Duration("outage", 40*time.Minute, "how long the vendor is away in TestOutage_parksNothing")

// TestOutage_parksNothing is promise 4 at length: however long the vendor is away,
// no good event becomes a letter, and each is done once. The events are few, so that
// each is a probe more often than it has attempts.
func TestOutage_parksNothing(t *testing.T) {
	t.Parallel()
	for _, fault := range []esssim.Fault{
		{Kind: esssim.Status, Status: 503},
		{Kind: esssim.HangBefore, Delay: 24 * time.Hour},
		{Kind: esssim.ResetBefore},
		{Kind: esssim.Code, Code: "InternalError", Message: "[sim]"},
	} {
		t.Run(string(fault.Kind), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, y *yard) {
				y.lanes.MaxAttempts = 3
				stop := y.work()
				y.publish(30)
				y.settle(time.Minute)
				y.sim.Inject(fault)
				y.publish(15)
				time.Sleep(*outage)
				calls := y.sim.Calls()
				y.sim.ClearFaults()
				y.settle(15 * time.Minute)
				stop()
				y.checkLaws()
				// A few calls before the breakers open, then one a cooldown and lane.
				if most := 30 + 3*(40+int(*outage/y.gates.BreakerCooldown)); len(calls) > most {
					t.Errorf("%d calls during an outage of %v, want at most %d", len(calls), *outage, most)
				}
				asked := map[string]int{}
				for _, c := range calls[30:] {
					asked[c.Entity]++
				}
				for entity, n := range asked {
					if n <= y.lanes.MaxAttempts {
						t.Errorf("%s was called %d times, too few to show that probes are not charged", entity, n)
					}
				}
			})
		})
	}
}
