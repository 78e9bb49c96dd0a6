package topology_test

import (
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natstest"
	"essworker/internal/topology"
)

// TestSubscribe makes a consumer once, and leaves alone what somebody has made.
func TestSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, "employee.onboarded")
		names := b.Topology.Names
		_, err := b.JS.CreateConsumer(t.Context(), names.ResultsStream(), jetstream.ConsumerConfig{
			Durable: "theirs", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "ess.results.employee.bound.*",
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name    string
			plan    bool
			changes int
		}{{"ours", true, 1}, {"ours", false, 1}, {"ours", false, 0}, {"ours", true, 0}, {"theirs", false, 0}} {
			changes, err := topology.Subscribe(t.Context(), b.JS, names, tt.name, tt.plan)
			if err != nil || len(changes) != tt.changes {
				t.Errorf("Subscribe(%q, plan %t) = %v, %v, want %d changes", tt.name, tt.plan, changes, err, tt.changes)
			}
		}
		for name, filter := range map[string]string{"ours": "ess.results.>", "theirs": "ess.results.employee.bound.*"} {
			c, err := b.JS.Consumer(t.Context(), names.ResultsStream(), name)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.CachedInfo().Config; got.FilterSubject != filter || got.AckPolicy != jetstream.AckExplicitPolicy {
				t.Errorf("consumer %s is %+v", name, got)
			}
		}
	})
}
