package status_test

import (
	"strconv"
	"testing"

	"essworker/internal/fault"
	"essworker/internal/natstest"
	"essworker/internal/status"
)

// BenchmarkLook looks at a deployment with 100,000 events and 100,000 letters: once as
// a command does, and again as a screen does that is kept up to date.
func BenchmarkLook(b *testing.B) {
	const many = 100_000
	var types []string
	for _, r := range routes() {
		types = append(types, r.Type)
	}
	bed := natstest.NewTCP(b, types...)
	for i := range many {
		typ, reason := types[i%len(types)], fault.Reasons()[i%len(fault.Reasons())]
		for _, subject := range []string{bed.Topology.EventSubject(typ), bed.Topology.LetterSubject(string(reason), typ, strconv.Itoa(i)+"-dxb2kq9zv1a2")} {
			if _, err := bed.JS.PublishAsync(subject, make([]byte, 300)); err != nil {
				b.Fatal(err)
			}
		}
		if i%1000 == 0 {
			<-bed.JS.PublishAsyncComplete()
		}
	}
	<-bed.JS.PublishAsyncComplete()
	look := func(b *testing.B, r *status.Reader) {
		b.Helper()
		s, err := r.Look(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		var backlog, letters uint64
		for _, l := range s.Lanes {
			backlog += l.Backlog()
			for _, n := range l.Letters {
				letters += n
			}
		}
		if backlog != many || letters != many {
			b.Fatalf("%d events and %d letters, want %d of each", backlog, letters, many)
		}
	}
	b.Run("once", func(b *testing.B) {
		for b.Loop() {
			look(b, status.NewReader(bed.NC, bed.JS, bed.Topology.Names, routes()))
		}
	})
	b.Run("again", func(b *testing.B) {
		r := status.NewReader(bed.NC, bed.JS, bed.Topology.Names, routes())
		look(b, r)
		for b.Loop() {
			look(b, r)
		}
	})
}
