package topology_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/topology"
)

var types = []string{"employee.onboarded", "seal.grant.requested", "autosign.link.requested"}

// TestApply holds what is made against the contract, as the server tells it.
func TestApply(t *testing.T) {
	const day = 24 * time.Hour
	base := jetstream.StreamConfig{
		Storage: jetstream.FileStorage, Replicas: 1, Discard: jetstream.DiscardNew, Duplicates: 2 * time.Minute,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1, AllowDirect: true,
	}
	with := func(name string, change func(*jetstream.StreamConfig), subjects ...string) jetstream.StreamConfig {
		c := base
		c.Name, c.Subjects = name, subjects
		change(&c)
		return c
	}
	want := []jetstream.StreamConfig{
		with("ESS_EVENTS", func(c *jetstream.StreamConfig) {
			c.Retention, c.Duplicates = jetstream.WorkQueuePolicy, 10*time.Minute
		}, "ess.events.employee.onboarded", "ess.events.seal.grant.requested", "ess.events.autosign.link.requested"),
		with("ESS_RESULTS", func(c *jetstream.StreamConfig) {
			c.MaxAge, c.DenyDelete, c.DenyPurge = 7*day, true, true
		}, "ess.results.>"),
		with("ESS_DEADLETTERS", func(c *jetstream.StreamConfig) { c.Duplicates = 10 * time.Minute }, "ess.deadletters.>"),
		with("ESS_DISCARDED", func(c *jetstream.StreamConfig) { c.MaxAge = 30 * day }, "ess.discarded.>"),
		with("ESS_AUDIT", func(c *jetstream.StreamConfig) {
			c.MaxAge, c.DenyDelete, c.DenyPurge = 400*day, true, true
		}, "ess.audit.>"),
		with("KV_ESS_FLEET", func(c *jetstream.StreamConfig) {
			c.MaxMsgsPerSubject, c.AllowRollup, c.DenyDelete = 1, true, true
			c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = true, time.Minute
		}, "$KV.ESS_FLEET.>"),
	}
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t)
		report, err := topology.Apply(t.Context(), b.JS, b.Topology, types)
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Changes) != 9 || len(report.Warnings) != 0 {
			t.Errorf("first Apply: %d changes %v and warnings %q, want 6 streams and 3 consumers, no warnings",
				len(report.Changes), report.Changes, report.Warnings)
		}
		for _, w := range want {
			s, err := b.JS.Stream(t.Context(), w.Name)
			if err != nil {
				t.Errorf("stream %s: %v", w.Name, err)
				continue
			}
			if d := cmp.Diff(w, s.CachedInfo().Config, cmpopts.IgnoreFields(jetstream.StreamConfig{}, "Description", "Metadata")); d != "" {
				t.Errorf("stream %s differs (-want +got):\n%s", w.Name, d)
			}
		}
		for _, typ := range types {
			durable := strings.ReplaceAll(typ, ".", "-")
			c, err := b.JS.Consumer(t.Context(), "ESS_EVENTS", durable)
			if err != nil {
				t.Errorf("consumer %s: %v", durable, err)
				continue
			}
			w := jetstream.ConsumerConfig{
				Name: durable, Durable: durable, FilterSubject: "ess.events." + typ,
				DeliverPolicy: jetstream.DeliverAllPolicy, ReplayPolicy: jetstream.ReplayInstantPolicy,
				AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute,
				MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: 4096,
			}
			if d := cmp.Diff(w, c.CachedInfo().Config, cmpopts.IgnoreFields(jetstream.ConsumerConfig{}, "Description", "Metadata")); d != "" {
				t.Errorf("consumer %s differs (-want +got):\n%s", durable, d)
			}
		}
		for range 2 {
			report, err = topology.Apply(t.Context(), b.JS, b.Topology, types)
			if err != nil || len(report.Changes)+len(report.Warnings) != 0 {
				t.Errorf("second Apply: %v, error %v; want nothing to do", report, err)
			}
		}
	})
}

// TestApply_unregistered has a publisher learn at once that nobody handles its type.
func TestApply_unregistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, types...)
		for _, subject := range []string{"ess.events.employee.dismissed", "ess.events.employee.onboarded.more", "ess.events"} {
			_, err := b.JS.Publish(t.Context(), subject, nil, jetstream.WithRetryAttempts(0))
			if !errors.Is(err, jetstream.ErrNoStreamResponse) {
				t.Errorf("publish to %s: error %v, want %v", subject, err, jetstream.ErrNoStreamResponse)
			}
		}
	})
}

