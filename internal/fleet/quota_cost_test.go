package fleet_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestQuota_crowd counts, with -members 1000 too, what agreeing costs: what is sent to
// the broker for each call, once everybody knows how many they are.
func TestQuota_crowd(t *testing.T) {
	if testing.Short() {
		t.Skip("TestQuota has fewer of them")
	}
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		long := max(10*time.Second, time.Duration(*members)*100*time.Millisecond)
		crew := c.crew(*members)
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		start, made, tap := time.Now(), &calls{}, c.tap()
		var wg sync.WaitGroup
		for _, m := range crew {
			m.call(ctx, &wg, 2, made)
		}
		time.Sleep(long / 2)
		before := tap.count()
		wg.Wait()
		sent := tap.count()
		made.check(t, 20)
		made.checkUsed(t, 0.97, 20, start.Add(time.Second), long-time.Second)
		n := float64(made.between(start.Add(long/2), long/2))
		writes, reads := float64(sent.writes-before.writes)/n, float64(sent.reads-before.reads)/n
		t.Logf("%d members: %.2f writes and %.2f reads for each call; at first %d and %d for %d calls",
			*members, writes, reads, before.writes, before.reads, made.between(start, long/2))
		if writes > 1.2 {
			t.Errorf("%.2f writes for each call, want hardly more than one: members that compete must not get in each other's way", writes)
		}
	})
}

// TestQuota_alone: a member that nobody competes with writes once for each call, and
// reads nothing.
func TestQuota_alone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m, tap, made := c.crew(3)[0], c.tap(), &calls{}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		m.call(ctx, &wg, 10, made)
		wg.Wait()
		n := int64(len(made.at))
		if sent := tap.count(); sent.writes > n+10 || sent.reads > 15 {
			t.Errorf("%+v for %d calls, want one write each and hardly a read", sent, n)
		}
	})
}

// sent is what was sent to the broker about quotas.
type sent struct{ writes, reads int64 }

type tap struct{ writes, reads atomic.Int64 }

func (p *tap) count() sent { return sent{p.writes.Load(), p.reads.Load()} }

// tap listens to what the members send about quotas from now on.
func (c *camp) tap() *tap {
	c.t.Helper()
	p := &tap{}
	c.listen("$KV.ESS_FLEET.quota.>", func(*nats.Msg) { p.writes.Add(1) })
	c.listen("$JS.API.STREAM.MSG.GET.KV_ESS_FLEET", func(m *nats.Msg) {
		if strings.Contains(string(m.Data), "quota.") {
			p.reads.Add(1)
		}
	})
	return p
}

func (c *camp) listen(subject string, heard func(*nats.Msg)) {
	c.t.Helper()
	if _, err := c.NC.Subscribe(subject, heard); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if err := c.NC.FlushWithContext(ctx); err != nil {
		c.t.Fatal(err)
	}
}
