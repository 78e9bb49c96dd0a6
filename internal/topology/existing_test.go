package topology_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/mask"
	"essworker/internal/natstest"
	"essworker/internal/topology"
)

type streamConfig = jetstream.StreamConfig

// TestApply_existing meets streams that differ from the declared ones in one
// setting each. It is the table in the package's comment.
func TestApply_existing(t *testing.T) {
	const day = 24 * time.Hour
	const (
		updated = "updated"
		kept    = "kept"
		warned  = "warned"
		refused = "refused"
	)
	tests := []struct {
		stream string
		field  string
		set    func(*streamConfig)
		want   string
	}{
		{"ESS_EVENTS", "storage", func(c *streamConfig) { c.Storage = jetstream.MemoryStorage }, refused},
		{"ESS_EVENTS", "retention", func(c *streamConfig) { c.Retention = jetstream.LimitsPolicy }, refused},
		{"ESS_EVENTS", "subjects", func(c *streamConfig) { c.Subjects = []string{"ess.events.>"} }, refused},
		{"ESS_EVENTS", "subjects", func(c *streamConfig) { c.Subjects = []string{"ess.events.*.onboarded"} }, refused},
		{"ESS_EVENTS", "subjects", func(c *streamConfig) { c.Subjects = c.Subjects[:1] }, updated},
		{"ESS_EVENTS", "subjects", func(c *streamConfig) { c.Subjects = append(c.Subjects, "ess.events.other") }, warned},
		{"ESS_EVENTS", "discard", func(c *streamConfig) { c.Discard = jetstream.DiscardOld }, updated},
		{"ESS_EVENTS", "max_age", func(c *streamConfig) { c.MaxAge = time.Hour }, updated},
		{"ESS_EVENTS", "max_msgs_per_subject", func(c *streamConfig) { c.MaxMsgsPerSubject = 1000 }, updated},
		{"ESS_EVENTS", "discard_new_per_subject", func(c *streamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 9, true }, updated},
		{"ESS_EVENTS", "max_msgs", func(c *streamConfig) { c.MaxMsgs = 1000 }, kept},
		{"ESS_EVENTS", "max_bytes", func(c *streamConfig) { c.MaxBytes = 1 << 20 }, kept},
		{"ESS_EVENTS", "max_msg_size", func(c *streamConfig) { c.MaxMsgSize = 1 << 10 }, kept},
		{"ESS_EVENTS", "duplicate_window", func(c *streamConfig) { c.Duplicates = time.Minute }, updated},
		{"ESS_EVENTS", "duplicate_window", func(c *streamConfig) { c.Duplicates = time.Hour }, kept},
		{"ESS_EVENTS", "no_ack", func(c *streamConfig) { c.NoAck = true }, updated},
		{"ESS_EVENTS", "allow_rollup_hdrs", func(c *streamConfig) { c.AllowRollup = true }, updated},
		{"ESS_EVENTS", "allow_msg_ttl", func(c *streamConfig) { c.AllowMsgTTL = true }, warned},
		{"ESS_EVENTS", "allow_msg_schedules", func(c *streamConfig) { c.Discard, c.AllowMsgSchedules = jetstream.DiscardOld, true }, refused},
		{"ESS_EVENTS", "persist_mode", func(c *streamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, refused},
		{"ESS_EVENTS", "consumer_limits", func(c *streamConfig) { c.ConsumerLimits.MaxAckPending = 10 }, updated},
		{"ESS_EVENTS", "allow_direct", func(c *streamConfig) { c.AllowDirect = false }, updated},
		{"ESS_EVENTS", "deny_delete", func(c *streamConfig) { c.DenyDelete = true }, kept},
		{"ESS_EVENTS", "description", func(c *streamConfig) { c.Description = "ours" }, kept},
		{"ESS_EVENTS", "metadata", func(c *streamConfig) { c.Metadata = map[string]string{"team": "x"} }, kept},
		{"ESS_EVENTS", "compression", func(c *streamConfig) { c.Compression = jetstream.S2Compression }, kept},
		{"ESS_RESULTS", "storage", func(c *streamConfig) { c.Storage = jetstream.MemoryStorage }, refused},
		{"ESS_RESULTS", "retention", func(c *streamConfig) { c.Retention = jetstream.InterestPolicy }, updated},
		{"ESS_RESULTS", "retention", func(c *streamConfig) { c.Retention = jetstream.WorkQueuePolicy }, refused},
		{"ESS_RESULTS", "max_age", func(c *streamConfig) { c.MaxAge = day }, updated},
		{"ESS_RESULTS", "max_age", func(c *streamConfig) { c.MaxAge = 30 * day }, warned},
		{"ESS_RESULTS", "max_age", func(c *streamConfig) { c.MaxAge = 0 }, warned},
		{"ESS_RESULTS", "allow_direct", func(c *streamConfig) { c.AllowDirect = false }, updated},
		{"ESS_RESULTS", "deny_delete", func(c *streamConfig) { c.DenyDelete = false }, warned},
		{"ESS_RESULTS", "deny_purge", func(c *streamConfig) { c.DenyPurge = false }, warned},
		{"ESS_RESULTS", "discard", func(c *streamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardOld, 1<<20 }, updated},
		{"ESS_RESULTS", "subjects", func(c *streamConfig) { c.Subjects = []string{"ess.results.employee.>"} }, updated},
		{"ESS_RESULTS", "subjects", func(c *streamConfig) { c.Subjects = append(c.Subjects, "other.>") }, warned},
		{"ESS_RESULTS", "mirror", func(c *streamConfig) {
			*c = streamConfig{Name: c.Name, Mirror: &jetstream.StreamSource{Name: "ELSE"}}
		}, refused},
		{"ESS_DEADLETTERS", "max_msgs", func(c *streamConfig) { c.MaxMsgs = 1000 }, updated},
		{"ESS_DEADLETTERS", "max_bytes", func(c *streamConfig) { c.MaxBytes = 1 << 20 }, warned},
		{"ESS_DEADLETTERS", "max_age", func(c *streamConfig) { c.MaxAge = 90 * day }, updated},
		{"ESS_DEADLETTERS", "max_msg_size", func(c *streamConfig) { c.MaxMsgSize = 1 << 10 }, updated},
		{"ESS_DEADLETTERS", "storage", func(c *streamConfig) { c.Storage = jetstream.MemoryStorage }, refused},
		{"ESS_DEADLETTERS", "deny_delete", func(c *streamConfig) { c.DenyDelete = true }, refused},
		{"ESS_DEADLETTERS", "duplicate_window", func(c *streamConfig) { c.Duplicates = time.Minute }, updated},
		{"ESS_DISCARDED", "max_age", func(c *streamConfig) { c.MaxAge = day }, updated},
		{"ESS_DISCARDED", "max_age", func(c *streamConfig) { c.MaxAge = 90 * day }, kept},
		{"ESS_DISCARDED", "deny_delete", func(c *streamConfig) { c.DenyDelete = true }, refused},
		{"ESS_AUDIT", "max_age", func(c *streamConfig) { c.MaxAge = 0 }, kept},
		{"ESS_AUDIT", "max_age", func(c *streamConfig) { c.MaxAge = 30 * day }, updated},
		{"ESS_AUDIT", "deny_delete", func(c *streamConfig) { c.DenyDelete = false }, warned},
		{"KV_ESS_FLEET", "max_msgs_per_subject", func(c *streamConfig) { c.MaxMsgsPerSubject = 8 }, kept},
		{"KV_ESS_FLEET", "max_msgs_per_subject", func(c *streamConfig) { c.MaxMsgsPerSubject = -1 }, refused},
		{"KV_ESS_FLEET", "allow_msg_ttl", func(c *streamConfig) { c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = false, 0 }, updated},
		{"KV_ESS_FLEET", "subject_delete_marker_ttl", func(c *streamConfig) { c.SubjectDeleteMarkerTTL = time.Hour }, kept},
		{"KV_ESS_FLEET", "max_age", func(c *streamConfig) { c.MaxAge = time.Hour }, updated},
		{"KV_ESS_FLEET", "storage", func(c *streamConfig) { c.Storage = jetstream.MemoryStorage }, refused},
	}
	types := types[:2]
	declared := make(map[string]streamConfig)
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, types...)
		for _, name := range b.Topology.Streams() {
			declared[name] = config(t, b.JS, name)
		}
	})
	for _, tt := range tests {
		t.Run(tt.stream+" "+tt.field+" "+tt.want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := natstest.New(t)
				cfg := declared[tt.stream]
				cfg.Subjects = slices.Clone(cfg.Subjects)
				tt.set(&cfg)
				if _, err := b.JS.CreateStream(t.Context(), cfg); err != nil {
					t.Fatalf("make the stream as found: %v", err)
				}
				before := config(t, b.JS, tt.stream)

				report, err := topology.Apply(t.Context(), b.JS, b.Topology, types)

				after := config(t, b.JS, tt.stream)
				refusal, ok := errors.AsType[*topology.Refusal](err)
				got := kept
				switch {
				case ok:
					got = refused
				case err != nil:
					t.Fatalf("Apply: %v", err)
				case changed(report, tt.field):
					got = updated
				case len(report.Warnings) > 0:
					got = warned
				}
				if got != tt.want {
					t.Errorf("%s, want %s; report %v, error %v", got, tt.want, report, err)
				}
				if got == refused && (refusal.Field != tt.field || len(report.Changes) != 0) {
					t.Errorf("refused for %s after changes %v, want for %s and no changes", refusal.Field, report.Changes, tt.field)
				}
				if got == warned && report.Warnings[0].Field != tt.field {
					t.Errorf("warning %q, want one of %s", report.Warnings[0], tt.field)
				}
				if d := cmp.Diff(before, after); (d != "") != (got == updated) {
					t.Errorf("%s, but the stream changed so (-before +after):\n%s", got, d)
				}
				again, err := topology.Apply(t.Context(), b.JS, b.Topology, types)
				if (err != nil) != (got == refused) || len(again.Changes) != 0 {
					t.Errorf("second Apply: changes %v, error %v; want no changes", again.Changes, err)
				}
			})
		})
	}
}

