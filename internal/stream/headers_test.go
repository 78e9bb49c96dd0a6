package stream_test

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"

	"essworker/internal/natstest"
	"essworker/internal/stream"
)

// TestHeaders reads more than two requests bring, with gaps and with headers that mean
// something to clients, and leaves no consumer behind.
func TestHeaders(t *testing.T) {
	const n = 10_000
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		name := b.Topology.LettersStream()
		for i := 1; i <= n; i++ {
			m := &nats.Msg{
				Subject: fmt.Sprintf("ess.deadletters.%d.x", i%2), Data: []byte("payload"),
				Header: nats.Header{"I": {strconv.Itoa(i)}, "Status": {"404"}, "Description": {"No Messages"}},
			}
			if _, err := b.JS.PublishMsgAsync(m); err != nil {
				t.Fatal(err)
			}
		}
		<-b.JS.PublishAsyncComplete()
		s, err := b.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, seq := range []uint64{1, 500, n} {
			if err := s.DeleteMsg(t.Context(), seq); err != nil {
				t.Fatal(err)
			}
		}
		read := func(filter string, first, last uint64) (count int) {
			t.Helper()
			var at uint64
			for m, err := range stream.Headers(t.Context(), b.JS, name, filter, first, last) {
				if err != nil {
					t.Fatal(err)
				}
				if m.Header.Get("I") != strconv.FormatUint(m.Sequence, 10) || m.Data != nil || m.Sequence <= at || m.Time.IsZero() {
					t.Fatalf("message %+v after %d", m, at)
				}
				at = m.Sequence
				count++
			}
			return count
		}
		for _, tt := range []struct {
			filter      string
			first, last uint64
			want        int
		}{
			{"ess.deadletters.>", 0, n, n - 3},
			{"ess.deadletters.1.>", 1, n, n/2 - 1},
			{"ess.deadletters.>", 499, 501, 2},
			{"ess.deadletters.nobody", 1, n, 0},
			{"ess.deadletters.>", 5, 4, 0},
			{"ess.deadletters.>", n, n + 5, 0},
		} {
			if got := read(tt.filter, tt.first, tt.last); got != tt.want {
				t.Errorf("Headers(%s, %d to %d) gives %d messages, want %d", tt.filter, tt.first, tt.last, got, tt.want)
			}
		}
		for _, err := range stream.Headers(t.Context(), b.JS, name, ">", 1, n) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		var left []string
		for c := range s.ListConsumers(t.Context()).Info() {
			left = append(left, c.Name)
		}
		if len(left) > 0 {
			t.Errorf("consumers %v are left behind", left)
		}
		for _, err := range stream.Headers(t.Context(), b.JS, "NONE", ">", 1, n) {
			if err == nil {
				t.Error("reading from no stream is no error")
			}
		}
	})
}
