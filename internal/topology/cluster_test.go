package topology_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsconn"
	"essworker/internal/natsd"
	"essworker/internal/natstest"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// TestApply_cluster has three servers: replicas are raised and never lowered, and
// what rests on conditional publishing holds with them.
func TestApply_cluster(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	js := cluster(t)
	cfg := natstest.Defaults()
	waitForLeader(t, js[0])
	for _, step := range []struct{ replicas, changes, warnings int }{
		{1, 9, 0}, {3, 6, 0}, {3, 0, 0}, {1, 0, 6},
	} {
		cfg.Replicas = step.replicas
		report, err := topology.Apply(t.Context(), js[0], cfg, types)
		if err != nil || len(report.Changes) != step.changes || len(report.Warnings) != step.warnings {
			t.Fatalf("%d replicas: %v, error %v; want %d changes and %d warnings", step.replicas, report, err, step.changes, step.warnings)
		}
	}
	s, err := js[1].Stream(t.Context(), cfg.ResultsStream())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().Config.Replicas; n != 3 {
		t.Errorf("%d replicas, want the 3 there were", n)
	}
	pubs := make([]*stream.Publisher, 3)
	for i := range pubs {
		pubs[i] = stream.NewPublisher(js[i].Conn())
	}
	const subjects = 50
	var first [subjects]atomic.Int32 // of so many publishes
	var wg sync.WaitGroup
	for i := range 8 * subjects {
		wg.Go(func() {
			msg := nats.NewMsg(cfg.ResultSubject("employee.bound", strconv.Itoa(i%subjects)))
			msg.Header.Set("Nats-Msg-Id", msg.Subject)
			seq, existed, err := pubs[i%3].Once(t.Context(), msg)
			if err != nil || seq == 0 {
				t.Errorf("seq %d, error %v", seq, err)
			}
			if !existed {
				first[i%subjects].Add(1)
			}
		})
	}
	wg.Wait()
	for i := range first { // it is nobody's whose confirmation was lost
		if n := first[i].Load(); n > 1 {
			t.Errorf("%d of 8 publishes stored subject %d, want one", n, i)
		}
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := info.State.Msgs; n != subjects {
		t.Errorf("%d messages on %d subjects, want one each", n, subjects)
	}
	var all []string
	for i := range 2 * subjects {
		all = append(all, cfg.ResultSubject("employee.bound", strconv.Itoa(i)))
	}
	lookup, began := stream.NewLookup(js[2].Conn(), cfg.ResultsStream()), time.Now()
	for {
		found, err := lookup.Last(t.Context(), all...)
		if err == nil && len(found) == subjects {
			break
		}
		if time.Since(began) > time.Minute || len(found) > subjects { // until then a replica that answers may lag
			t.Errorf("lookup: %d found, error %v", len(found), err)
			break
		}
	}
	cfg.Replicas = 5
	cfg.Prefix = "more"
	_, err = topology.Apply(t.Context(), js[0], cfg, types)
	if err == nil || !strings.Contains(err.Error(), "WORKER_REPLICAS=5 needs as many servers") || !topology.Passing(err) {
		t.Errorf("five replicas on three servers: error %v, want one that more servers would mend", err)
	}
}

// cluster starts three servers and connects to each.
func cluster(t *testing.T) []jetstream.JetStream {
	t.Helper()
	routes := natstest.FreeAddrs(t, 3)
	list := make([]jetstream.JetStream, len(routes))
	for i, at := range routes {
		file := writeFile(t, fmt.Sprintf("server_name: s%d\ncluster { name: c, listen: %q, routes: [\"nats://%s\"] }",
			i, at, strings.Join(routes, `", "nats://`)))
		s, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", File: file, NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		nc, err := natsconn.Connect(t.Context(), natsconn.Config{URL: natsconn.URLs(s.URL())}, natsconn.Options{
			Name: t.Name(), InboxPrefix: "_INBOX_test", Log: natstest.Log(t),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		if list[i], err = jetstream.New(nc); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// waitForLeader asks until someone answers: without a leader nobody does.
func waitForLeader(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	for began := time.Now(); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := js.AccountInfo(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
}
