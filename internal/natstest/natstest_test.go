package natstest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

// TestClock guards what every test in a bubble rests on, the internals of server
// and client: that none of their goroutines keeps the bubble's clock from moving.
func TestClock(t *testing.T) {
	const limit = time.Minute // generous: the hour itself takes some 10 ms, where nobody else wants the machine
	watchdog := time.AfterFunc(limit, func() {
		panic("the clock of a testing/synctest bubble with a NATS server in it stands still: " +
			"some goroutine of the server or the client waits for something outside the bubble. " +
			"Look below for the one goroutine of the bubble that is not marked durable; " +
			"a new version of nats-server or nats.go is the likely cause (see natsd's init)")
	})
	defer watchdog.Stop()
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, "employee.onboarded")
		before := time.Now()
		time.Sleep(time.Hour)
		if got := time.Since(before); got != time.Hour {
			t.Errorf("time.Sleep(1h) took %v of the bubble's time, want 1h", got)
		}
		if _, err := b.JS.Publish(t.Context(), b.Topology.EventSubject("employee.onboarded"), nil); err != nil {
			t.Errorf("publish after an hour: %v", err)
		}
	})
	if took := time.Since(began); took > limit/2 {
		t.Errorf("an hour in the bubble took %v of real time, want a second or so", took)
	}
}

// TestAckWait has the server's own timers run by the bubble's clock.
func TestAckWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, "employee.onboarded")
		if _, err := b.JS.Publish(t.Context(), "ess.events.employee.onboarded", nil); err != nil {
			t.Fatal(err)
		}
		c, err := b.JS.Consumer(t.Context(), b.Topology.EventsStream(), "employee-onboarded")
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		again, err := c.Next(jetstream.FetchMaxWait(5 * time.Minute))
		if err != nil {
			t.Fatalf("second delivery: %v", err)
		}
		if took := time.Since(began); took < time.Minute || took > 62*time.Second {
			t.Errorf("second delivery after %v, want the ack wait of 1m", took)
		}
		if m, _ := again.Metadata(); m.NumDelivered != 2 {
			t.Errorf("second delivery counts %d, want 2", m.NumDelivered)
		}
		if err := first.DoubleAck(t.Context()); err != nil {
			t.Errorf("ack: %v", err)
		}
	})
}

func TestRestart(t *testing.T) {
	const subject = "ess.events.employee.onboarded"
	run := func(t *testing.T, b *natstest.Bed) {
		if _, err := b.JS.Publish(t.Context(), subject, []byte("before")); err != nil {
			t.Fatal(err)
		}
		b.Restart()
		ack, err := b.JS.Publish(t.Context(), subject, []byte("after"))
		if err != nil {
			t.Fatalf("publish after the restart: %v", err)
		}
		if ack.Sequence != 2 {
			t.Errorf("publish after the restart has sequence %d, want 2: the directory is another", ack.Sequence)
		}
	}
	t.Run("in a bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { run(t, natstest.New(t, "employee.onboarded")) })
	})
	t.Run("over TCP", func(t *testing.T) {
		b := natstest.NewTCP(t, "employee.onboarded")
		nc, url := b.NC, b.Server.URL()
		run(t, b)
		if b.NC != nc || b.Server.URL() != url {
			t.Errorf("the Bed has another connection or port (%s, was %s); want the client to find the server again", b.Server.URL(), url)
		}
	})
}

// TestConnect has a fleet of connections on one server.
func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t)
		for range 3 {
			nc := b.Connect(natsconn.Options{InboxPrefix: "_INBOX_other"}, natsconn.Config{})
			if nc == b.NC || !nc.IsConnected() {
				t.Errorf("Connect gave %v, want a connection of its own", nc.Status())
			}
		}
	})
}

// TestStart_timers uses the client's pool of timers in one bubble, in the next, and
// outside. A timer that went from one to the other would end the process.
func TestStart_timers(t *testing.T) {
	flush := func(t *testing.T, b *natstest.Bed) {
		for range 3 {
			if err := b.NC.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		synctest.Test(t, func(t *testing.T) { flush(t, natstest.New(t)) })
		flush(t, natstest.NewTCP(t))
	}
}
