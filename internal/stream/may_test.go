package stream_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/stream"
)

// restricted starts a server where one may publish as said, and gives that one's connection.
func restricted(t *testing.T, publish string) (all *natstest.Bed, one *nats.Conn, denied *[]string) {
	t.Helper()
	users := filepath.Join(t.TempDir(), "users.conf")
	conf := fmt.Sprintf("authorization { users [ { user: all, password: p }, { user: one, password: p, permissions { publish %s } } ] }", publish)
	if err := os.WriteFile(users, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	all = natstest.Start(t, natstest.Setup{Types: []string{typ}, File: users, User: "all", Password: "p"})
	denied = new([]string)
	one = all.Connect(natsconn.Options{Denied: func(err *natsconn.DeniedError) {
		*denied = append(*denied, err.Subject)
	}}, natsconn.Config{User: "one", Password: "p"})
	return all, one, denied
}

func TestMay(t *testing.T) {
	const subject = "a.b.c"
	tests := []struct {
		publish string
		want    bool
	}{
		{`{ allow: [">"] }`, true},
		{`{ allow: ["$SYS.>", "a.*.c"] }`, true},
		{`{ allow: ["$SYS.>", "a.b"] }`, false},
		{`{ deny: "other" }`, true},
		{`{ deny: "a.>" }`, false},
		{`{ allow: ["$SYS.>", "a.>"], deny: "*.b.*" }`, false},
		{`{ allow: "other" }`, true}, // it may not ask
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			_, nc, _ := restricted(t, tt.publish)
			if got := stream.May(t.Context(), nc, subject); got != tt.want {
				t.Errorf("with %s: may = %t, want %t", tt.publish, got, tt.want)
			}
		})
	}
}

// TestHeaders_withoutConsumer reads as one who may make no consumer, and tries to make none.
func TestHeaders_withoutConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, nc, denied := restricted(t, `{ allow: ["$SYS.REQ.USER.INFO", "$JS.API.DIRECT.GET.ESS_DEADLETTERS"] }`)
		for i := range 5 {
			m := &nats.Msg{Subject: fmt.Sprintf("ess.deadletters.%d.x", i%2), Data: []byte("payload"), Header: nats.Header{"I": {"x"}}}
			if _, err := b.JS.PublishMsg(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for m, err := range stream.Headers(t.Context(), js, b.Topology.LettersStream(), "ess.deadletters.0.*", 1, 4) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Data != nil || m.Header.Get("I") != "x" {
				t.Errorf("message %+v", m)
			}
			got = append(got, m.Sequence)
		}
		synctest.Wait()
		if fmt.Sprint(got) != "[1 3]" || len(*denied) > 0 {
			t.Errorf("got %v, want 1 and 3; denied %q", got, *denied)
		}
	})
}
