package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/topology"
)

// load publishes the events, notes when, and looks after their stream.
type load struct {
	js     jetstream.JetStream
	names  topology.Names
	events Events
	sent   []time.Time // by event; of the warm-up it is not noted
	failed atomic.Pointer[error]
}

// maxPending is how many events may be on their way to the server at a time.
const maxPending = 2048

// errNotStored says that the server did not take an event.
var errNotStored = errors.New("an event was not stored")

func newLoad(nc *nats.Conn, events Events, n int) (*load, error) {
	l := &load{names: events.Names, events: events, sent: make([]time.Time, n)}
	var err error
	l.js, err = jetstream.New(
		nc, jetstream.WithPublishAsyncMaxPending(maxPending), jetstream.WithPublishAsyncTimeout(stallWait),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { l.failed.CompareAndSwap(nil, &err) }),
	)
	return l, err
}

// publish sends event i on its way.
func (l *load) publish(ctx context.Context, i int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := l.failed.Load(); err != nil {
		return fmt.Errorf("%w: %w", errNotStored, *err)
	}
	msg, err := l.events.Message(i)
	if err != nil {
		return err
	}
	if i < len(l.sent) {
		l.sent[i] = time.Now()
	}
	if _, err := l.js.PublishMsgAsync(msg, jetstream.WithStallWait(stallWait)); err != nil {
		return fmt.Errorf("%w: %w", errNotStored, err)
	}
	return nil
}

// publishAt publishes n events evenly spaced, and waits until they are stored. One that
// is late for its moment makes no other late.
func (l *load) publishAt(ctx context.Context, n int, rate float64) error {
	start := time.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	for i := range n {
		next.Reset(time.Until(start.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
		select {
		case <-next.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := l.publish(ctx, i); err != nil {
			return err
		}
	}
	return l.stored(ctx)
}

// stored waits until the server has confirmed everything sent.
func (l *load) stored(ctx context.Context) error {
	select {
	case <-l.js.PublishAsyncComplete():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := l.failed.Load(); err != nil {
		return fmt.Errorf("%w: %w", errNotStored, *err)
	}
	return nil
}

// attached waits until somebody asks for the events of each type, and gives the names of
// the consumers, whoever has made them.
func (l *load) attached(ctx context.Context, worker *Process) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startWait, fmt.Errorf("no worker has asked for events within %v%s", startWait, worker.hint()))
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		names, err := l.asking(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil || names != nil:
			return names, err
		}
		select {
		case <-tick.C:
		case <-worker.Done():
			return nil, worker.Ended(ctx)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// asking gives the consumers that somebody asks, or nothing until all types have one.
func (l *load) asking(ctx context.Context) ([]string, error) {
	stream, err := l.js.Stream(ctx, l.names.EventsStream())
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", l.names.EventsStream(), err)
	}
	var names, subjects []string
	list := stream.ListConsumers(ctx)
	for c := range list.Info() {
		if c.NumWaiting > 0 || c.PushBound {
			names = append(names, c.Name)
			subjects = append(subjects, c.Config.FilterSubject)
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list the consumers of %s: %w", l.names.EventsStream(), err)
	}
	for _, typ := range l.events.Types {
		if !slices.Contains(subjects, l.names.EventSubject(typ)) {
			return nil, nil
		}
	}
	return names, nil
}

// pause stops the consumers for a long time, and says how far the server's clock is ahead
// of ours.
func (l *load) pause(ctx context.Context, consumers []string) (ahead time.Duration, err error) {
	for _, name := range consumers {
		until := time.Now().Add(pauseWait)
		paused, err := l.js.PauseConsumer(ctx, l.names.EventsStream(), name, until)
		if err != nil {
			return 0, fmt.Errorf("pause consumer %s: %w", name, err)
		}
		ahead = until.Sub(time.Now().Add(paused.PauseRemaining))
	}
	return ahead, nil
}

// release lets the consumers go, all at the moment it gives, which is a little ahead. They
// are not resumed: a server (nats-server 2.15) hands out nothing after that until something
// else wakes the consumer. The end of a pause does wake it.
func (l *load) release(ctx context.Context, consumers []string, ahead time.Duration) (start time.Time, err error) {
	start = time.Now().Add(releaseWait)
	for _, name := range consumers {
		if _, err := l.js.PauseConsumer(ctx, l.names.EventsStream(), name, start.Add(ahead)); err != nil {
			return start, fmt.Errorf("release consumer %s: %w", name, err)
		}
	}
	return start, nil
}

// settled waits until the server has had the last acknowledgements and the watch every
// result there is. It says what is left that should not be.
func (l *load) settled(ctx context.Context, w *watch) (left []string, err error) {
	limit := time.After(settleWait)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		left, still, err := l.left(ctx, w)
		if err != nil || !still {
			return left, err
		}
		select {
		case <-tick.C:
		case <-limit:
			return left, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// left looks at the streams; still says that what is left may go by itself.
func (l *load) left(ctx context.Context, w *watch) (left []string, still bool, err error) {
	for _, s := range []struct {
		stream  string
		allowed int
		what    string
		passing bool
	}{
		{l.names.EventsStream(), 0, "events are still there", true},
		{l.names.LettersStream(), 0, "letters were written", false},
		{l.names.ResultsStream(), w.total(), "results have not reached their subscriber", true},
	} {
		stream, err := l.js.Stream(ctx, s.stream)
		if err != nil {
			return nil, false, fmt.Errorf("look at %s: %w", s.stream, err)
		}
		if n := int(stream.CachedInfo().State.Msgs); n > s.allowed { //nolint:gosec // a count
			left = append(left, fmt.Sprintf("%d %s", n-s.allowed, s.what))
			still = still || s.passing
		}
	}
	return left, still, nil
}