// TestApply_fleet uses the bucket as the client's KeyValue, keys that expire included.
func TestApply_fleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, types...)
		kv, err := b.JS.KeyValue(t.Context(), b.Topology.FleetBucket())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Create(t.Context(), "key", []byte("v"), jetstream.KeyTTL(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		if _, err := kv.Get(t.Context(), "key"); err != nil {
			t.Errorf("get after 9s of 10s: %v", err)
		}
		time.Sleep(3 * time.Second)
		if _, err := kv.Get(t.Context(), "key"); !errors.Is(err, jetstream.ErrKeyNotFound) {
			t.Errorf("get after 12s of 10s: error %v, want %v", err, jetstream.ErrKeyNotFound)
		}
		if _, err := kv.Create(t.Context(), "key", nil); err != nil {
			t.Errorf("create again: %v", err)
		}
	})
}

// TestApply_stalls puts more events back with a delay than any default limit of
// events under way, and still gets the next one.
func TestApply_stalls(t *testing.T) {
	const delayed = 1500 // the server's default limit is 1000
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, types...)
		for range delayed + 1 {
			if _, err := b.JS.PublishAsync("ess.events.employee.onboarded", nil); err != nil {
				t.Fatal(err)
			}
		}
		<-b.JS.PublishAsyncComplete()
		c, err := b.JS.Consumer(t.Context(), "ESS_EVENTS", "employee-onboarded")
		if err != nil {
			t.Fatal(err)
		}
		batch, err := c.Fetch(delayed)
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			if err := m.NakWithDelay(time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Next(jetstream.FetchMaxWait(time.Minute)); err != nil {
			t.Errorf("next after %d delayed: %v", delayed, err)
		}
	})
}

// TestApply_together has a fleet start at once, with one and with several versions.
func TestApply_together(t *testing.T) {
	tests := []struct {
		name  string
		start []string // what is there before
		fleet [][]string
		want  []string
	}{
		{"one version", nil, [][]string{types, types, types, types}, types},
		{"two versions, nothing there", nil, [][]string{{"a", "b"}, {"b", "c"}, {"a", "b"}, {"b", "c"}}, []string{"a", "b", "c"}},
		{"two versions, an older one there", []string{"a"}, [][]string{{"a", "b"}, {"a", "c"}, {"a", "d"}}, []string{"a", "b", "c", "d"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if raceDetector && tt.start == nil && len(tt.fleet[0]) < len(tt.want) {
				t.Skip("nats-server 2.15.2 has a race of its own between updating a stream and making a consumer on it: " +
					"fileStore.ConsumerStore reads the store's settings without a lock")
			}
			synctest.Test(t, func(t *testing.T) {
				b := natstest.New(t, tt.start...)
				var wg sync.WaitGroup
				for _, types := range tt.fleet {
					js, err := jetstream.New(b.Connect(natsconn.Options{}, natsconn.Config{}))
					if err != nil {
						t.Fatal(err)
					}
					wg.Go(func() {
						if _, err := topology.Apply(t.Context(), js, b.Topology, types); err != nil {
							t.Errorf("Apply %v: %v", types, err)
						}
					})
				}
				wg.Wait()
				s, err := b.JS.Stream(t.Context(), b.Topology.EventsStream())
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, subject := range s.CachedInfo().Config.Subjects {
					typ, _ := b.Topology.TypeOfSubject(subject)
					got = append(got, typ)
				}
				slices.Sort(got)
				if want := slices.Sorted(slices.Values(tt.want)); !slices.Equal(got, want) {
					t.Errorf("subjects of types %v, want %v", got, want)
				}
			})
		})
	}
}

// TestApply_rolling runs two versions in turn: neither takes the other's types away.
func TestApply_rolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, "a.old", "b.both")
		if _, err := b.JS.Publish(t.Context(), "ess.events.a.old", nil); err != nil {
			t.Fatal(err)
		}
		report, err := topology.Apply(t.Context(), b.JS, b.Topology, []string{"b.both", "c.new"})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"update stream ESS_EVENTS: subjects ess.events.a.old, ess.events.b.both -> ess.events.a.old, ess.events.b.both, ess.events.c.new",
			"create consumer ESS_EVENTS/c-new: filter_subject ess.events.c.new; ack_wait 1m",
		}
		if d := cmp.Diff(want, lines(report.Changes)); d != "" {
			t.Errorf("changes differ (-want +got):\n%s", d)
		}
		if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0].String(), "ess.events.a.old not known to this version") {
			t.Errorf("warnings %q, want one about ess.events.a.old", report.Warnings)
		}
		report, err = topology.Apply(t.Context(), b.JS, b.Topology, []string{"a.old", "b.both"})
		if err != nil || len(report.Changes) != 0 {
			t.Errorf("the older version again: %v, error %v; want no changes", report.Changes, err)
		}
		if _, err := b.JS.Consumer(t.Context(), "ESS_EVENTS", "a-old"); err != nil {
			t.Errorf("the older version's consumer: %v", err)
		}
	})
}

