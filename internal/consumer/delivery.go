package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/event"
)

// delivery is one event in a worker's hands, from arrival to settlement.
type delivery struct {
	msg    *nats.Msg
	seq    uint64    // place in the events stream
	number uint64    // how often the event was delivered; a hint, never the truth
	stored time.Time // when the event was accepted, by the server's clock
	behind uint64    // events that waited behind it when it was delivered
	taken  time.Time // when it arrived here

	event event.Event // as far as it could be read
	key   string      // names the event, or the message if it could not be read
	about string      // what the result is about: a userId, sealId or scene key

	// patience is when the event counts as stuck: from then on nothing extends its
	// deadline, so that another worker gets it. Zero while it waits for a slot.
	patience atomic.Int64
}

func newDelivery(msg *nats.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	return &delivery{
		msg: msg, seq: meta.Sequence.Stream, number: meta.NumDelivered, stored: meta.Timestamp, behind: meta.NumPending, taken: time.Now(),
		key: event.KeyOfMessage(meta.Sequence.Stream, meta.Timestamp),
	}, nil
}

// identify takes the event's own name once it is known.
func (d *delivery) identify() {
	if id, source := d.event.ID(), d.event.Source(); id != "" && source != "" {
		d.key = event.Key(source, id)
	}
}

// ackTimeout bounds the wait for one confirmation; a lost one is asked for again.
const ackTimeout = 3 * time.Second

// ack settles the event for good. The server's word is not waited for: an event whose
// acknowledgement is lost comes again, and the ledger tells that it is done. Of one
// that came again it is, because what is known about its attempts is dropped next.
func (d *delivery) ack(ctx context.Context, nc *nats.Conn) error {
	var err error
	if d.number <= 1 {
		err = nc.Publish(d.msg.Reply, []byte("+ACK"))
	} else {
		ctx, cancel := context.WithTimeout(ctx, ackTimeout)
		defer cancel()
		_, err = nc.RequestWithContext(ctx, d.msg.Reply, []byte("+ACK"))
	}
	if err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

const (
	ackTries   = 3
	leaderWait = 30 * time.Second
	ackPause   = 200 * time.Millisecond // a server that has just come back is not ready at once
)

// acknowledge is ack until it is confirmed. Everything is stored by now, so one that
// stays without an answer is left alone: a server that was killed may have forgotten
// that it ever handed the event out, and gives it again.
func (d *delivery) acknowledge(ctx context.Context, nc *nats.Conn) (err error) {
	for tries, patient := 0, time.Now().Add(leaderWait); tries < ackTries; {
		if err = d.ack(ctx, nc); err == nil {
			return nil
		}
		// A consumer without a leader has forgotten nothing, and will have one within seconds.
		if !errors.Is(err, nats.ErrNoResponders) || time.Now().After(patient) {
			tries++
		}
		select {
		case <-time.After(ackPause):
		case <-ctx.Done():
		}
	}
	return err
}

// again hands the event back; it comes again to whoever asks first after the delay.
func (d *delivery) again(nc *nats.Conn, delay time.Duration) error {
	body := []byte("-NAK")
	if delay > 0 {
		body = append(strconv.AppendInt(append(body, ` {"delay": `...), int64(delay), 10), '}')
	}
	return nc.Publish(d.msg.Reply, body)
}

// hand is the events a lane holds, whose deadlines are extended while they wait.
type hand struct {
	mu   sync.Mutex
	held map[*delivery]struct{}
}

func (h *hand) take(d *delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[d] = struct{}{}
}

func (h *hand) drop(d *delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, d)
}

func (h *hand) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held)
}

// beat extends the deadline of every event that is not stuck, three times as often
// as needed, until ctx ends.
func (h *hand) beat(ctx context.Context, nc *nats.Conn, ackWait time.Duration) {
	tick := time.NewTicker(ackWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := time.Now().UnixNano()
		for _, d := range h.all() {
			if p := d.patience.Load(); p == 0 || now < p {
				_ = nc.Publish(d.msg.Reply, []byte("+WPI")) // the next beat makes up for a lost one
			}
		}
	}
}

func (h *hand) all() []*delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*delivery, 0, len(h.held))
	for d := range h.held {
		all = append(all, d)
	}
	return all
}
