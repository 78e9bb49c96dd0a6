package consumer_test

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
)

// long keeps a test out of short runs, those under the race detector.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("plays minutes with many workers; CI plays it without the race detector")
	}
}

// team starts n workers, and gives how to stop them all.
func (y *yard) team(n int) (stop func()) {
	y.t.Helper()
	var stops []func()
	for range n {
		stops = append(stops, y.work())
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// publishBound stores n good events of one type.
func (y *yard) publishBound(n int) {
	y.t.Helper()
	for range n {
		id := fmt.Sprintf("e%d", len(y.events))
		y.send(bound, id, data(bound, len(y.events)))
		y.events = append(y.events, published{typ: bound, id: id})
	}
}

const bound = "employee.onboarded"

// arrivals are the calls of one action, in order, and used the part of the quota that
// was used while there was work for everybody: towards the end some have none.
func (y *yard) arrivals(action string) (at []time.Time, used float64) {
	y.t.Helper()
	for _, c := range y.sim.Calls() {
		if c.Action == action {
			at = append(at, c.At)
		}
	}
	if len(at) < 2 {
		y.t.Fatalf("%d calls of %s", len(at), action)
	}
	steady := at[:len(at)*3/4]
	return at, float64(len(steady)-1) / steady[len(steady)-1].Sub(at[0]).Seconds() / float64(y.gates.Rate)
}

const bindAction = "BindEmployeeUserIdWithClientOpenId"

// TestFleet_quota: any number of workers look like one well-behaved caller, and use
// what they may.
func TestFleet_quota(t *testing.T) {
	for _, workers := range []int{1, 4, 16, 64} {
		t.Run(strconv.Itoa(workers), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, y *yard) {
				y.publishBound(300)
				defer y.team(workers)()
				y.settle(time.Minute)
				y.checkLaws()
				if _, used := y.arrivals(bindAction); used < 0.97 {
					t.Errorf("%d workers used %.1f %% of the quota, want at least 97 %%", workers, 100*used)
				}
			})
		})
	}
}

// TestFleet_churn: killing and adding workers midway changes neither.
func TestFleet_churn(t *testing.T) {
	long(t)
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		y.publishBound(1200)
		var kills []func()
		for range 12 {
			_, kill := y.worker()
			kills = append(kills, kill)
		}
		time.Sleep(15 * time.Second)
		for _, kill := range kills[4:] {
			kill()
		}
		defer func() {
			for _, kill := range kills[:4] {
				kill()
			}
		}()
		time.Sleep(15 * time.Second)
		defer y.team(8)()
		y.settle(5 * time.Minute)
		y.checkLaws()
		at, _ := y.arrivals(bindAction)
		// What the dead held comes again after the ack wait, so the end has gaps.
		whole := int(50 * time.Second / time.Second)
		n := 0
		for _, a := range at {
			if a.Sub(at[0]) < 50*time.Second {
				n++
			}
		}
		if used := float64(n) / float64(whole*y.gates.Rate); used < 0.96 {
			t.Errorf("used %.1f %% of the quota, want at least 96 %%: the dead take half a second of it with them", 100*used)
		}
	})
}

// unreachable is a network over which nothing can be reached.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no route to host")
}

// routesOver are the routes of a worker with a network of its own.
func (y *yard) routesOver(network http.RoundTripper) []event.Route {
	y.t.Helper()
	api, err := essapi.New(y.vendor, essapi.Options{Transport: network, Concurrency: y.lanes.Concurrency})
	if err != nil {
		y.t.Fatal(err)
	}
	return handlers.Routes(api, handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID})
}

// TestFleet_oneBadWorker: a worker that cannot reach the vendor trips itself and not
// the fleet, and its events go to the others.
func TestFleet_oneBadWorker(t *testing.T) {
	long(t)
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		defer y.team(15)()
		gates, stop := y.workWith(y.routesOver(unreachable{}))
		defer stop()
		y.publishBound(900)
		for range 40 {
			time.Sleep(time.Second)
			for _, s := range gates.States() {
				if s.Breaker != "closed" && !s.Alone {
					t.Fatalf("the breaker of %s is %s for the whole fleet", s.Lane, s.Breaker)
				}
			}
		}
		y.settle(10 * time.Minute)
		y.checkLaws()
		at, _ := y.arrivals(bindAction)
		n := 0
		for _, a := range at {
			if a.Sub(at[0]) < 40*time.Second {
				n++
			}
		}
		if used := float64(n) / 40 / float64(y.gates.Rate); used < 0.9 {
			t.Errorf("the others used %.1f %% of the quota, want nearly all: only the bad worker's slots are lost", 100*used)
		}
	})
}

