package main

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/esssim"
	"essworker/internal/natstest"
)

// TestKillWorkers_nothingLost kills workers with -9, one for every few calls to the
// vendor and in the midst of them, and starts others.
func TestKillWorkers_nothingLost(t *testing.T) {
	t.Parallel()
	const events, fleet, callsPerKill = 240, 3, 20
	kill := make(chan struct{}, events)
	s := newSite(t, natstest.NewTCP(t).Server.URL(), 2*time.Second, func(_ *site, n int64) {
		if n%callsPerKill == 0 {
			kill <- struct{}{}
		}
	})
	s.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 20 * time.Millisecond, Ratio: 0.5})
	s.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 50 * time.Millisecond})
	ids := s.publish(events)
	worker := func() *process {
		// A worker that is killed looks like an event that crashed it: that is not the point here.
		return s.launch("WORKER_POISON_AFTER=1000", "WORKER_RATE=20", "WORKER_BACKOFF_MIN=50ms")
	}
	var workers []*process
	for range fleet {
		workers = append(workers, worker())
	}
	kills := 0
	until(t, "every event settled", func() bool {
		select {
		case <-kill:
			i := kills % fleet
			workers[i].kill()
			workers[i] = worker()
			kills++
			return false
		default:
			// A kill may have fallen due while the stream was looked at.
			return s.state(s.topo.EventsStream()).Msgs == 0 && len(kill) == 0
		}
	})
	t.Logf("%d workers were killed", kills)
	if kills < events/callsPerKill {
		t.Errorf("%d workers were killed, want at least %d", kills, events/callsPerKill)
	}
	s.eachOnce(ids)
	s.carriedOutOnce()
	s.withinQuota()
}

// TestKillServer_confirmedIsKept kills the NATS server with -9 while events come in
// and are worked on, and starts it again on what is on the disk.
func TestKillServer_confirmedIsKept(t *testing.T) {
	t.Parallel()
	const events, kills = 240, 3
	dir, addr := t.TempDir(), natstest.FreeAddrs(t, 1)[0] // it comes back there
	server := start(t, nil, "natsd", dir, addr)
	server.says("natsd listens")
	s := newSite(t, "nats://"+addr, 2*time.Second, nil)
	s.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 20 * time.Millisecond})
	for range 2 {
		s.worker("WORKER_RATE=0", "WORKER_POISON_AFTER=1000", "WORKER_BACKOFF_MIN=50ms")
	}
	var confirmed []string
	unknown := map[string]bool{}
	back := s.js.Conn().StatusChanged(nats.CONNECTED)
	for i := range events {
		if i > 0 && i%(events/(kills+1)) == 0 {
			server.kill()
			server = start(t, nil, "natsd", dir, addr)
		}
		id, msg := s.message(i)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // an answer may be lost with the server
		_, err := s.js.PublishMsg(ctx, msg)
		cancel()
		if err == nil {
			confirmed = append(confirmed, id)
			continue
		}
		unknown[id] = true
		if !s.js.Conn().IsConnected() {
			select {
			case <-back:
			case <-time.After(patience):
				t.Fatalf("the publisher does not reconnect; the server said:\n%s", server.said.end())
			}
		}
	}
	s.settled()
	for id := range s.results() { // it was stored although nobody could say so
		if unknown[id] {
			confirmed = append(confirmed, id)
		}
	}
	t.Logf("%d of %d publishes were confirmed, and %d more were stored", events-len(unknown), events, len(confirmed)+len(unknown)-events)
	if len(unknown) > events/4 {
		t.Errorf("%d publishes of %d failed: the server was hardly there", len(unknown), events)
	}
	s.eachOnce(confirmed)
	s.carriedOutOnce()
}

// TestStop_first is what SIGTERM does: the calls in flight finish, and the rest is
// with another worker at once, not when its ack wait is over.
func TestStop_first(t *testing.T) {
	t.Parallel()
	const events, inFlight = 30, 3
	called, release := make(chan struct{}, events), make(chan struct{})
	s := newSite(t, natstest.NewTCP(t).Server.URL(), time.Hour, func(_ *site, n int64) {
		if n <= inFlight {
			called <- struct{}{}
			<-release
		}
	})
	first := s.worker("WORKER_RATE=5", "WORKER_CONCURRENCY=4") // more come into its hands than it may call for
	ids := s.publish(events)
	for range inFlight {
		<-called
	}
	first.signal(syscall.SIGTERM)
	first.says(`"msg":"stopping`)
	second := s.worker("WORKER_RATE=0")
	until(t, "the other worker has done the rest", func() bool {
		return s.state(s.topo.ResultsStream()).Msgs == events-inFlight
	})
	select {
	case <-first.done:
		t.Fatal("the worker has ended with calls in flight")
	default:
	}
	close(release)
	if code := first.ended(); code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0", code)
	}
	s.settled()
	second.signal(syscall.SIGINT)
	if code := second.ended(); code != 0 {
		t.Errorf("exit code after SIGINT = %d, want 0", code)
	}
	if got := s.calls.Load(); got != events {
		t.Errorf("%d vendor calls for %d events, want one each", got, events)
	}
	s.eachOnce(ids)
}

// TestStop_second is what a second signal does: the worker ends now, and what it had
// in hand comes again.
func TestStop_second(t *testing.T) {
	t.Parallel()
	const events = 3
	called, release := make(chan struct{}, 2*events), make(chan struct{})
	s := newSite(t, natstest.NewTCP(t).Server.URL(), time.Second, func(_ *site, n int64) {
		if n <= events {
			called <- struct{}{}
			<-release
		}
	})
	t.Cleanup(func() { close(release) })
	first := s.worker("WORKER_DRAIN=1h")
	ids := s.publish(events)
	for range events {
		<-called
	}
	first.signal(syscall.SIGTERM)
	first.says(`"msg":"stopping`)
	first.signal(syscall.SIGTERM)
	if code, want := first.ended(), 128+int(syscall.SIGTERM); code != want {
		t.Errorf("exit code after the second signal = %d, want %d as of a killed process", code, want)
	}
	s.worker()
	s.settled()
	s.eachOnce(ids)
}

// TestStop_beforeWork is a signal to a worker that is still looking for its server:
// an orderly end too.
func TestStop_beforeWork(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := start(t, []string{
			"NATS_URL=nats://127.0.0.1:1", "TENCENTCLOUD_SECRET_ID=x", "TENCENTCLOUD_SECRET_KEY=y", "WORKER_HTTP_ADDR=",
		}, "worker", "run")
		p.says("no NATS server")
		p.signal(sig)
		if code := p.ended(); code != 0 {
			t.Errorf("exit code after %v = %d, want 0", sig, code)
		}
	}
}
