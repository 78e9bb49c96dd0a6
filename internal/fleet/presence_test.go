package fleet_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"essworker/internal/fleet"
	"essworker/internal/natstest"
)

// look is what an operator sees.
func (c *camp) look() fleet.Overview {
	c.t.Helper()
	v, err := fleet.OpenOffice(c.NC, c.JS, c.Topology.FleetBucket()).Look(c.t.Context(), time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// there are the ids of the workers that an operator sees.
func (c *camp) there() (ids []string) {
	c.t.Helper()
	for _, p := range c.look().Workers {
		ids = append(ids, p.ID)
	}
	return ids
}

// ids are those of the members, in the order of a listing.
func ids(crew ...*member) (ids []string) {
	for _, m := range crew {
		ids = append(ids, m.ID())
	}
	slices.Sort(ids)
	return ids
}

// TestPresence: a worker is seen from when it joins to when it leaves; one that dies
// is seen until its last word has run out.
func TestPresence(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		want := func(when string, crew ...*member) {
			t.Helper()
			if d := cmp.Diff(ids(crew...), c.there()); d != "" {
				t.Errorf("there are %s (-want +got):\n%s", when, d)
			}
		}
		want("before anybody joins")
		began := time.Now()
		a, b, d := c.join(), c.join(), c.join()
		want("after they joined", a, b, d)
		time.Sleep(5 * time.Minute)
		want("minutes later", a, b, d)
		a.Leave()
		want("after one has left", b, d)
		b.kill()
		time.Sleep(24 * time.Second)
		want("after one was killed", b, d)
		time.Sleep(13 * time.Second)
		want("when its last word has run out", d)

		// What the bucket loses is said again.
		s, err := c.JS.Stream(t.Context(), c.Topology.FleetStream())
		if err != nil {
			t.Fatal(err)
		}
		for _, how := range []error{s.Purge(t.Context()), c.kv().Delete(t.Context(), "worker."+d.ID())} {
			if how != nil {
				t.Fatal(how)
			}
		}
		want("when the bucket has lost everything")
		time.Sleep(11 * time.Second)
		want("some seconds later", d)

		over := make(chan struct{})
		go func() {
			defer close(over)
			d.linger(t, 20*time.Second)
		}()
		synctest.Wait()
		time.Sleep(11 * time.Second)
		got := c.look().Workers[0]
		if ago := time.Since(got.Seen); ago < 0 || ago > 10*time.Second {
			t.Errorf("its last word is %v old, want at most 10 s", ago)
		}
		first := fleet.Presence{
			ID: d.ID(), Host: "test", PID: 3, Version: "v1", Since: began, Rate: 20, ReplayShare: 0.25,
			Lanes: map[string]fleet.Share{"a": {Calls: 1, Credential: "ess"}},
		}
		if d := cmp.Diff(first, got, cmpopts.IgnoreFields(fleet.Presence{}, "Seen")); d != "" {
			t.Errorf("presence (-want +got):\n%s", d)
		}
		<-over
		d.Leave()
		d.Leave() // twice is no harm
		want("in the end")
	})
}

// linger is what a server does that was killed: it may forget when a record ends.
func (c *camp) linger(m *member) {
	c.t.Helper()
	if _, err := c.kv().PutString(c.t.Context(), "worker."+m.ID(), `{"id":"x"}`); err != nil {
		c.t.Fatal(err)
	}
}

// TestPresence_lingers: the record of a dead worker that the server does not take away is
// seen for no longer.
func TestPresence_lingers(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		dead, m := c.join(), c.join()
		dead.kill()
		c.linger(dead)
		time.Sleep(30 * time.Second)
		if d := cmp.Diff(ids(dead, m), c.there()); d != "" {
			t.Errorf("there are half a minute later (-want +got):\n%s", d)
		}
		time.Sleep(10 * time.Second)
		if d := cmp.Diff(ids(m), c.there()); d != "" {
			t.Errorf("there are a while later (-want +got):\n%s", d)
		}
		m.kill()
		c.linger(m)
		time.Sleep(time.Minute)
		if got := c.there(); len(got) > 0 {
			t.Errorf("there are %q when all are dead, want nobody", got)
		}
	})
}

// TestPresence_own: a worker says that its own breaker is open.
func TestPresence_own(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		a, b := c.join(), c.join()
		b.gate("a")
		a.fail("a", 5)
		time.Sleep(10 * time.Second)
		for _, p := range c.look().Workers {
			want := map[string]string{a.ID(): "open", b.ID(): ""}[p.ID]
			if got := p.Lanes["a"].Breaker; got != want {
				t.Errorf("%s says that its own breaker is %q, want %q", p.ID, got, want)
			}
		}
	})
}

