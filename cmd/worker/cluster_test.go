package main

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"essworker/internal/esssim"
	"essworker/internal/topology"
)

// TestCluster_leaderless starts workers while the cluster has no leader yet: they say
// so and wait. One is to find the streams made; it is told to stop while it waits, and
// ends in order. The other makes them.
func TestCluster_leaderless(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("an election takes seconds")
	}
	c := newCluster(t)
	c.servers[0].launch()
	s := onCluster(t, c, c.servers[0])
	first, second := start(t, s.settings(), "worker", "run", "--no-setup"), s.launch()
	for _, w := range []*process{first, second} {
		w.says("waiting for JetStream")
	}
	first.signal(syscall.SIGTERM)
	if code := first.ended(); code != 0 {
		t.Errorf("exit code after SIGTERM while it waited = %d, want 0", code)
	}
	c.start()
	second.says(`"msg":"working"`)
	for _, name := range s.topo.Streams() {
		str, err := s.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if n := str.CachedInfo().Config.Replicas; n != 3 {
			t.Errorf("stream %s has %d replicas, want 3", name, n)
		}
	}
	ids := s.publish(6)
	s.settled()
	s.eachOnce(ids)
}

// TestCluster_kill kills servers with -9: one that leads both the events and the whole
// cluster, and one that leads a consumer.
func TestCluster_kill(t *testing.T) {
	t.Parallel()
	s := workCluster(t)
	s.trouble("kill the leader of everything", s.leaderOfAll, (*member).kill, (*member).restart)
	if !testing.Short() {
		s.trouble("kill the leader of a consumer", s.consumerLeader, (*member).kill, (*member).restart)
	}
	s.finish()
}

// TestCluster_stop stops a server with SIGTERM that leads the events and the cluster, and
// kills one that does not lead the events.
func TestCluster_stop(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	s := workCluster(t)
	s.trouble("stop the leader of everything", s.leaderOfAll, (*member).stop, (*member).restart)
	s.trouble("kill a follower", s.follower, (*member).kill, (*member).restart)
	s.finish()
}

// TestCluster_freeze stops servers as a stalled machine stops: its connections stay,
// and nobody answers. One of them leads, and on each hangs a worker.
func TestCluster_freeze(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	s := workCluster(t)
	first, second := s.cluster.servers[0], s.cluster.servers[1]
	s.cluster.makeLeader(s.js, s.topo.EventsStream(), first)
	s.trouble("freeze the leader of the events", func() *member { return first }, (*member).freeze, (*member).thaw)
	s.cluster.makeLeader(s.js, s.topo.EventsStream(), first)
	s.trouble("freeze a follower", func() *member { return second }, (*member).freeze, (*member).thaw)
	s.finish()
}

// clustered is a site on a cluster with two workers at work. The test's own
// connection is to the last of the servers, those of the workers to one of the others
// each, for as long as these live.
type clustered struct {
	*site
	cluster *cluster
	workers []*process
	feed    *feed
	began   time.Time
}

// onCluster connects the test to one of the servers, of which one at least must be up.
func onCluster(t *testing.T, c *cluster, at *member) *clustered {
	t.Helper()
	s := &clustered{site: bareSite(t, at.url(), 5*time.Second, nil), cluster: c, began: time.Now()}
	s.topo.Replicas = len(c.servers)
	return s
}

// workCluster starts servers and workers, and begins to publish.
func workCluster(t *testing.T) *clustered {
	t.Helper()
	c := newCluster(t)
	c.start()
	s := onCluster(t, c, c.servers[2])
	s.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 30 * time.Millisecond})
	for _, at := range c.servers[:2] {
		s.workers = append(s.workers, s.launch("NATS_URL="+at.url()))
	}
	for _, w := range s.workers {
		w.says(`"msg":"working"`)
	}
	s.feed = s.keepPublishing(c.servers[0].url())
	s.log("work")
	until(t, "the first results", func() bool { return s.calls.Load() > 30 })
	return s
}

// trouble is what happens to one server while there is work, and its mending. It is
// mended once all that was accepted before is settled: two servers are enough.
func (s *clustered) trouble(what string, whom func() *member, do, mend func(*member)) {
	s.t.Helper()
	until(s.t, "events wait", func() bool { return s.state(s.topo.EventsStream()).Msgs > backlog/3 })
	victim := whom()
	last := s.state(s.topo.EventsStream()).LastSeq
	s.log("%s: %s", what, victim.name)
	do(victim)
	until(s.t, "the events from before are settled", func() bool { return s.state(s.topo.EventsStream()).FirstSeq > last })
	s.log("the events from before are settled")
	mend(victim)
	s.log("%s is back", victim.name)
}

// finish ends the publishing and holds promises 1 to 3.
func (s *clustered) finish() {
	s.t.Helper()
	ids := s.feed.finish()
	s.settled()
	s.log("%d events, %d vendor calls", len(ids), s.calls.Load())
	s.eachOnce(ids)
	s.carriedOutOnce()
	s.withinQuota()
	for _, w := range s.workers {
		w.signal(syscall.SIGTERM)
	}
	for _, w := range s.workers {
		if code := w.ended(); code != 0 {
			s.t.Errorf("exit code of a worker after SIGTERM = %d, want 0", code)
		}
	}
}

func (s *clustered) log(format string, args ...any) {
	s.t.Helper()
	s.t.Logf("%5.1fs "+format, append([]any{time.Since(s.began).Seconds()}, args...)...)
}

func (s *clustered) eventsLeader() *member {
	return s.cluster.streamLeader(s.js, s.topo.EventsStream())
}

// leaderOfAll is the leader of the cluster, made to lead the events too.
func (s *clustered) leaderOfAll() *member {
	s.t.Helper()
	m := s.cluster.metaLeader()
	s.cluster.makeLeader(s.js, s.topo.EventsStream(), m)
	return m
}

func (s *clustered) consumerLeader() *member {
	return s.cluster.consumerLeader(s.js, s.topo.EventsStream(), topology.Consumer("employee.onboarded"))
}

// follower is a server that does not lead the events, with a worker connected to it.
func (s *clustered) follower() *member {
	leader := s.eventsLeader()
	return s.cluster.servers[slices.IndexFunc(s.cluster.servers, func(s *member) bool { return s != leader })]
}
