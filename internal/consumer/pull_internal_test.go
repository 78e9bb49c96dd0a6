package consumer

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/natstest"
	"essworker/internal/topology"
)

// TestPuller_reconnected: the connection was lost and came back while the lane asked for
// nothing. The news of it does not make the puller give up what it asks for next: an
// event that is on its way by then comes again only after its ack wait.
func TestPuller_reconnected(t *testing.T) {
	const typ = "employee.onboarded"
	synctest.Test(t, func(t *testing.T) {
		bed := natstest.New(t, typ)
		var requests atomic.Int32
		if _, err := bed.NC.Subscribe("$JS.API.CONSUMER.MSG.NEXT.>", func(*nats.Msg) { requests.Add(1) }); err != nil {
			t.Fatal(err)
		}
		h := &hand{held: map[*delivery]struct{}{}}
		p := newPuller(bed.NC, bed.Topology.EventsStream(), topology.Consumer(typ), 1, h, slog.New(slog.DiscardHandler))
		news := make(chan nats.Status, 1)
		news <- nats.CONNECTED
		p.connected = news
		time.AfterFunc(100*time.Millisecond, func() {
			if err := bed.NC.Publish(bed.Topology.EventSubject(typ), []byte("{}")); err != nil {
				t.Error(err)
			}
		})
		d, err := p.next(t.Context(), 1, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := requests.Load(); n != 1 || d.number != 1 {
			t.Errorf("delivery %d after %d requests, want the first after one", d.number, n)
		}
	})
}
