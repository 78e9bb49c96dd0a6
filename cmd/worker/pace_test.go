package main

import (
	"slices"
	"sync"
	"testing"
	"time"

	"essworker/internal/handlers"
)

// quota is how many calls of one action the vendor takes in a second.
const quota = 20

// stalls are the moments at which this process was held up: the machine had other
// things to do. A call may then have been sent in time and have arrived late, and
// none of its workers can help it.
type stalls struct {
	mu   sync.Mutex
	list []stall
}

type stall struct {
	end time.Time
	by  time.Duration
}

// watchStalls notes until the end of the test how late this process wakes up.
func watchStalls(t *testing.T) *stalls {
	t.Helper()
	const nap = 2 * time.Millisecond
	s := &stalls{}
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for timer := time.NewTimer(nap); ; timer.Reset(nap) {
			due := time.Now().Add(nap)
			select {
			case <-timer.C:
			case <-done:
				return
			}
			if now := time.Now(); now.Sub(due) > nap {
				s.mu.Lock()
				s.list = append(s.list, stall{now, now.Sub(due)})
				s.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() { close(done); watch.Wait() })
	return s
}

// between gives the stalls between two moments.
func (s *stalls) between(from, to time.Time) (list []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.list {
		if x.end.After(from) && x.end.Add(-x.by).Before(to) {
			list = append(list, x.by)
		}
	}
	return list
}

// arrivals are the calls of an action as the vendor counts them.
func (s *site) arrivals(action string) []time.Time {
	var at []time.Time
	for _, c := range s.sim.Calls() {
		if c.Counted && c.Action == action {
			at = append(at, c.At)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// withinQuota holds promise 3: no second, sliding and so none of the calendar, has
// seen more calls of an action than the quota. Of a second that is a little too full,
// with stalls about its beginning, the first call came late; that is none of the
// fleet's. How long its worker was held up can only be guessed from how long we were.
func (s *site) withinQuota() { s.t.Helper(); s.within(quota) }

// within is withinQuota for another quota.
func (s *site) within(quota int) {
	s.t.Helper()
	const around, worse = 500 * time.Millisecond, 3
	for _, r := range handlers.Routes(nil, handlers.Defaults{}) {
		at, shortest := s.arrivals(r.Action), time.Second
		for i := quota; i < len(at); i++ {
			first, took := at[i-quota], at[i].Sub(at[i-quota])
			late := func(by time.Duration) bool { return worse*by >= time.Second-took }
			if took < shortest && !slices.ContainsFunc(s.stalls.between(first.Add(-around), first.Add(around)), late) {
				shortest = took
			}
		}
		if shortest < time.Second {
			s.t.Errorf("%s: %d calls in %v, want %d a second at most", r.Action, quota+1, shortest, quota)
		}
	}
}

// usedUp holds the other half of promise 3: between two moments, with enough to do,
// 97 % of the quota of every action was used for five seconds in a row. A stall makes
// calls too late for their slots: each that is long enough is forgiven two.
func (s *site) usedUp(from, to time.Time) {
	s.t.Helper()
	const window, enough, slotStale = 5 * time.Second, 5 * quota * 97 / 100, 10 * time.Millisecond
	for _, r := range handlers.Routes(nil, handlers.Defaults{}) {
		at := s.arrivals(r.Action)
		made, forgiven := 0, 0
		for i, first := range at {
			end := first.Add(window)
			if first.Before(from) || end.After(to) {
				continue
			}
			next, _ := slices.BinarySearchFunc(at, end, time.Time.Compare)
			late := 0
			for _, by := range s.stalls.between(first, end) {
				if by > slotStale {
					late += 2
				}
			}
			if next-i+late > made+forgiven {
				made, forgiven = next-i, late
			}
		}
		if made+forgiven < enough {
			s.t.Errorf("%s: %d calls in the best %v, and %d forgiven; want %d at least", r.Action, made, window, forgiven, enough)
		}
	}
}