// TestPresence_ids: two members are never one, whatever host and process they are of.
func TestPresence_ids(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		seen := map[string]bool{}
		for range 5 {
			f, err := fleet.Join(t.Context(), c.cfg, fleet.Member{
				NC: c.NC, JS: c.JS, Bucket: c.Topology.FleetBucket(), Host: "a host.with*odd>names", PID: 1, Log: natstest.Log(t),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Leave()
			seen[f.ID()] = true
		}
		if len(seen) != 5 || len(c.there()) != 5 {
			t.Errorf("five members have the ids %v, and %v are seen, want five of each", seen, c.there())
		}
	})
}

// TestJoin_withoutBucket: a worker without a bucket is told so, and leaves nothing behind.
func TestJoin_withoutBucket(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		_, err := fleet.Join(t.Context(), c.cfg, fleet.Member{
			NC: c.NC, JS: c.JS, Bucket: "NONE", Host: "test", Log: natstest.Log(t),
		})
		if err == nil {
			t.Error("Join without a bucket = nil, want an error")
		}
		if n := c.NC.NumSubscriptions(); n > 1 { // that of the answers
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

// TestLook: what an operator sees of a fleet in trouble.
func TestLook(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *camp) {
		m := c.join()
		office := fleet.OpenOffice(c.NC, c.JS, c.Topology.FleetBucket())
		began := time.Now()
		for range 100 {
			if err := m.gate("a").Slot(t.Context(), fleet.Ask{}); err != nil {
				t.Fatal(err)
			}
		}
		m.open("b")
		opened := time.Now()
		do(t, m.gate("c"), fleet.Call{}, badAction)
		for _, key := range []string{"1", "2", "3"} {
			do(t, m.gate("d"), fleet.Call{Tenant: "t", Key: key}, badTenant)
		}
		do(t, m.gate("e"), fleet.Call{Tenant: "u", Key: "1"}, badTenant) // not held
		m.fail("e", 1)                                                   // not open
		do(t, m.gate("f"), fleet.Call{}, throttled)
		if _, err := office.SetLimit(t.Context(), "ess.g", fleet.Limit{Rate: 7, Why: "they asked", By: "ann"}); err != nil {
			t.Fatal(err)
		}
		for lane, p := range map[string]fleet.Pause{"h": {Why: "a release", By: "bob"}, "i": {Why: "over", By: "bob"}} {
			if err := office.NotePause(t.Context(), lane, p); err != nil {
				t.Fatal(err)
			}
		}
		if err := office.NotePause(t.Context(), "i", fleet.Pause{}); err != nil {
			t.Fatal(err)
		}
		spread()
		got := c.look()
		near := cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() < 2*time.Second })
		want := fleet.Overview{
			Bars: []fleet.Bar{
				{Kind: fleet.Action, Name: "ess.c", Since: opened, Code: "Bad-action", Why: "mend it", RequestID: "r-1", By: m.ID(), ProbeAt: opened.Add(holdProbe), Every: holdProbe},
				{Kind: fleet.Breaker, Name: "b", Since: opened, Code: "InternalError", By: m.ID(), ProbeAt: opened.Add(cooldown), Every: cooldown},
				{Kind: fleet.Tenant, Name: "t", Since: opened, Code: "Bad-tenant", Why: "mend it", RequestID: "r-1", By: m.ID(), ProbeAt: opened.Add(holdProbe), Every: holdProbe, Events: []string{"1", "2", "3"}},
			},
			Limits: map[string]fleet.Limit{"ess.g": {Rate: 7, Why: "they asked", By: "ann", At: opened}},
			Pauses: map[string]fleet.Pause{"h": {Why: "a release", By: "bob", At: opened}},
			Pushed: map[string]fleet.Pushed{"ess.f": {At: opened, Pace: 10}},
		}
		if d := cmp.Diff(want, got, near, cmpopts.IgnoreFields(fleet.Overview{}, "Workers", "Usage")); d != "" {
			t.Errorf("Look (-want +got):\n%s", d)
		}
		u := got.Usage["ess.a"]
		if len(got.Usage) != 1 || u.Gap != 51*time.Millisecond || u.LastMinute < 95 || u.LastMinute > 101 || u.Last.Before(began) || u.Free.Before(u.Last) {
			t.Errorf("Usage = %+v, want a hundred slots of ess.a, 51 ms apart", got.Usage)
		}
		if now := got.Pushed["ess.f"].Now(20, opened.Add(5*time.Second)); now < 14 || now > 16 {
			t.Errorf("the pace after five seconds is %v, want it half way back", now)
		}
		// A record that was removed is none.
		if err := c.kv().Delete(t.Context(), "quota.ess.a"); err != nil {
			t.Fatal(err)
		}
		if got := c.look().Usage; len(got) != 0 {
			t.Errorf("Usage = %+v after the record was removed, want none", got)
		}
	})
}

// linger makes one call that takes that long.
func (m *member) linger(t *testing.T, long time.Duration) {
	t.Helper()
	_, _, err := m.gate("a").Do(t.Context(), fleet.Call{}, func(context.Context) ([]byte, error) {
		time.Sleep(long)
		return nil, nil
	})
	if err != nil {
		t.Errorf("Do = %v", err)
	}
}
