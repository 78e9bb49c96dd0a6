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
	for _, tt := range []struct {
		outage time.Duration
		fault  esssim.Fault
	}{
		{30 * time.Minute, esssim.Fault{Kind: esssim.Status, Status: 503}},
		{30 * time.Minute, esssim.Fault{Kind: esssim.HangBefore, Delay: time.Hour}},
		{2 * time.Hour, esssim.Fault{Kind: esssim.ResetBefore}},
		{6 * time.Hour, esssim.Fault{Kind: esssim.Status, Status: 502}},
		{24 * time.Hour, esssim.Fault{Kind: esssim.Code, Code: "InternalError", Message: "[sim]"}},
	} {
		t.Run(fmt.Sprintf("%v_%s", tt.outage, tt.fault.Kind), func(t *testing.T) {
			if tt.outage > 2*time.Hour && (underRace || testing.Short()) {
				t.Skip("the shorter outages take the same steps; go test ./... plays this one")
			}
			t.Parallel()
			inBubble(t, func(t *testing.T, y *yard) {
				if tt.outage > 12*time.Hour {
					y.gates.BreakerCooldown *= 4 // a quarter of the probes, which are what takes time here
				}
				stop := y.work()
				y.publish(30)
				y.settle(time.Minute)
				y.sim.Inject(tt.fault)
				y.publish(270)
				time.Sleep(tt.outage)
				calls := len(y.sim.Calls())
				y.sim.ClearFaults()
				y.settle(15 * time.Minute)
				stop()
				y.checkLaws()
				// A few calls before the breakers open, then one a cooldown and lane.
				if most := 30 + 3*(40+int(tt.outage/y.gates.BreakerCooldown)); calls > most {
					t.Errorf("%d calls during an outage of %v, want at most %d", calls, tt.outage, most)
				}
			})
		})
	}
}