// TestApply_existingConsumer is the same for consumers.
func TestApply_existingConsumer(t *testing.T) {
	type consumerConfig = jetstream.ConsumerConfig
	until := time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC) // a bubble's clock begins a day before
	tests := []struct {
		field string
		set   func(*consumerConfig)
		want  string // updated, kept, warned or refused; "updated, warned"
	}{
		{"ack_wait", func(c *consumerConfig) { c.AckWait = time.Second }, "updated"},
		{"max_deliver", func(c *consumerConfig) { c.MaxDeliver = 5 }, "updated, warned"},
		{"backoff", func(c *consumerConfig) { c.BackOff = []time.Duration{time.Second, time.Minute} }, "updated"},
		{"filter_subject", func(c *consumerConfig) { c.FilterSubject = "ess.events.employee.old" }, "updated"},
		{"filter_subject", func(c *consumerConfig) { c.FilterSubject, c.FilterSubjects = "", []string{c.FilterSubject} }, "kept"},
		{"max_ack_pending", func(c *consumerConfig) { c.MaxAckPending = 100 }, "updated"},
		{"max_waiting", func(c *consumerConfig) { c.MaxWaiting = 512 }, "warned"},
		{"max_waiting", func(c *consumerConfig) { c.MaxWaiting = 9999 }, "kept"},
		{"headers_only", func(c *consumerConfig) { c.HeadersOnly = true }, "updated"},
		{"inactive_threshold", func(c *consumerConfig) { c.InactiveThreshold = time.Hour }, "updated"},
		{"num_replicas", func(c *consumerConfig) { c.Replicas = 1 }, "updated"},
		{"priority_groups", func(c *consumerConfig) {
			c.PriorityPolicy, c.PriorityGroups = jetstream.PriorityPolicyOverflow, []string{"g"}
		}, "updated"},
		{"pause_until", func(c *consumerConfig) { c.PauseUntil = &until }, "kept"},
		{"description", func(c *consumerConfig) { c.Description = "ours" }, "kept"},
		{"sample_freq", func(c *consumerConfig) { c.SampleFrequency = "10" }, "kept"},
		{"replay_policy", func(c *consumerConfig) { c.ReplayPolicy = jetstream.ReplayOriginalPolicy }, "refused"},
		{"mem_storage", func(c *consumerConfig) { c.MemoryStorage = true }, "refused"},
		{"deliver_subject", func(c *consumerConfig) { c.DeliverSubject, c.MaxWaiting = "push.me", 0 }, "refused"},
	}
	for _, tt := range tests {
		t.Run(tt.field+" "+tt.want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := natstest.New(t, append(types, "employee.old")...)
				const stream, durable = "ESS_EVENTS", "employee-onboarded"
				c, err := b.JS.Consumer(t.Context(), stream, durable)
				if err != nil {
					t.Fatal(err)
				}
				cfg := c.CachedInfo().Config
				for _, name := range []string{durable, "employee-old"} {
					if err := b.JS.DeleteConsumer(t.Context(), stream, name); err != nil {
						t.Fatal(err)
					}
				}
				tt.set(&cfg)
				if cfg.DeliverSubject == "" {
					_, err = b.JS.CreateConsumer(t.Context(), stream, cfg)
				} else {
					_, err = b.JS.CreatePushConsumer(t.Context(), stream, cfg)
				}
				if err != nil {
					t.Fatalf("make the consumer as found: %v", err)
				}
				paused := cfg.PauseUntil != nil

				report, err := topology.Apply(t.Context(), b.JS, b.Topology, types)

				var got []string
				if changed(report, tt.field) {
					got = append(got, "updated")
				}
				for _, w := range report.Warnings {
					if w.Kind == "consumer" && w.Field == tt.field {
						got = append(got, "warned")
					}
				}
				refusal, ok := errors.AsType[*topology.Refusal](err)
				switch {
				case ok:
					got = append(got, "refused")
					if refusal.Field != tt.field {
						t.Errorf("refused for %s, want for %s", refusal.Field, tt.field)
					}
				case err != nil:
					t.Fatalf("Apply: %v", err)
				case len(got) == 0:
					got = append(got, "kept")
				}
				if got := strings.Join(got, ", "); got != tt.want {
					t.Errorf("%s, want %s; report %v, error %v", got, tt.want, report, err)
				}
				if paused {
					c, err := b.JS.Consumer(t.Context(), stream, durable)
					if err != nil || !c.CachedInfo().Paused {
						t.Errorf("the operator's pause is gone, error %v", err)
					}
				}
				again, err := topology.Apply(t.Context(), b.JS, b.Topology, types)
				if (err != nil) != ok || len(again.Changes) != 0 {
					t.Errorf("second Apply: changes %v, error %v; want no changes", again.Changes, err)
				}
			})
		})
	}
}

