package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsconn"
	"essworker/internal/natsd"
)

// line leads to the server that runs at present, so that clients of one process find
// the next one when it has been stopped and started again.
type line struct{ to atomic.Pointer[natsd.Server] }

func (l *line) InProcessConn() (net.Conn, error) {
	if s := l.to.Load(); s != nil {
		return s.InProcessConn()
	}
	return nil, errors.New("no server")
}

// joinOver is join with a connection that survives a restart of the server.
func (c *camp) joinOver(l *line) *member {
	c.t.Helper()
	nc, err := natsconn.Connect(c.t.Context(), natsconn.Config{}, natsconn.Options{
		Name: c.t.Name(), InboxPrefix: "_INBOX_test", NoRetry: true, InProcess: l,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	m := &member{nc: nc, camp: c}
	c.joinWith(m)
	return m
}

// TestQuota_brokerAway: while the broker is away nobody calls, and no slot is given out
// twice when it is back.
func TestQuota_brokerAway(t *testing.T) { // not parallel: the client's reconnect shares timers
	inBubble(t, func(t *testing.T, c *camp) {
		l := &line{}
		l.to.Store(c.Server)
		crew := []*member{c.joinOver(l), c.joinOver(l), c.joinOver(l)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		made := &calls{}
		var wg sync.WaitGroup
		for _, m := range crew {
			m.call(ctx, &wg, 10, made)
		}
		for _, away := range []time.Duration{10 * time.Millisecond, time.Second, 10 * time.Second} {
			time.Sleep(2*time.Second + rand.N(time.Second))
			began := time.Now()
			c.Stop()
			l.to.Store(nil)
			time.Sleep(away)
			if n := made.between(began.Add(600*time.Millisecond), away); n > 0 {
				t.Errorf("%d calls while the broker is away for %v, want no more than what was given out before", n, away)
			}
			c.Resume()
			l.to.Store(c.Server)
			back := time.Now()
			time.Sleep(10 * time.Second)
			made.checkUsed(t, 0.95, 20, back.Add(7*time.Second), 3*time.Second)
		}
		cancel()
		wg.Wait()
		made.check(t, 20)
	})
}

// TestQuota_recordLost: a record that is lost, cannot be read or comes from a clock
// that was wrong costs some slots and breaks nothing.
func TestQuota_record(t *testing.T) {
	t.Parallel()
	future, err := json.Marshal(map[string]any{"from": time.Now().AddDate(200, 0, 0), "slots": 3, "gap": 51_000_000, "times": 7})
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *camp, kv jetstream.KeyValue) error{
		"deleted": func(c *camp, kv jetstream.KeyValue) error { return kv.Delete(c.t.Context(), "quota.ess.a") },
		"purged": func(c *camp, _ jetstream.KeyValue) error {
			s, err := c.JS.Stream(c.t.Context(), c.Topology.FleetStream())
			if err != nil {
				return err
			}
			return s.Purge(c.t.Context())
		},
		"broken": func(c *camp, kv jetstream.KeyValue) error {
			_, err := kv.Put(c.t.Context(), "quota.ess.a", []byte("{"))
			return err
		},
		"another's": func(c *camp, kv jetstream.KeyValue) error {
			_, err := kv.Put(c.t.Context(), "quota.ess.a", []byte(`{"later": "than this version"}`))
			return err
		},
		"from the future": func(c *camp, kv jetstream.KeyValue) error {
			_, err := kv.Put(c.t.Context(), "quota.ess.a", future)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, c *camp) {
				crew := c.crew(2)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				made := &calls{}
				var wg sync.WaitGroup
				for _, m := range crew {
					m.call(ctx, &wg, 10, made)
				}
				kv, err := c.JS.KeyValue(t.Context(), c.Topology.FleetBucket())
				if err != nil {
					t.Fatal(err)
				}
				var last time.Time
				for range 4 {
					time.Sleep(time.Second + rand.N(time.Second))
					if err := spoil(c, kv); err != nil {
						t.Fatal(err)
					}
					last = time.Now()
				}
				time.Sleep(6 * time.Second)
				cancel()
				wg.Wait()
				made.check(t, 20)
				made.checkUsed(t, 0.95, 20, last.Add(2*time.Second), 4*time.Second)
				if log := c.log.String(); strings.Contains(log, "level=WARN") != (name == "broken") {
					t.Errorf("logged:\n%s", log)
				}
			})
		})
	}
}

// TestQuota_answerLost: a reservation whose confirmation is lost may be wasted, and is
// never given out twice.
func TestQuota_answerLost(t *testing.T) { // not parallel: the client's reconnect shares timers
	inBubble(t, func(t *testing.T, c *camp) {
		crew := c.crew(2)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		made := &calls{}
		var wg sync.WaitGroup
		for _, m := range crew {
			m.call(ctx, &wg, 10, made)
		}
		var n atomic.Int64
		c.listen("$KV.ESS_FLEET.quota.>", func(*nats.Msg) {
			if n.Add(1)%20 == 0 {
				_ = crew[0].nc.ForceReconnect()
			}
		})
		time.Sleep(30 * time.Second)
		cancel()
		wg.Wait()
		made.check(t, 20)
		if n := len(made.at); n < 300 {
			t.Errorf("%d calls in 30 s, want half of the quota at least: the other member goes on", n)
		}
	})
}
