package doctor_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/doctor"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

// BenchmarkExamine looks at a server with nothing on it, and at one with 100,000 events
// and as many letters.
func BenchmarkExamine(b *testing.B) {
	for _, n := range []int{0, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			bed := natstest.New(b, handlers.Types()...)
			for i := range n {
				for _, subject := range []string{bed.Topology.EventSubject(bound), bed.Topology.LetterSubject("rejected", bound, strconv.Itoa(i))} {
					if _, err := bed.JS.PublishMsgAsync(&nats.Msg{Subject: subject, Data: []byte(subject)}, jetstream.WithStallWait(patience)); err != nil {
						b.Fatal(err)
					}
				}
			}
			<-bed.JS.PublishAsyncComplete()
			d := doctor.Doctor{
				Connect: connect(bed.Server, natsconn.Config{}), Topology: bed.Topology,
				Routes: handlers.Routes(nil, handlers.Defaults{}), Patience: patience,
			}
			for b.Loop() {
				findings := 0
				d.Examine(context.Background(), func(doctor.Finding) { findings++ })
				if findings != 13+len(handlers.Types()) {
					b.Fatalf("%d findings, want one of each check", findings)
				}
			}
		})
	}
}
