package esssim_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/esssim"
)

// The window is a calendar second, not a sliding one, and refused calls count too.
func TestRate_calendarSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{Rate: 20})
		c := newCaller(sim)
		burst := func(n int) (ok, refused int) {
			for range n {
				switch got := c.call(t, linkAction, okBody(linkAction)); got.code() {
				case "ok":
					ok++
				case "RequestLimitExceeded":
					refused++
				default:
					t.Fatalf("got %s", got.code())
				}
			}
			return ok, refused
		}
		time.Sleep(900 * time.Millisecond)
		if ok, refused := burst(25); ok != 20 || refused != 5 {
			t.Errorf("25 calls at .9 s = %d ok, %d refused; want 20 and 5", ok, refused)
		}
		if got := c.call(t, bindAction, okBody(bindAction)); got.code() != "ok" {
			t.Errorf("another action in the same second = %s, want ok", got.code())
		}
		time.Sleep(100 * time.Millisecond)
		if ok, _ := burst(20); ok != 20 {
			t.Errorf("20 calls at 1.0 s = %d ok, want 20", ok)
		}
		sliding, calendar := esssim.MaxPerSecond(sim.Calls(), linkAction)
		if sliding != 45 || calendar != 25 {
			t.Errorf("MaxPerSecond = %d sliding, %d calendar; want 45 and 25", sliding, calendar)
		}
		if got := sim.State().Counters[linkAction]; got.Counted != 45 || got.OK != 40 || got.Throttled != 5 {
			t.Errorf("counters = %+v, want 45 counted, 40 ok, 5 throttled", got)
		}
	})
}

func TestRate_owners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			name   string
			cfg    esssim.Config
			second esssim.Key // the other caller's
			want   string     // what it gets after the first has used everything up
		}{
			{"same sub-account", esssim.Config{Rate: 1}, esssim.Key{}, "RequestLimitExceeded"},
			{"another sub-account", esssim.Config{Rate: 1}, esssim.Key{SubAccount: "200"}, "ok"},
			{"another sub-account, same main account", esssim.Config{UinRate: 1}, esssim.Key{SubAccount: "200"}, "RequestLimitExceeded.UinLimitExceeded"},
			{"another main account", esssim.Config{UinRate: 1}, esssim.Key{Account: "300"}, "ok"},
			{"same address", esssim.Config{IPRate: 1}, esssim.Key{Account: "300"}, "RequestLimitExceeded.IPLimitExceeded"},
			{"no limit", esssim.Config{}, esssim.Key{}, "ok"},
		}
		for _, tt := range tests {
			sim := esssim.New(tt.cfg)
			tt.second.SecretID, tt.second.SecretKey = "AKIDsecond", "second"
			sim.AddKey(tt.second)
			first := newCaller(sim)
			second := first
			second.id, second.key = "AKIDsecond", "second"
			first.call(t, linkAction, okBody(linkAction))
			if got := second.call(t, linkAction, okBody(linkAction)); got.code() != tt.want {
				t.Errorf("%s = %s, want %s", tt.name, got.code(), tt.want)
			}
		}
	})
}

// Whatever the callers do at once, no calendar second lets more through than the
// limit, and the record agrees with the counter.
func TestRate_concurrent(t *testing.T) {
	sim := esssim.New(esssim.Config{Rate: 20})
	c := newCaller(sim)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				c.call(t, linkAction, okBody(linkAction))
			}
		})
	}
	wg.Wait()
	passed := map[int64]int{}
	for i, call := range sim.Calls() {
		if call.Seq != i+1 {
			t.Fatalf("call %d has Seq %d", i, call.Seq)
		}
		if call.Outcome == "ok" {
			passed[call.At.Unix()]++
		}
	}
	arrived := map[int64]int{}
	for _, call := range sim.Calls() {
		arrived[call.At.Unix()]++
	}
	for second, n := range arrived {
		if want := min(n, 20); passed[second] != want {
			t.Errorf("second %d: %d of %d passed, want %d", second, passed[second], n, want)
		}
	}
}

func TestMaxPerSecond(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name              string
		at                string // milliseconds
		sliding, calendar int
	}{
		{"none", "", 0, 0},
		{"one", "0", 1, 1},
		{"a whole second apart", "0 1000 2000", 1, 1},
		{"just under a second apart", "1 1000 1999", 2, 2},
		{"across the boundary", "900 950 1000 1050", 4, 2},
		{"out of order", "1050 900 1000 950", 4, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := []esssim.Call{{Action: linkAction, At: start, Counted: true}, {Action: bindAction, At: start}}
			for ms := range strings.FieldsSeq(tt.at) {
				d, err := time.ParseDuration(ms + "ms")
				if err != nil {
					t.Fatal(err)
				}
				calls = append(calls, esssim.Call{Action: bindAction, At: start.Add(d), Counted: true})
			}
			sliding, calendar := esssim.MaxPerSecond(calls, bindAction)
			if got, want := fmt.Sprint(sliding, calendar), fmt.Sprint(tt.sliding, tt.calendar); got != want {
				t.Errorf("MaxPerSecond(%q) = %s, want %s", tt.at, got, want)
			}
		})
	}
}
