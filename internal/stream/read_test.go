package stream_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"

	"essworker/internal/natstest"
	"essworker/internal/stream"
)

// hostile are headers with which a publisher imitates the server.
var hostile = []nats.Header{
	nil,
	{"Status": {"404"}},
	{"Status": {"204"}, "Description": {"EOB"}},
	{"Status": {"100"}},
	{"status": {"503"}},
}

func TestGet_whateverTheHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		letters := b.Topology.LettersStream()
		for i, h := range hostile {
			subject := b.Topology.LetterSubject("invalid", typ, fmt.Sprint("k", i))
			ack, err := b.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: h})
			if err != nil {
				t.Fatal(err)
			}
			msg, err := stream.Get(t.Context(), b.NC, letters, ack.Sequence)
			if err != nil || msg.Sequence != ack.Sequence || msg.Subject != subject {
				t.Errorf("Get of a message with %v = %+v, %v; want it", h, msg, err)
			}
			msg, err = stream.LastFor(t.Context(), b.NC, letters, b.Topology.LetterSubject("*", typ, fmt.Sprint("k", i)))
			if err != nil || msg.Sequence != ack.Sequence {
				t.Errorf("LastFor of a message with %v = %+v, %v; want it", h, msg, err)
			}
		}
		if _, err := stream.Get(t.Context(), b.NC, letters, 99); !errors.Is(err, stream.ErrNoMessage) {
			t.Errorf("Get(99) = %v, want ErrNoMessage", err)
		}
		if _, err := stream.LastFor(t.Context(), b.NC, letters, b.Topology.LetterSubject("*", typ, "none")); !errors.Is(err, stream.ErrNoMessage) {
			t.Errorf("LastFor(none) = %v, want ErrNoMessage", err)
		}
	})
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		letters := b.Topology.LettersStream()
		const n = 1203 // more than two batches
		for i := range n {
			reason := []string{"invalid", "rejected"}[i%2]
			msg := &nats.Msg{Subject: b.Topology.LetterSubject(reason, typ, fmt.Sprint("k", i)), Header: hostile[i%len(hostile)]}
			if _, err := b.JS.PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
		}
		s, err := b.JS.Stream(t.Context(), letters)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteMsg(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			filter      string
			first, last uint64
			want        []uint64
		}{
			{b.Topology.LetterSubject("*", typ, "*"), 1, n, slices.DeleteFunc(sequence(1, n, 1), func(s uint64) bool { return s == 7 })},
			{b.Topology.LetterSubject("rejected", typ, "*"), 1, n, sequence(2, n, 2)},
			{b.Topology.LetterSubject("*", typ, "*"), 500, 1100, sequence(500, 1100, 1)},
			{b.Topology.LetterSubject("*", typ, "*"), 7, 7, nil},
			{b.Topology.LetterSubject("poison", typ, "*"), 1, n, nil},
			{b.Topology.LetterSubject("*", typ, "*"), 5, 0, nil},
		} {
			var got []uint64
			for m, err := range stream.Messages(t.Context(), b.NC, letters, tt.filter, tt.first, tt.last) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.Sequence)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("Messages(%s, %d, %d) = %d messages, want %d", tt.filter, tt.first, tt.last, len(got), len(tt.want))
			}
		}
		for _, err := range stream.Messages(t.Context(), b.NC, "ESS_NONE", "x.>", 1, 9) {
			if !errors.Is(err, nats.ErrNoResponders) {
				t.Errorf("Messages of no stream = %v, want ErrNoResponders", err)
			}
		}
	})
}

func sequence(from, to, step uint64) []uint64 {
	var s []uint64
	for i := from; i <= to; i += step {
		s = append(s, i)
	}
	return s
}
