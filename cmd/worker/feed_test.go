package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsconn"
)

// backlog is how many events a feed lets wait.
const backlog = 60

// feed publishes good events, as many as the vendor is called for, until it is
// stopped. It publishes each until that is confirmed.
type feed struct {
	site *site
	js   jetstream.JetStream
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	next   int
	ids    []string // of confirmed events
	failed error
}

// keepPublishing starts a feed with a connection of its own.
func (s *site) keepPublishing(url string) *feed {
	s.t.Helper()
	nc, err := natsconn.Connect(s.t.Context(), natsConfig(url), natsconn.Options{Name: "publisher", InboxPrefix: "_INBOX_test", NoRetry: true})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	p := &feed{site: s, js: js, stop: stop}
	for range 4 { // one alone may be slower than the workers: each waits for three disks
		p.work.Go(func() { p.run(ctx) })
	}
	s.t.Cleanup(func() { stop(); p.work.Wait() })
	return p
}

func (p *feed) run(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		n, ok := p.turn()
		for !ok {
			select {
			case <-tick.C:
				n, ok = p.turn()
			case <-ctx.Done():
				return
			}
		}
		id, err := p.publish(n)
		p.mu.Lock()
		if err == nil {
			p.ids = append(p.ids, id)
		}
		p.failed = errors.Join(p.failed, err)
		p.mu.Unlock()
		if err != nil || ctx.Err() != nil {
			return
		}
	}
}

// turn gives the number of the next event, once there is room for it.
func (p *feed) turn() (n int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next >= int(p.site.calls.Load())+backlog {
		return 0, false
	}
	p.next++
	return p.next - 1, true
}

// publish publishes an event until it is confirmed, or the test has ended. After a
// while it takes another message id: a leader that was stalled in the midst of a
// message may say of its id, until the duplicate window is over, that it is under way.
// If both are stored in the end, the workers see that they are the same event.
func (p *feed) publish(n int) (id string, err error) {
	id, msg, err := p.site.compose(n)
	if err != nil {
		return "", err
	}
	for began, other := time.Now(), false; ; {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_, err := p.js.PublishMsg(ctx, msg)
		cancel()
		if err == nil {
			return id, nil
		}
		if !other && time.Since(began) > 20*time.Second {
			p.site.t.Logf("event %s under another message id, since with its own: %v", id, err)
			msg.Header.Set(jetstream.MsgIDHeader, msg.Header.Get(jetstream.MsgIDHeader)+"|2")
			other = true
		}
		select {
		case <-p.site.t.Context().Done():
			return "", err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// finish stops publishing and gives the ids of all that was confirmed.
func (p *feed) finish() []string {
	p.site.t.Helper()
	p.stop()
	p.work.Wait()
	if p.failed != nil {
		p.site.t.Fatal(p.failed)
	}
	return p.ids
}
