package doctor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/doctor"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natsd"
	"essworker/internal/natstest"
	"essworker/internal/topology"
)

// TestExamine_cluster has three servers: with one copy of each message, with three, and
// then one and two of the servers are gone.
func TestExamine_cluster(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	servers := cluster(t)
	d := doctor.Doctor{Topology: natstest.Defaults(), Routes: handlers.Routes(nil, handlers.Defaults{}), Patience: 3 * time.Second}
	d.Connect = connect(nil, natsconn.Config{URL: natsconn.URLs(servers[0].URL())})
	until(t, d, func(list []doctor.Finding) bool { return slices.ContainsFunc(list, notSetUp) })
	apply := func(replicas int) {
		t.Helper()
		d.Topology.Replicas = replicas
		nc := must[*nats.Conn](t, "connect")(d.Connect(t.Context()))
		defer nc.Close()
		js := must[jetstream.JetStream](t, "jetstream")(jetstream.New(nc))
		must[topology.Report](t, "apply")(topology.Apply(t.Context(), js, d.Topology, handlers.Types()))
	}
	apply(1)
	expect(t, atLeisure(t, d), "warn copies: the server belongs to a cluster and each message has one copy")

	d.Topology.Replicas = 3 // asked for, and not made
	list := complaints(atLeisure(t, d))
	if n := len(list); n != 7 || !strings.HasPrefix(list[0], "bad bucket ESS_FLEET: num_replicas is 1, declared 3") {
		t.Errorf("Examine complains of\n%s\nwant num_replicas of the six streams", strings.Join(list, "\n"))
	}
	apply(3)
	list = complaints(atLeisure(t, d)) // the cluster takes seconds to make them
	if !slices.ContainsFunc(list, func(line string) bool { return strings.Contains(line, "3 copies are asked for, and there are 1") }) {
		t.Errorf("Examine complains of\n%s\nwant copies that are not there yet", strings.Join(list, "\n"))
	}
	d.Topology.Prefix = "two" // made with them
	apply(3)
	until(t, d, func(list []doctor.Finding) bool { return len(complaints(list)) == 0 })
	if f := find(t, atLeisure(t, d), "sync"); f.Verdict != doctor.OK || !strings.Contains(f.Found, "3 copies outlast") {
		t.Errorf("%+v, want it to rest on the copies", f)
	}

	stop(t, servers[2])
	until(t, d, func(list []doctor.Finding) bool {
		lines := strings.Join(complaints(list), "\n")
		for _, name := range d.Topology.Streams() {
			if !strings.Contains(lines, "bad stream "+name+": its copy on s2 is offline") {
				return false
			}
		}
		return strings.Contains(lines, "bad consumer employee-onboarded: its copy on s2 is offline")
	})

	stop(t, servers[1])
	until(t, d, func(list []doctor.Finding) bool {
		lines := strings.Join(complaints(list), "\n")
		return strings.Contains(lines, "has no leader: nothing can be stored or read") || strings.Contains(lines, "bad jetstream: ")
	})
}

func notSetUp(f doctor.Finding) bool { return f.Check == "streams" }

// until examines again and again, since a cluster takes its time to notice.
func until(t *testing.T, d doctor.Doctor, yes func([]doctor.Finding) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		list := atLeisure(t, d)
		if yes(list) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("Examine does not come to what was expected, but to\n%s", strings.Join(complaints(list), "\n"))
		}
	}
}

func stop(t *testing.T, s *natsd.Server) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// cluster starts three servers, s0 to s2.
func cluster(t *testing.T) []*natsd.Server {
	t.Helper()
	routes := natstest.FreeAddrs(t, 3)
	servers := make([]*natsd.Server, len(routes))
	for i, at := range routes {
		file := writeFile(t, fmt.Sprintf("server_name: s%d\ncluster { name: c, listen: %q, routes: [\"nats://%s\"] }",
			i, at, strings.Join(routes, `", "nats://`)))
		servers[i] = must[*natsd.Server](t, "server")(natsd.Start(natsd.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", File: file, NoSync: true}))
		t.Cleanup(func() { _ = servers[i].Close() })
	}
	return servers
}
