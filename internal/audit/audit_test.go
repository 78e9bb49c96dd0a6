package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/audit"
	"essworker/internal/event"
	"essworker/internal/natstest"
	"essworker/internal/stream"
)

const typ = "employee.onboarded"

// record is one record as a reader finds it.
type record struct {
	Subject string // of the message
	Type    string
	About   string // the CloudEvent's subject
	Cause   string
	Data    map[string]any
}

// records reads the trail, and gives the ids beside.
func records(t *testing.T, b *natstest.Bed) (list []record, ids []string) {
	t.Helper()
	for m, err := range stream.Messages(t.Context(), b.NC, b.Topology.AuditStream(), ">", 1, 100) {
		if err != nil {
			t.Fatal(err)
		}
		h := func(name string) string { return strings.Join(m.Header["ce-"+name], "|") }
		if h("specversion") != "1.0" || h("source") != "/worker-cli" || h("id") == "" || h("time") == "" {
			t.Errorf("headers %v, want those of a CloudEvent in binary mode", m.Header)
		}
		var data map[string]any
		if err := json.Unmarshal(m.Data, &data); err != nil {
			t.Fatalf("data %q: %v", m.Data, err)
		}
		list = append(list, record{m.Subject, h("type"), h("subject"), h("causationid"), data})
		ids = append(ids, h("id"))
	}
	return list, ids
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		trail := audit.Open(t.Context(), b.NC, b.JS, b.Topology.Names)
		who := map[string]any{"osUser": trail.Who().OSUser, "host": trail.Who().Host, "natsUser": ""}
		limit := audit.Action{Name: "limit", What: "ess.Bind", Before: "20", After: "15", Why: "their mail of Monday"}
		err := trail.Do(t.Context(), limit, func(context.Context) error {
			if list, _ := records(t, b); len(list) != 1 {
				t.Errorf("%d records when the change is made, want its own", len(list))
			}
			return nil
		})
		if err != nil {
			t.Errorf("Do = %v, want no error", err)
		}
		broken := errors.New("no answer about 13812345678")
		discard := audit.Action{Name: "letters.discard", What: "--event-id 620000198802020000", Count: 3, Why: "典 asked, 13812345678"}
		if err := trail.Do(t.Context(), discard, func(context.Context) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("Do of a change that fails = %v, want its error", err)
		}
		got, ids := records(t, b)
		discarded := map[string]any{"action": "letters.discard", "what": "--event-id ***", "count": 3.0, "why": "典 asked, ***", "who": who}
		failed := map[string]any{"failed": "no answer about ***"}
		maps.Copy(failed, discarded)
		want := []record{
			{
				"ess.audit.limit", "essworker.audit.limit", "ess.Bind", "",
				map[string]any{"action": "limit", "what": "ess.Bind", "before": "20", "after": "15", "why": "their mail of Monday", "who": who},
			},
			{"ess.audit.letters.discard", "essworker.audit.letters.discard", "--event-id%20***", "", discarded},
			{"ess.audit.letters.discard", "essworker.audit.letters.discard", "--event-id%20***", ids[1], failed},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("records differ (-want +got):\n%s", d)
		}
	})
}

// TestDo_readable has a record read back as any other CloudEvent.
func TestDo_readable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		trail := audit.Open(t.Context(), b.NC, b.JS, b.Topology.Names)
		if err := trail.Do(t.Context(), audit.Action{Name: "pause", What: typ, Why: "y"}, nothing); err != nil {
			t.Fatal(err)
		}
		m, err := stream.Get(t.Context(), b.NC, b.Topology.AuditStream(), 1)
		if err != nil {
			t.Fatal(err)
		}
		e, _ := event.Parse("essworker.audit.pause", m.Header, m.Data) // the error is that there is no schema
		if e.Type() != "essworker.audit.pause" || e.Subject() != typ {
			t.Errorf("read as %v, want the record", e)
		}
	})
}

func nothing(context.Context) error { return nil }

// TestDo_unrecorded has the records' stream missing: nothing may be done.
func TestDo_unrecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t)
		trail := audit.Open(t.Context(), b.NC, b.JS, b.Topology.Names)
		done := false
		err := trail.Do(t.Context(), audit.Action{Name: "limit", What: "x", Why: "y"}, func(context.Context) error {
			done = true
			return nil
		})
		if done || !errors.Is(err, jetstream.ErrNoStreamResponse) || !strings.Contains(err.Error(), "nothing was done") {
			t.Errorf("Do = %v, done %t; want an error that nothing was done, and nothing done", err, done)
		}
	})
}

// TestDo_interrupted has the operator press Ctrl-C while the change is made: that it
// failed is recorded all the same.
func TestDo_interrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		trail := audit.Open(t.Context(), b.NC, b.JS, b.Topology.Names)
		ctx, cancel := context.WithCancel(t.Context())
		err := trail.Do(ctx, audit.Action{Name: "limit", What: "x", Why: "y"}, func(ctx context.Context) error {
			cancel()
			return context.Cause(ctx)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Do = %v, want that it was interrupted", err)
		}
		if list, _ := records(t, b); len(list) != 2 || list[1].Data["failed"] == nil {
			t.Errorf("records %v, want two, the second of a failure", list)
		}
	})
}

// TestWho has the server say who acts.
func TestWho(t *testing.T) {
	host, _ := os.Hostname()
	for _, tt := range []struct {
		config, user, password string
		want                   string
	}{
		{"users: [{user: anna, password: secret}]", "anna", "secret", "anna"},
		{"token: secret", "secret", "", "[REDACTED]"}, // the client knows no name: this is the server's word
	} {
		file := filepath.Join(t.TempDir(), "nats.conf")
		if err := os.WriteFile(file, []byte("authorization { "+tt.config+" }"), 0o600); err != nil {
			t.Fatal(err)
		}
		b := natstest.Start(t, natstest.Setup{Types: []string{typ}, File: file, User: tt.user, Password: tt.password})
		who := audit.Open(t.Context(), b.NC, b.JS, b.Topology.Names).Who()
		if who.NATSUser != tt.want || who.OSUser == "" || who.Host != host {
			t.Errorf("Who() = %+v, want NATS user %s on %s", who, tt.want, host)
		}
	}
}
