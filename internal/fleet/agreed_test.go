package fleet_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/fleet"
)

func (c *camp) kv() jetstream.KeyValue {
	c.t.Helper()
	kv, err := c.JS.KeyValue(c.t.Context(), c.Topology.FleetBucket())
	if err != nil {
		c.t.Fatal(err)
	}
	return kv
}

// spoil leaves something under a key that nobody can read.
func (c *camp) spoil(keys ...string) {
	c.t.Helper()
	for _, key := range keys {
		if _, err := c.kv().Put(c.t.Context(), key, []byte("{")); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestAgreed_poll: a member that has missed a change learns of it within ten seconds.
func TestAgreed_poll(t *testing.T) { // not parallel: the client's reconnect shares timers
	inBubble(t, func(t *testing.T, c *camp) {
		l := &line{}
		l.to.Store(c.Server)
		cut, m := c.joinOver(l), c.join()
		cut.gate("a")
		l.to.Store(nil)
		if err := cut.nc.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		do(t, m.gate("a"), fleet.Call{}, badAction)
		time.Sleep(time.Second)
		l.to.Store(c.Server)
		for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
			if _, shut := cut.gate("a").Closed(); shut {
				break
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Fatalf("a hold is unknown to a member %v after it could be heard again", took)
			}
		}
		// A removal that is no message, as when an operator purges the record.
		s, err := c.JS.Stream(t.Context(), c.Topology.FleetStream())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.ESS_FLEET.gate.>")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		for _, m := range []*member{cut, m} {
			if _, shut := m.gate("a").Closed(); shut {
				t.Error("a hold whose record is gone holds on")
			}
			do(t, m.gate("a"), fleet.Call{}, nil)
		}
	})
}

// TestAgreed_unreadable: a record that cannot be read is as good as none, is replaced
// when there is something to write, and is logged once; one of a later version is left alone.
func TestAgreed_unreadable(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before they join", "while they work", "while it is open"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, c *camp) {
				spoil := func() {
					c.spoil("gate.breaker.a", "gate.credential.ess", "gate.action.ess.a", "gate.push.ess.a", "gate.limit.ess.a", "tenant.00")
					c.spoil("worker.other-1", "gate.later.version", "later.version")
				}
				if when == "before they join" {
					spoil()
				}
				crew := c.crew(2)
				if when == "while it is open" {
					crew[0].fail("a", 3)
					crew[1].fail("a", 2)
				}
				if when != "before they join" {
					spoil()
				}
				spread()
				time.Sleep(time.Minute) // no more is logged all the while
				for _, m := range crew {
					if waited, probe := enter(t, m.gate("a")); waited > 0 || probe {
						t.Errorf("Enter waited %v, probe %t; want an open gate", waited, probe)
					}
					if err := m.gate("a").Slot(t.Context(), fleet.Ask{}); err != nil {
						t.Errorf("Slot = %v", err)
					}
					do(t, m.gate("a"), fleet.Call{}, nil)
				}
				log := c.log.String()
				if n := strings.Count(log, "a record of the fleet cannot be read"); n != 2*6 || strings.Contains(log, "later") {
					t.Errorf("%d records that cannot be read are logged, want each of six once at each of two members:\n%s", n, log)
				}
				do(t, crew[0].gate("a"), fleet.Call{}, after(5*time.Second))
				crew[0].fail("a", 3)
				crew[1].fail("a", 2)
				do(t, crew[0].gate("b"), fleet.Call{}, badKey)
				spread()
				if got := crew[1].state("a"); got != "open" {
					t.Errorf("breaker is %s after five failures, want open", got)
				}
				s := crew[1].States()[0]
				if s.Pace >= 20 || s.Held == "" {
					t.Errorf("%+v, want it held, and slower after a throttled answer", s)
				}
			})
		})
	}
}

// TestAgreed_many: more tenants than the server gives in one answer keep nobody from joining.
func TestAgreed_many(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		g := m.gate("a")
		for i := range 1030 {
			do(t, g, fleet.Call{Tenant: strconv.Itoa(i), Key: "1"}, badTenant)
		}
		other := c.join()
		for i := range 3 {
			do(t, other.gate("a"), fleet.Call{Tenant: "0", Key: strconv.Itoa(i)}, badTenant)
		}
		spread()
		closed(t, g, fleet.Call{Tenant: "0"})
		if log := c.log.String(); strings.Contains(log, "WARN") {
			t.Errorf("logged:\n%s", log)
		}
	})
}
