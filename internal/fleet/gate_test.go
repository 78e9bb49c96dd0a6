package fleet_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/metric"

	"essworker/internal/event"
	"essworker/internal/fleet"
)

func TestGate_isOnePerType(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		a := m.gate("a")
		if m.gate("a") != a || m.gate("b") == a {
			t.Error("Gate gives another gate for the same type, or the same for another")
		}
		if got := m.ProbeEvery(); got != holdProbe {
			t.Errorf("ProbeEvery() = %v, want the longer of cooldown and hold probe, %v", got, holdProbe)
		}
		if got := fleet.ActionOf(event.Route{Product: "essbasic", Action: "Grant"}); got != "essbasic.Grant" {
			t.Errorf("ActionOf = %q, want product and action: two products may call different things the same", got)
		}
	})
}

func TestStates(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		reader := metric.NewManualReader()
		c.meter = metric.NewMeterProvider(metric.WithReader(reader)).Meter("test")
		m, other := c.join(), c.join()
		b, d := gate(m.Fleet, "b", "Grant", "essbasic"), gate(m.Fleet, "d", "Other", "third")
		m.fail("a", 5) // its own opens
		other.fail("a", 2)
		began := time.Now()
		do(t, b, fleet.Call{}, badAction)
		for i := range 3 {
			time.Sleep(time.Second)
			do(t, d, fleet.Call{Tenant: "ess:org1", Key: strconv.Itoa(i)}, badTenant)
		}
		want := []fleet.State{
			{Lane: "a", Breaker: "open", Pace: 20},
			{Lane: "b", Breaker: "closed", Pace: 20, Held: "action ess.Grant: Bad-action: mend it", Since: began},
			{Lane: "d", Breaker: "closed", Pace: 20},
		}
		near := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
		if d := cmp.Diff(want, m.States(), near); d != "" {
			t.Errorf("States (-want +got):\n%s", d)
		}
		held := []fleet.HeldTenant{{Tenant: "ess:org1", Why: "Bad-tenant: mend it", Since: began.Add(3 * time.Second)}}
		if d := cmp.Diff(held, m.HeldTenants(), near); d != "" {
			t.Errorf("HeldTenants (-want +got):\n%s", d)
		}
		spread()
		wantMetrics := map[string]float64{
			"essworker.breaker.open a": 1, "essworker.breaker.open b": 0, "essworker.breaker.open d": 0,
			"essworker.lane.held a": 0, "essworker.lane.held b": 1, "essworker.lane.held d": 0,
			"essworker.quota.pace a": 20, "essworker.quota.pace b": 20, "essworker.quota.pace d": 20,
			"essworker.tenants.held":                                    1,
			"essworker.breaker.transitions InternalError a fleet open":  1,
			"essworker.breaker.transitions InternalError a worker open": 1,
		}
		if d := cmp.Diff(wantMetrics, collect(t, reader)); d != "" {
			t.Errorf("metrics (-want +got):\n%s", d)
		}
		for text, n := range map[string]int{
			`msg="breaker opened" lane=a of=worker from=closed to=open code=InternalError`:                      1,
			`msg="breaker opened" lane=a of=fleet from=closed to=open code=InternalError`:                       1,
			`msg="hold began: nothing is lost, work waits until this is mended" hold="action ess.Grant" lane=b`: 1,
			`msg="hold began: nothing is lost, work waits until this is mended" hold="tenant ess:org1" lane=d`:  1,
			`code=Bad-action why="mend it" request_id=r-1 probe_every=1m0s`:                                     1,
			`level=ERROR`: 2,
		} {
			if got := strings.Count(c.log.String(), text); got != n {
				t.Errorf("%q is logged %d times, want %d:\n%s", text, got, n, c.log)
			}
		}
	})
}
