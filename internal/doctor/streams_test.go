package doctor_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natstest"
	"essworker/internal/topology"
)

// TestExamine_streams changes one setting of a stream after the other.
func TestExamine_streams(t *testing.T) {
	const events, results, letters, audit, bucket = "ESS_EVENTS", "ESS_RESULTS", "ESS_DEADLETTERS", "ESS_AUDIT", "KV_ESS_FLEET"
	for _, tt := range []struct {
		name, stream string
		change       func(*jetstream.StreamConfig)
		want         string
	}{
		{"letters drop the oldest", letters, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "bad stream ESS_DEADLETTERS: discard is old, declared new"},
		{"letters have a count", letters, func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 }, "bad stream ESS_DEADLETTERS: max_msgs is 1000, declared unlimited"},
		{"letters have an age", letters, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "bad stream ESS_DEADLETTERS: max_age is 1h, declared unlimited"},
		{"letters have a size", letters, func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 30 }, "warn stream ESS_DEADLETTERS: max_bytes is 1073741824, declared unlimited"},
		{"events have an age", events, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "bad stream ESS_EVENTS: max_age is 1h"},
		{"events drop the oldest", events, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "bad stream ESS_EVENTS: discard is old"},
		{"events are not confirmed", events, func(c *jetstream.StreamConfig) { c.NoAck = true }, "bad stream ESS_EVENTS: no_ack is true"},
		{"duplicates are soon forgotten", events, func(c *jetstream.StreamConfig) { c.Duplicates = time.Minute }, "warn stream ESS_EVENTS: duplicate_window is 1m, declared 10m"},
		{"results are soon forgotten", results, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "bad stream ESS_RESULTS: max_age is 1h, declared 168h"},
		{"results are kept longer", results, func(c *jetstream.StreamConfig) { c.MaxAge = 1000 * time.Hour }, "warn stream ESS_RESULTS: max_age is 1000h, declared 168h"},
		{"no direct get", results, func(c *jetstream.StreamConfig) { c.AllowDirect = false }, "bad stream ESS_RESULTS: allow_direct is false"},
		{"another version's type", events, func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "ess.events.later") }, "warn stream ESS_EVENTS: subjects is …ess.events.later"},
		{"a type is missing", events, func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[:2] }, "bad stream ESS_EVENTS: subjects is "},
		{"one place too narrow", audit, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 }, "warn stream ESS_AUDIT: max_msg_size is 100"},
		{"bucket with an age", bucket, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "bad bucket ESS_FLEET: max_age is 1h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *natstest.Bed) {
				cfg := must[jetstream.Stream](t, tt.stream)(b.JS.Stream(t.Context(), tt.stream)).CachedInfo().Config
				tt.change(&cfg)
				must[jetstream.Stream](t, "update")(b.JS.UpdateStream(t.Context(), cfg))
				expect(t, examine(t, patient(t, b)), tt.want)
			})
		})
	}
}

// TestExamine_refused makes a stream anew with what nobody can change.
func TestExamine_refused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		for _, name := range []string{"ESS_DEADLETTERS", "ESS_AUDIT"} {
			cfg := must[jetstream.Stream](t, name)(b.JS.Stream(t.Context(), name)).CachedInfo().Config
			cfg.Storage = jetstream.MemoryStorage
			if err := b.JS.DeleteStream(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			must[jetstream.Stream](t, "create")(b.JS.CreateStream(t.Context(), cfg))
		}
		list := examine(t, patient(t, b))
		expect(t, list, "bad stream ESS_DEADLETTERS: storage is memory and must be file: a message in memory is gone", "bad stream ESS_AUDIT: storage is memory")
		if f := find(t, list, "stream ESS_AUDIT"); !strings.Contains(f.Advice, "nats stream rm ESS_AUDIT") {
			t.Errorf("%+v: want what to do", f)
		}
	})
}

// TestExamine_missing removes one thing after the other.
func TestExamine_missing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *natstest.Bed) {
		if err := b.JS.DeleteConsumer(t.Context(), "ESS_EVENTS", "seal-grant-requested"); err != nil {
			t.Fatal(err)
		}
		expect(t, examine(t, patient(t, b)), "bad consumer ESS_EVENTS/seal-grant-requested: is missing")
		for _, name := range []string{"ESS_DISCARDED", "ESS_EVENTS", "KV_ESS_FLEET", "ESS_RESULTS"} {
			if err := b.JS.DeleteStream(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{
			"bad bucket ESS_FLEET: is missing", "bad stream ESS_RESULTS: is missing", "bad stream ESS_DISCARDED: is missing", "bad stream ESS_EVENTS: is missing",
		}
		expect(t, examine(t, patient(t, b)), append(want, each(func(typ string) string {
			return "bad consumer ESS_EVENTS/" + topology.Consumer(typ) + ": is missing"
		})...)...)
	})
}

// TestExamine_consumers changes one setting of a lane's consumer after the other.
func TestExamine_consumers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*jetstream.ConsumerConfig)
		want   string
	}{
		{"deliveries end", func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 }, "bad consumer ESS_EVENTS/employee-onboarded: max_deliver is 3, declared unlimited"},
		{"wrong filter", func(c *jetstream.ConsumerConfig) { c.FilterSubject = "ess.events.unknown" }, "bad consumer ESS_EVENTS/employee-onboarded: filter_subject is ess.events.unknown"},
		{"short ack wait", func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second }, "warn consumer ESS_EVENTS/employee-onboarded: ack_wait is 1s"},
		{"bodies left out", func(c *jetstream.ConsumerConfig) { c.HeadersOnly = true }, "bad consumer ESS_EVENTS/employee-onboarded: headers_only is true"},
		{"few in hand", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 10 }, "warn consumer ESS_EVENTS/employee-onboarded: max_ack_pending is 10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *natstest.Bed) {
				cfg := must[jetstream.Consumer](t, "consumer")(b.JS.Consumer(t.Context(), "ESS_EVENTS", "employee-onboarded")).CachedInfo().Config
				tt.change(&cfg)
				must[jetstream.Consumer](t, "update")(b.JS.UpdateConsumer(t.Context(), "ESS_EVENTS", cfg))
				expect(t, examine(t, patient(t, b)), tt.want)
			})
		})
	}
}

// TestExamine_full fills a stream that an operator has given a limit.
func TestExamine_full(t *testing.T) {
	for _, tt := range []struct {
		stored int
		want   string
	}{
		{70, ""},
		{85, "warn stream ESS_RESULTS: messages 85 of 100"},
		{97, "bad stream ESS_RESULTS: messages 97 of 100"},
	} {
		t.Run(strconv.Itoa(tt.stored), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *natstest.Bed) {
				cfg := must[jetstream.Stream](t, "results")(b.JS.Stream(t.Context(), "ESS_RESULTS")).CachedInfo().Config
				cfg.MaxMsgs, cfg.MaxBytes = 100, 1<<20
				must[jetstream.Stream](t, "update")(b.JS.UpdateStream(t.Context(), cfg))
				for i := range tt.stored {
					must[*jetstream.PubAck](t, "publish")(b.JS.Publish(t.Context(), fmt.Sprintf("ess.results.employee.bound.%d", i), nil))
				}
				var want []string
				if tt.want != "" {
					want = append(want, tt.want)
				}
				expect(t, examine(t, patient(t, b)), want...)
			})
		})
	}
}