func TestApply_prefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, types...)
		cfg := b.Topology
		cfg.Prefix = "acme-Test"
		if _, err := topology.Apply(t.Context(), b.JS, cfg, types); err != nil {
			t.Fatal(err)
		}
		for subject, stream := range map[string]string{
			"acme-Test.events.employee.onboarded": "ACME-TEST_EVENTS", "ess.events.employee.onboarded": "ESS_EVENTS",
			"acme-Test.results.x.y": "ACME-TEST_RESULTS", "acme-Test.deadletters.x": "ACME-TEST_DEADLETTERS",
		} {
			ack, err := b.JS.Publish(t.Context(), subject, nil)
			if err != nil || ack.Stream != stream {
				t.Errorf("publish to %s: %+v, error %v; want it in %s", subject, ack, err, stream)
			}
		}
		if _, err := b.JS.KeyValue(t.Context(), "ACME-TEST_FLEET"); err != nil {
			t.Errorf("bucket: %v", err)
		}
	})
}

// TestPlan says what Apply then does, and does nothing.
func TestPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t)
		plan, err := topology.Plan(t.Context(), b.JS, b.Topology, types)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := b.JS.AccountInfo(t.Context()); err != nil || info.Streams != 0 {
			t.Errorf("after Plan there are %d streams, error %v; want none", info.Streams, err)
		}
		done, err := topology.Apply(t.Context(), b.JS, b.Topology, types)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(plan, done); d != "" {
			t.Errorf("Apply did not what Plan said (-plan +done):\n%s", d)
		}
		if got, want := done.Changes[1].String(), "create stream ESS_RESULTS: storage file; subjects ess.results.>; retention limits; num_replicas 1; max_age 168h"; got != want {
			t.Errorf("a change reads\n%s\nwant\n%s", got, want)
		}
	})
}

func TestApply_settings(t *testing.T) {
	b := natstest.New(t)
	good := b.Topology
	tests := []struct {
		name   string
		change func(*topology.Config)
		types  []string
		want   string // part of the error
	}{
		{"prefix of two tokens", func(c *topology.Config) { c.Prefix = "a.b" }, types, "--prefix"},
		{"no prefix", func(c *topology.Config) { c.Prefix = "" }, types, "--prefix"},
		{"wildcard", func(c *topology.Config) { c.Prefix = "*" }, types, "--prefix"},
		{"two replicas", func(c *topology.Config) { c.Replicas = 2 }, types, "--replicas"},
		{"results for a minute", func(c *topology.Config) { c.ResultsMaxAge = time.Minute }, types, "--results-max-age"},
		{"results for ever", func(c *topology.Config) { c.ResultsMaxAge = 0 }, types, "--results-max-age"},
		{"no ack wait", func(c *topology.Config) { c.AckWait = 0 }, types, "--ack-wait"},
		{"no types", func(*topology.Config) {}, nil, "no event types"},
		{"a wildcard type", func(*topology.Config) {}, []string{"employee.>"}, `"employee.>"`},
		{"an empty word", func(*topology.Config) {}, []string{"employee..x"}, `"employee..x"`},
		{"a shared consumer", func(*topology.Config) {}, []string{"a.b", "a-b"}, `"a.b" and "a-b"`},
		{"replicas without a cluster", func(c *topology.Config) { c.Replicas = 3 }, types, "WORKER_REPLICAS=3 needs a cluster"},
	}
	for _, tt := range tests {
		cfg := good
		tt.change(&cfg)
		_, err := topology.Apply(t.Context(), b.JS, cfg, tt.types)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// TestApply_server meets servers and accounts that will not do.
func TestApply_server(t *testing.T) {
	file := writeFile(t, `
		accounts {
			NONE    { users: [{ user: none, password: p }] }
			SMALL   { users: [{ user: small, password: p }], jetstream: { max_streams: 4 } }
			BYTES   { users: [{ user: bytes, password: p }], jetstream: { max_file: 10G, max_bytes_required: true } }
			GUEST   { users: [{ user: guest, password: p, permissions: { publish: "x" } }], jetstream: enabled }
		}`)
	synctest.Test(t, func(t *testing.T) {
		b := natstest.Start(t, natstest.Setup{File: file, User: "small", Password: "p"})
		for user, want := range map[string]string{
			"none":  "this NATS account has no JetStream",
			"small": "may have 4 streams and has 0: 6 more are needed",
			"bytes": "wants a byte limit on every stream",
			"guest": context.DeadlineExceeded.Error(),
		} {
			js, err := jetstream.New(b.Connect(natsconn.Options{}, natsconn.Config{User: secret(user), Password: "p"}))
			if err != nil {
				t.Fatal(err)
			}
			report, err := topology.Apply(t.Context(), js, b.Topology, types)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("as %s: error %v, want one with %q", user, err, want)
			}
			if len(report.Changes) != 0 {
				t.Errorf("as %s: changes %v, want none", user, report.Changes)
			}
		}
	})
}

// TestApply_ends has the context end before the work does.
func TestApply_ends(t *testing.T) {
	b := natstest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := topology.Apply(ctx, b.JS, b.Topology, types); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func lines(changes []topology.Change) []string {
	list := make([]string, len(changes))
	for i, c := range changes {
		list[i] = c.String()
	}
	return list
}
