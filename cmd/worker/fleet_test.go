package main

import (
	"syscall"
	"testing"
	"time"

	"essworker/internal/esssim"
	"essworker/internal/natstest"
)

// TestFleet_quota has four workers share a quota. One is killed with -9 midway, and
// another joins: to the vendor they look like one well-behaved caller all the time.
func TestFleet_quota(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes seconds to be at full pace for seconds")
	}
	const workers, phase = 4, 7 * 3 * quota // calls: seven seconds of three actions
	s := newFleetSite(t)
	fleet := s.fleet(workers)
	ids := s.publishAhead(nil, 2*phase+2*3*quota)
	began := s.work(3 * quota)
	killed := s.work(phase)
	fleet[1].kill()
	s.launch()
	ended := s.work(phase)
	s.settled()
	s.usedUp(began, killed)
	s.usedUp(killed, ended)
	s.withinQuota()
	s.eachOnce(ids)
	s.carriedOutOnce()
}

// TestFleet_noVendor has one of four workers whose network does not lead to the vendor:
// the others do its work too, at full pace.
func TestFleet_noVendor(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes seconds to be at full pace for seconds")
	}
	const workers, phase = 4, 7 * 3 * quota
	s := newFleetSite(t)
	nobody := "http://" + natstest.FreeAddrs(t, 1)[0]
	lame := s.worker("ESS_ENDPOINT="+nobody, "ESSBASIC_ENDPOINT="+nobody)
	s.fleet(workers - 1)
	ids := s.publish(2 * 3 * quota)
	lame.says(`"outcome":"(retrying|waiting)".*connection refused`)
	ids = s.publishAhead(ids, phase+3*quota)
	began := time.Now()
	ended := s.work(phase)
	s.settled()
	s.usedUp(began, ended)
	s.withinQuota()
	s.eachOnce(ids)
	s.carriedOutOnce()
}

// TestFleet_frozen stops one of three workers as a stalled machine does, with events in
// its hands: the others get them once the ack wait is over. When it wakes up in the
// midst of their work, what it had in mind has been done, or has to wait for its turn.
func TestFleet_frozen(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("an ack wait takes seconds")
	}
	const workers = 3
	s := newFleetSite(t)
	frozen := s.fleet(workers)[0]
	ids := s.publish(3 * 3 * quota)
	frozen.says(`"outcome":"succeeded"`)
	frozen.signal(syscall.SIGSTOP)
	last := s.state(s.topo.EventsStream()).LastSeq
	until(t, "all is done that had come before", func() bool { return s.state(s.topo.EventsStream()).FirstSeq > last })
	ids = s.publishAhead(ids, 3*3*quota)
	s.work(quota)
	frozen.signal(syscall.SIGCONT)
	s.settled()
	s.withinQuota()
	s.eachOnce(ids)
	s.carriedOutOnce()
	frozen.signal(syscall.SIGTERM)
	if code := frozen.ended(); code != 0 {
		t.Errorf("exit code of the worker that was frozen, after SIGTERM = %d, want 0", code)
	}
}

// newFleetSite is a site on one server with a vendor of everyday speed.
func newFleetSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, natstest.NewTCP(t).Server.URL(), 2*time.Second, nil)
	s.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 30 * time.Millisecond})
	return s
}

// fleet starts workers, all at once.
func (s *site) fleet(n int) []*process {
	s.t.Helper()
	list := make([]*process, n)
	for i := range list {
		list[i] = s.launch()
	}
	for _, w := range list {
		w.says(`"msg":"working"`)
	}
	return list
}

// publishAhead publishes behind the events there are until so many more calls are to come,
// however many were made meanwhile.
func (s *site) publishAhead(ids []string, calls int) []string {
	s.t.Helper()
	for {
		missing := int(s.calls.Load()) + calls - len(ids)
		if missing <= 0 {
			return ids
		}
		ids = append(ids, s.publishFrom(len(ids), missing)...)
	}
}

// work waits for so many more calls, and gives the time.
func (s *site) work(calls int64) time.Time {
	s.t.Helper()
	goal := s.calls.Load() + calls
	until(s.t, "calls to the vendor", func() bool { return s.calls.Load() >= goal })
	return time.Now()
}
