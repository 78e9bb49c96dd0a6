package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// watch is a subscriber of all results: it notes when each event's arrived.
type watch struct {
	events  Events
	results jetstream.ConsumeContext

	mu       sync.Mutex
	got      []time.Time // by event: its first result
	success  []int32     // by event, warm-up too: how many
	failure  map[int]int
	strange  int           // results of nobody's event
	seen     int           // results in all
	from     int           // those that were expected before
	awaited  int           // those and what is expected now
	done     chan struct{} // closed when they have come
	lastSeen time.Time
}

func watchResults(ctx context.Context, js jetstream.JetStream, events Events, n int) (*watch, error) {
	w := &watch{
		events: events,
		got:    make([]time.Time, n), success: make([]int32, n+warmUp), failure: map[int]int{},
	}
	consumer, err := js.OrderedConsumer(ctx, events.Names.ResultsStream(), jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverAllPolicy, HeadersOnly: true,
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to results: %w", err)
	}
	if w.results, err = consumer.Consume(w.note); err != nil {
		return nil, fmt.Errorf("subscribe to results: %w", err)
	}
	return w, nil
}

func (w *watch) stop() { w.results.Stop() }

// note takes one result.
func (w *watch) note(msg jetstream.Msg) {
	now := time.Now()
	i, ok := w.events.number(msg.Headers().Get("ce-causationid"))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen++
	w.lastSeen = now
	switch {
	case !ok || i >= len(w.success):
		w.strange++
	case strings.HasSuffix(msg.Headers().Get("ce-type"), ".failed"):
		w.failure[i]++
	default:
		w.success[i]++
		if i < len(w.got) && w.got[i].IsZero() {
			w.got[i] = now
		}
	}
	if w.done != nil && w.seen == w.awaited {
		close(w.done)
	}
}

// expect gives a channel that is closed when n more results have come than had when the
// one before was.
func (w *watch) expect(n int) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.from = w.awaited
	w.awaited += n
	w.done = make(chan struct{})
	if w.seen >= w.awaited {
		close(w.done)
	}
	return w.done
}

// count is how many of the expected results have come.
func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return min(max(0, w.seen-w.from), w.awaited-w.from)
}

// total is how many results have come in all.
func (w *watch) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// last is when the last result came.
func (w *watch) last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastSeen
}
