package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/handlers"
	"essworker/internal/natstest"
	"essworker/internal/replay"
)

// putLetters stores letters about events of their own that the vendor has refused.
func putLetters(t *testing.T, b *natstest.Bed, n int) *dlq.Box {
	t.Helper()
	box, err := dlq.Open(t.Context(), b.JS, b.Topology.Names, "test")
	if err != nil {
		t.Fatal(err)
	}
	const typ = "employee.onboarded"
	for i := range n {
		e := event.New(typ, "/test", fmt.Sprint("e", i), fmt.Appendf(nil, `{"userId":"u%d","openId":"n%d"}`, i, i))
		header, data, err := event.Write(e)
		if err != nil {
			t.Fatal(err)
		}
		_, err = box.Put(t.Context(), dlq.Failed{
			Type: typ, Action: "BindEmployeeUserIdWithClientOpenId", Stream: b.Topology.EventsStream(), StreamSeq: uint64(1000 + i), //nolint:gosec // small
			Stored: time.Now(), Deliveries: 1, Subject: b.Topology.EventSubject(typ), Header: header, Data: data, Event: e,
			Fault: &fault.Error{Code: "InvalidParameter", Message: "no"}, Reason: fault.Rejected, Attempts: 1, FailedAt: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return box
}

// cutOff leaves a job that was cut off while it put letters back.
func cutOff(t *testing.T, b *natstest.Bed, id string, letters ...uint64) {
	t.Helper()
	kv, err := b.JS.KeyValue(t.Context(), b.Topology.FleetBucket())
	if err != nil {
		t.Fatal(err)
	}
	var batch replay.Batch
	for _, id := range letters {
		batch.Sent = append(batch.Sent, replay.Sent{ID: id, Type: "employee.onboarded"})
	}
	for key, record := range map[string]any{
		"job." + id:             replay.Job{ID: id, State: replay.Running, Sending: true, Batches: 1, Open: []int{0}},
		"jobbatch." + id + ".0": batch,
	} {
		value, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDLQ_underway: what a job may be putting back, others leave alone.
func TestDLQ_underway(t *testing.T) {
	t.Parallel()
	b := natstest.NewTCP(t, handlers.Types()...)
	box := putLetters(t, b, 3)
	cutOff(t, b, "j-abcdef", 1, 2)
	patch := writeFile(t, `{"openId":"other"}`)
	for _, tt := range []struct {
		line string
		code int
		says string
	}{
		{"dlq edit 1 --why=x --yes --patch=" + patch, exitFailed, "letter 1: job j-abcdef has it under way: worker dlq watch j-abcdef"},
		{"dlq discard 2 --why=x", exitFailed, "letter 2: job j-abcdef has it under way: worker dlq watch j-abcdef"},
		{"dlq discard --all --yes --why=x", exitPartly, "letters 1 2: job j-abcdef has them under way: worker dlq watch j-abcdef"},
	} {
		if code, said := operator(t, b, strings.Fields(tt.line)...); code != tt.code || !strings.Contains(said, tt.says) {
			t.Errorf("%s: exit code %d: %s\nwant %d, and %q", tt.line, code, said, tt.code, tt.says)
		}
	}
	ids, err := box.IDs(t.Context(), dlq.Filter{})
	if err != nil || fmt.Sprint(ids) != "[1 2]" {
		t.Errorf("letters %v, %v, want those under way", ids, err)
	}
}
