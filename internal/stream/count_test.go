package stream_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/natstest"
	"essworker/internal/stream"
)

// TestCount counts letters, whatever their headers say, and finds the first of them.
func TestCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		letters := b.Topology.LettersStream()
		start := time.Now()
		for i := range 20 {
			reason := []string{"invalid", "rejected"}[i%2]
			header := nats.Header{"Nats-Num-Pending": {"77"}}
			if i < len(hostile) {
				header = hostile[i]
			}
			msg := &nats.Msg{Subject: b.Topology.LetterSubject(reason, typ, fmt.Sprint("k", i)), Header: header}
			if _, err := b.JS.PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		s, err := b.JS.Stream(t.Context(), letters)
		if err != nil {
			t.Fatal(err)
		}
		for _, gone := range []uint64{1, 8} {
			if err := s.DeleteMsg(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			subject string
			count   uint64
			from    uint64
			first   uint64
		}{
			{b.Topology.LetterSubject("*", typ, "*"), 18, 0, 2},
			{b.Topology.LetterSubject("invalid", typ, "*"), 9, 0, 3},
			{b.Topology.LetterSubject("rejected", typ, "*"), 9, 7, 10},
			{b.Topology.LetterSubject("rejected", typ, "k19"), 1, 20, 20},
			{b.Topology.LetterSubject("rejected", typ, "*"), 9, 21, 0},
			{b.Topology.LetterSubject("poison", typ, "*"), 0, 0, 0},
		} {
			if n, err := stream.Count(t.Context(), b.NC, letters, tt.subject); n != tt.count || err != nil {
				t.Errorf("Count(%s) = %d, %v, want %d", tt.subject, n, err, tt.count)
			}
			seq, at, err := stream.First(t.Context(), b.NC, letters, tt.subject, tt.from)
			if tt.first == 0 {
				if !errors.Is(err, stream.ErrNoMessage) {
					t.Errorf("First(%s, %d) = %d, %v, want ErrNoMessage", tt.subject, tt.from, seq, err)
				}
				continue
			}
			if want := start.Add(time.Duration(tt.first-1) * time.Second); seq != tt.first || !at.Equal(want) || err != nil {
				t.Errorf("First(%s, %d) = %d of %v, %v, want %d of %v", tt.subject, tt.from, seq, at, err, tt.first, want)
			}
		}
		if _, err := stream.Count(t.Context(), b.NC, "ESS_NONE", "x.>"); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("Count in no stream = %v, want ErrNoResponders", err)
		}
	})
}
