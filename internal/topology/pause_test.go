package topology_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natstest"
	"essworker/internal/topology"
)

// paused asks the server about the consumer of a type.
func paused(t *testing.T, b *natstest.Bed, typ string) (until time.Time, yes bool) {
	t.Helper()
	c, err := b.JS.Consumer(t.Context(), b.Topology.EventsStream(), topology.Consumer(typ))
	if err != nil {
		t.Fatal(err)
	}
	return topology.Paused(c.CachedInfo())
}

// TestPause has one lane stopped, for a while and for good, while events come in.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, types...)
		typ, other := types[0], types[1]
		for _, subject := range []string{b.Topology.EventSubject(typ), b.Topology.EventSubject(other)} {
			if _, err := b.JS.Publish(t.Context(), subject, nil); err != nil {
				t.Fatal(err)
			}
		}
		if until, yes := paused(t, b, typ); yes {
			t.Errorf("before: paused until %v, want not at all", until)
		}
		want := time.Now().Add(time.Hour).UTC()
		until, err := topology.Pause(t.Context(), b.JS, b.Topology.Names, typ, want)
		if err != nil || !until.Equal(want) {
			t.Errorf("Pause for an hour = %v, %v, want %v", until, err, want)
		}
		if until, yes := paused(t, b, typ); !yes || !until.Equal(want) {
			t.Errorf("paused = %t until %v, want until %v", yes, until, want)
		}
		if got := delivered(t, b, typ); got != 0 {
			t.Errorf("%d events of the paused lane, want 0", got)
		}
		if got := delivered(t, b, other); got != 1 {
			t.Errorf("%d events of the other lane, want 1", got)
		}
		until, err = topology.Pause(t.Context(), b.JS, b.Topology.Names, typ, time.Time{})
		if err != nil || !until.IsZero() {
			t.Errorf("Pause for good = %v, %v, want the zero time", until, err)
		}
		time.Sleep(2 * time.Hour)
		if until, yes := paused(t, b, typ); !yes || !until.IsZero() {
			t.Errorf("two hours later: paused = %t until %v, want for good", yes, until)
		}
		for range 2 { // the second has nothing to do
			if err := topology.Resume(t.Context(), b.JS, b.Topology.Names, typ); err != nil {
				t.Errorf("Resume: %v", err)
			}
		}
		if until, yes := paused(t, b, typ); yes {
			t.Errorf("resumed: paused until %v, want not at all", until)
		}
		if got := delivered(t, b, typ); got != 1 {
			t.Errorf("%d events of the resumed lane, want 1", got)
		}
	})
}

func TestPause_endsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, types...)
		if _, err := topology.Pause(t.Context(), b.JS, b.Topology.Names, types[0], time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if until, yes := paused(t, b, types[0]); yes {
			t.Errorf("a minute later: paused until %v, want not at all", until)
		}
	})
}

// TestPause_outlivesSetup has a worker of other settings start beside a paused lane,
// and the server start anew.
func TestPause_outlivesSetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, types...)
		if _, err := topology.Pause(t.Context(), b.JS, b.Topology.Names, types[0], time.Time{}); err != nil {
			t.Fatal(err)
		}
		b.Topology.AckWait *= 2
		for range 2 {
			if _, err := topology.Apply(t.Context(), b.JS, b.Topology, types); err != nil {
				t.Fatal(err)
			}
		}
		c, err := b.JS.Consumer(t.Context(), b.Topology.EventsStream(), topology.Consumer(types[0]))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.CachedInfo().Config.AckWait; got != b.Topology.AckWait {
			t.Errorf("ack wait %v, want %v: nothing was updated, so nothing is shown", got, b.Topology.AckWait)
		}
		if until, yes := paused(t, b, types[0]); !yes || !until.IsZero() {
			t.Errorf("after Apply: paused = %t until %v, want for good", yes, until)
		}
		b.Restart()
		if until, yes := paused(t, b, types[0]); !yes || !until.IsZero() {
			t.Errorf("after a restart: paused = %t until %v, want for good", yes, until)
		}
	})
}

func TestPause_wrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, types...)
		ctx, names := t.Context(), b.Topology.Names
		if _, err := topology.Pause(ctx, b.JS, names, types[0], time.Now().Add(-time.Second)); err == nil {
			t.Error("Pause until a second ago = no error, want one")
		}
		if _, err := topology.Pause(ctx, b.JS, names, "no.such", time.Time{}); !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Errorf("Pause of no lane = %v, want ErrConsumerNotFound", err)
		}
		for name, resume := range map[string]topology.Names{"lane": names, "stream": {Prefix: "none"}} {
			err := topology.Resume(ctx, b.JS, resume, "no.such")
			if !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Errorf("Resume of no %s = %v, want not found", name, err)
			}
		}
	})
}

// delivered is how many events of a type come within a second; they stay unsettled.
func delivered(t *testing.T, b *natstest.Bed, typ string) (n int) {
	t.Helper()
	c, err := b.JS.Consumer(t.Context(), b.Topology.EventsStream(), topology.Consumer(typ))
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(10, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() {
		n++
	}
	return n
}
