package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/handlers"
	"essworker/internal/natstest"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// operator types a command against a deployment and gives its exit code, and what it
// said.
func operator(t *testing.T, b *natstest.Bed, args ...string) (code int, said string) {
	t.Helper()
	var out bytes.Buffer
	code = run(t.Context(), append(args, "--nats-url="+b.Server.URL()), strings.NewReader(""), &out, &out)
	return code, out.String()
}

// TestOperators_audited has each thing an operator may change recorded.
func TestOperators_audited(t *testing.T) {
	t.Parallel()
	b := natstest.NewTCP(t, handlers.Types()...)
	const bind, lane = "ess.BindEmployeeUserIdWithClientOpenId", "employee.onboarded"
	for _, line := range []string{
		"limit bind 15 --why=one",
		"limit bind none --why=two",
		"limit bind --reset --why=three",
		"limit bind --reset --why=nothing-to-do",
		"pause empl --why=four",
		"resume empl --why=five",
		"resume empl --why=nothing-to-do",
	} {
		if code, said := operator(t, b, strings.Fields(line)...); code != 0 {
			t.Errorf("%s: exit code %d: %s", line, code, said)
		}
	}
	type record struct {
		Action string `json:"action"`
		What   string `json:"what"`
		Before string `json:"before"`
		After  string `json:"after"`
		Why    string `json:"why"`
	}
	var got []record
	for m, err := range stream.Messages(t.Context(), b.NC, b.Topology.AuditStream(), ">", 1, 100) {
		if err != nil {
			t.Fatal(err)
		}
		var r record
		if err := json.Unmarshal(m.Data, &r); err != nil {
			t.Fatal(err)
		}
		r.Before, _, _ = strings.Cut(r.Before, ",") // by whom and when: it differs
		got = append(got, r)
	}
	want := []record{
		{"limit", bind, "WORKER_RATE", "15/s", "one"},
		{"limit", bind, "15/s", "none", "two"},
		{"limit", bind, "none", "WORKER_RATE", "three"},
		{"pause", lane, "running", "paused until resumed", "four"},
		{"resume", lane, "paused until resumed", "running", "five"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("records differ (-want +got):\n%s", d)
	}
	// What somebody stops with another tool is not put down to who stopped it before.
	if _, err := topology.Pause(t.Context(), b.JS, b.Topology.Names, lane, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if code, said := operator(t, b, "status"); code != 0 || !strings.Contains(said, lane+": paused until resumed with another tool") {
		t.Errorf("status: %d: %s\nwant %s paused by nobody known", code, said, lane)
	}
}

// TestOperators_unrecorded has the stream of the records away: nothing may be changed.
func TestOperators_unrecorded(t *testing.T) {
	t.Parallel()
	b := natstest.NewTCP(t, handlers.Types()...)
	if err := b.JS.DeleteStream(t.Context(), b.Topology.AuditStream()); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"limit bind 15 --why=x", "pause empl --why=x"} {
		code, said := operator(t, b, strings.Fields(line)...)
		if code != exitFailed || !strings.Contains(said, "nothing was done, since it could not be recorded") {
			t.Errorf("%s: exit code %d: %s\nwant 1, and that nothing was done", line, code, said)
		}
	}
	if code, said := operator(t, b, "limit", "bind", "--json"); code != 0 || !strings.Contains(said, `"from":"WORKER_RATE"`) {
		t.Errorf("limit: %d: %s, want that none is set", code, said)
	}
	c, err := b.JS.Consumer(t.Context(), b.Topology.EventsStream(), topology.Consumer("employee.onboarded"))
	if err != nil {
		t.Fatal(err)
	}
	if _, paused := topology.Paused(c.CachedInfo()); paused {
		t.Error("the lane is paused, want it running")
	}
}

func TestMeant(t *testing.T) {
	types := func(word string) string {
		routes, err := meant(word, "lane", typeOf)
		if err != nil {
			return err.Error()
		}
		var list []string
		for _, r := range routes {
			list = append(list, r.Type)
		}
		return strings.Join(list, " ")
	}
	for word, want := range map[string]string{
		"employee.onboarded":      "employee.onboarded",
		"seal-grant-requested":    "seal.grant.requested",
		"auto":                    "autosign.link.requested",
		"ChannelCreateSealPolicy": "seal.grant.requested",
		"BIND":                    "employee.onboarded",
		"e":                       "employee.onboarded",
		"c":                       `"c" may be seal.grant.requested or autosign.link.requested: say more of it`,
		"ess":                     `"ess" is no lane: use one of employee.onboarded, seal.grant.requested, autosign.link.requested`,
	} {
		if got := types(word); got != want {
			t.Errorf("meant(%q) = %s, want %s", word, got, want)
		}
	}
}