// TestApply_refusals reports everything that cannot be mended at once.
func TestApply_refusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t)
		for _, c := range []streamConfig{
			{Name: "ESS_EVENTS", Subjects: []string{"ess.events.>"}, Storage: jetstream.MemoryStorage},
			{Name: "ESS_DEADLETTERS", Subjects: []string{"ess.deadletters.>"}, Storage: jetstream.MemoryStorage},
		} {
			if _, err := b.JS.CreateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		report, err := topology.Apply(t.Context(), b.JS, b.Topology, types)
		if err == nil || len(report.Changes) != 0 {
			t.Fatalf("changes %v, error %v; want none and a refusal", report.Changes, err)
		}
		for _, want := range []string{
			"stream ESS_DEADLETTERS: storage is memory, must be file, and cannot be changed: a message in memory is gone with its server; save what is in it",
			"stream ESS_EVENTS: storage is memory", "stream ESS_EVENTS: retention is limits, must be workqueue", "stream ESS_EVENTS: subjects is ess.events.>",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error\n%v\nhas no %q", err, want)
			}
		}
	})
}

// TestApply_overlap has others in the way.
func TestApply_overlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t)
		if _, err := b.JS.CreateStream(t.Context(), streamConfig{Name: "ALL", Subjects: []string{"ess.>"}}); err != nil {
			t.Fatal(err)
		}
		_, err := topology.Apply(t.Context(), b.JS, b.Topology, types)
		if err == nil || !strings.Contains(err.Error(), "another stream takes in these subjects: see `nats stream subjects`, or take another WORKER_PREFIX: create stream ESS_RESULTS") {
			t.Errorf("a stream over all subjects: error %v", err)
		}
		if err := b.JS.DeleteStream(t.Context(), "ALL"); err != nil {
			t.Fatal(err)
		}
		if _, err := topology.Apply(t.Context(), b.JS, b.Topology, types[:1]); err != nil {
			t.Fatal(err)
		}
		if err := b.JS.DeleteConsumer(t.Context(), "ESS_EVENTS", "employee-onboarded"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.JS.CreateConsumer(t.Context(), "ESS_EVENTS", jetstream.ConsumerConfig{Durable: "mine", FilterSubject: "ess.events.employee.onboarded", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
			t.Fatal(err)
		}
		_, err = topology.Apply(t.Context(), b.JS, b.Topology, types[:1])
		if err == nil || !strings.Contains(err.Error(), "another consumer takes the same events") {
			t.Errorf("a consumer on the same events: error %v", err)
		}
	})
}

func changed(r topology.Report, field string) bool {
	for _, c := range r.Changes {
		if c.Action != "update" {
			continue
		}
		for _, f := range c.Fields {
			if f.Name == field {
				return true
			}
		}
	}
	return false
}

func config(t *testing.T, js jetstream.JetStream, name string) streamConfig {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func secret(s string) mask.Secret { return mask.Secret(s) }