// TestFleet_outage: once the breaker is open, one probe for each cooldown is all the
// vendor sees of sixteen workers, and they are back at full pace at once.
func TestFleet_outage(t *testing.T) {
	long(t)
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		defer y.team(16)()
		y.publishBound(100)
		time.Sleep(2 * time.Second)
		y.sim.Inject(esssim.Fault{Kind: esssim.Status, Status: 503})
		began := time.Now()
		y.publishBound(800)
		time.Sleep(10 * time.Minute)
		y.sim.ClearFaults()
		mended := time.Now()
		y.settle(15 * time.Minute)
		y.checkLaws()

		var opening, probes int
		var last, back time.Time
		keys := map[string]bool{}
		after := 0
		for _, c := range y.sim.Calls() {
			switch {
			case c.At.Before(began):
			case c.At.Before(began.Add(5 * time.Second)):
				opening++
			case c.At.Before(mended):
				if !last.IsZero() && c.At.Sub(last) < y.gates.BreakerCooldown {
					t.Errorf("two probes within %v", c.At.Sub(last))
				}
				last = c.At
				keys[c.Entity] = true
				probes++
			case back.IsZero():
				back = c.At
			case c.At.Sub(back) < 2*time.Second:
			case c.At.Sub(back) < 12*time.Second:
				after++
			}
		}
		if probes < 17 || probes > 20 {
			t.Errorf("%d probes in ten minutes, want one for each 30 s", probes)
		}
		if len(keys) < probes {
			t.Errorf("%d probes with %d different events, want a different one each time", probes, len(keys))
		}
		if opening > 30 {
			t.Errorf("%d calls before the breaker was open, want a few", opening)
		}
		if back.Sub(mended) > y.gates.BreakerCooldown {
			t.Errorf("the first call came %v after the vendor was back", back.Sub(mended))
		}
		if after < 190 {
			t.Errorf("%d calls in ten seconds, two seconds after the vendor was found to be back; want 97 %% of 200", after)
		}
	})
}

// TestFleet_share: ten thousand letters replayed at noon slow nobody down. Live events
// that come behind them go first, and replays take what is left, or all if nothing else
// wants it.
func TestFleet_share(t *testing.T) {
	long(t)
	t.Parallel()
	const replays, live = 600, 150
	inBubble(t, func(t *testing.T, y *yard) {
		for i := range replays {
			y.resend(bound, fmt.Sprintf("r%d", i), data(bound, 10_000+i))
		}
		defer y.team(2)()
		time.Sleep(10 * time.Second)
		began := time.Now()
		for i := range live { // fifteen a second: with a quarter for replays that is all there is
			y.send(bound, fmt.Sprintf("l%d", i), data(bound, 50_000+i))
			time.Sleep(time.Second / 15)
		}
		ended := time.Now()
		time.Sleep(time.Second)
		got := y.results()["employee.bound"]
		for i := range live {
			if got[fmt.Sprintf("l%d", i)] == nil {
				t.Errorf("live event %d of %d is not done a second after the last was published", i, live)
				break
			}
		}
		y.settle(10 * time.Minute)
		y.checkQuota()
		alone, beside := 0, 0
		for _, c := range y.sim.Calls() {
			switch second := c.At.Sub(began); {
			case second < 0:
				alone++
			case c.At.Before(ended) && replayed(c.Entity):
				beside++
			}
		}
		if share := float64(beside) / ended.Sub(began).Seconds() / float64(y.gates.Rate); share > 0.30 {
			t.Errorf("replays took %.0f %% of the quota beside live events, want about a quarter", 100*share)
		}
		if alone < 150 {
			t.Errorf("%d calls in ten seconds with replays alone, want most of 200", alone)
		}
	})
}

// resend stores an event as a replay of its letter would.
func (y *yard) resend(typ, id, data string) {
	y.t.Helper()
	header, body, err := event.Write(event.New(typ, source, id, []byte(data)))
	if err != nil {
		y.t.Fatal(err)
	}
	header.Set("Dlq-Replays", "1")
	header.Set("Dlq-Origin", "1")
	y.raw(typ, header, body)
}

// replayed reports whether a call is one of TestFleet_share's replays.
func replayed(entity string) bool {
	_, n, _ := strings.Cut(entity, ":n")
	i, err := strconv.Atoi(n)
	return err == nil && i < 50_000
}

// TestFleet_join: a worker that comes to work on a backlog has its first event within
// a second, though others have asked for all there is.
func TestFleet_join(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		y.gates.Rate = 5
		y.publishBound(150)
		defer y.team(3)()
		time.Sleep(5 * time.Second)
		began := time.Now()
		routes, first := y.routesOver(y.sim), make(chan time.Time, 1)
		for i, r := range routes {
			prepare := r.Prepare
			routes[i].Prepare = func(data []byte) (event.Job, error) {
				select {
				case first <- time.Now():
				default:
				}
				return prepare(data)
			}
		}
		_, stop := y.workWith(routes)
		defer stop()
		if got := (<-first).Sub(began); got > time.Second {
			t.Errorf("a new worker has its first event after %v, want it within a second", got)
		}
		y.settle(time.Minute)
		y.checkLaws()
	})
}

// TestFleet_lanes: a lane that stands still, a slow vendor even, holds no other up.
func TestFleet_lanes(t *testing.T) {
	long(t)
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		y.sim.Inject(esssim.Fault{Action: "ChannelCreateSealPolicy", Kind: esssim.Latency, Delay: 30 * time.Second})
		y.sim.Inject(esssim.Fault{Action: "CreateUserAutoSignSealUrl", Kind: esssim.Code, Code: "UnauthorizedOperation"})
		defer y.team(2)()
		y.publish(600)
		time.Sleep(12 * time.Second)
		if got := len(y.results()["employee.bound"]); got < 200 {
			t.Errorf("%d of 200 events of the lane that works are done after 12 s", got)
		}
	})
}

// TestFleet_limitLowered: a worker with a backlog lets go of the events that it took for
// a higher limit.
func TestFleet_limitLowered(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.sim = esssim.New(esssim.Config{})
		y.gates.Rate = 100
		y.publishBound(300)
		defer y.work()()
		time.Sleep(500 * time.Millisecond)
		office := fleet.OpenOffice(y.NC, y.JS, y.Topology.FleetBucket())
		if _, err := office.SetLimit(t.Context(), "ess."+bindAction, fleet.Limit{Rate: 2, Why: "they asked", By: "anna@ops"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second) // more than it had in hand takes
		lane, err := y.JS.Consumer(t.Context(), y.Topology.EventsStream(), "employee-onboarded")
		if err != nil {
			t.Fatal(err)
		}
		if n := lane.CachedInfo().NumAckPending; n == 0 || n > 6 {
			t.Errorf("%d events in hand at 2 calls a second, want a few", n)
		}
	})
}

// TestFleet_limitChanged: a limit set while there was none leaves a worker with the few
// events it has slots for, and the rest to others.
func TestFleet_limitChanged(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.gates.Rate = 0
		routes := handlers.Routes(y.api(), handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID})
		gates, stop := y.workWith(routes)
		defer stop()
		office := fleet.OpenOffice(y.NC, y.JS, y.Topology.FleetBucket())
		limit := fleet.Limit{Rate: 2, Why: "they asked", By: "anna@ops"}
		if _, err := office.SetLimit(t.Context(), "ess."+bindAction, limit); err != nil {
			t.Fatal(err)
		}
		for gates.Gate(routes[0], "").Limit() != limit.Rate {
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second) // what it has asked for before ends
		y.publishBound(60)
		time.Sleep(5 * time.Second)
		lane, err := y.JS.Consumer(t.Context(), y.Topology.EventsStream(), "employee-onboarded")
		if err != nil {
			t.Fatal(err)
		}
		if n := lane.CachedInfo().NumAckPending; n == 0 || n > 6 {
			t.Errorf("%d events in hand at %d calls a second, want a few", n, limit.Rate)
		}
	})
}
