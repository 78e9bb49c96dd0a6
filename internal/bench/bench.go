// Package bench puts a load through a worker and says what came of it: how fast, at what
// cost, and whether each event was carried out exactly once.
//
// Its one rule: a worker is measured from outside. What it takes from the machine is
// asked of the kernel, when it called is what the vendor's simulator recorded, when it
// was done is when a subscriber had the result. So a trial costs the worker nothing, and
// a worker of any other make can be put through the same one.
package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/topology"
)

// Trial is one load for one worker. The streams exist and are empty; the worker is
// running or coming up. All fields without a remark are required.
type Trial struct {
	NC     *nats.Conn // the load's and the subscriber's own; without a reconnect buffer
	Names  topology.Names
	Types  []string // of the events, in turn; Kinds lists those there are
	Events int      // how many, at most MaxEvents
	// Rate is how many events are published a second. With 0 all are stored while the
	// worker's consumers are paused, and the clock starts when they are let go.
	Rate   float64
	Limit  int    // the quota the worker was given, to be checked; 0 is none
	Vendor Vendor // the simulator, with a record as long as the trial
	// Worker, Server and Sim are measured; one that is nil runs elsewhere.
	Worker, Server, Sim *Process
	// Metrics is the address of the worker's metrics, which tell its allocations; may be
	// empty.
	Metrics string
	// Progress is told now and then how far the trial is; may be nil. Where there is
	// nothing to count, of is 0.
	Progress func(stage string, done, of int)
}

const (
	// warmUp is how many events come before the clock starts, so that no figure has the
	// worker's start in it: connections are dialled, pools filled, stacks grown.
	warmUp     = 200
	warmUpSlow = 12 // the same under a quota, where they take seconds

	stallWait   = 2 * time.Minute // without any result: something is wrong
	settleWait  = 10 * time.Second
	pauseWait   = time.Hour // more than storing any backlog takes
	releaseWait = 200 * time.Millisecond
	lookEvery   = 100 * time.Millisecond // at a stream
	tellEvery   = 100 * time.Millisecond
	clockSlack  = time.Minute // between our clock and a simulator's elsewhere
)

// Run is the trial. Its error says that there was none: something could not be started,
// or nothing moved any more. Work that was done wrong is no error but in the Report.
func (t Trial) Run(ctx context.Context) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	events := NewEvents(t.Names, t.Types)
	load, err := newLoad(t.NC, events, t.Events)
	if err != nil {
		return nil, err
	}
	t.tell("waiting for the worker", 0, 0)
	consumers, err := load.attached(ctx, t.Worker)
	if err != nil {
		return nil, err
	}
	watch, err := watchResults(ctx, load.js, events, t.Events)
	if err != nil {
		return nil, err
	}
	defer watch.stop()

	warm := warmUp
	if t.Limit > 0 {
		warm = warmUpSlow
	}
	if err := t.warm(ctx, load, watch, warm); err != nil {
		return nil, err
	}
	m, err := t.measure(ctx, load, watch, consumers)
	if err != nil {
		return nil, err
	}
	left, err := load.settled(ctx, watch)
	if err != nil {
		return nil, err
	}
	t.tell("reading the vendor's record", 0, 0)
	record, err := t.Vendor.calls(ctx, began.Add(-clockSlack))
	if err != nil {
		return nil, err
	}
	r := t.report(m, load, watch, newChecker(events, t.Events+warm, record))
	r.Wrong = append(r.Wrong, left...)
	return r, nil
}

// warm sends a few events. In number they are behind those that are measured.
func (t Trial) warm(ctx context.Context, load *load, watch *watch, n int) error {
	t.tell("warming up", 0, 0)
	for i := range n {
		if err := load.publish(ctx, t.Events+i); err != nil {
			return err
		}
	}
	if err := load.stored(ctx); err != nil {
		return err
	}
	return t.await(ctx, watch, n, nil)
}

// measure is what the clock runs for.
func (t Trial) measure(ctx context.Context, load *load, watch *watch, consumers []string) (*measured, error) {
	if t.Rate > 0 {
		return t.measureAtRate(ctx, load, watch)
	}
	ahead, err := load.pause(ctx, consumers)
	if err != nil {
		return nil, err
	}
	for i := range t.Events {
		t.tell("storing", i, t.Events)
		if err := load.publish(ctx, i); err != nil {
			return nil, err
		}
	}
	if err := load.stored(ctx); err != nil {
		return nil, err
	}
	m, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	start, err := load.release(ctx, consumers, ahead)
	if err != nil {
		return nil, err
	}
	if err := t.await(ctx, watch, t.Events, nil); err != nil {
		return nil, err
	}
	m.took = watch.last().Sub(start)
	return m, t.end(ctx, m)
}

func (t Trial) measureAtRate(ctx context.Context, load *load, watch *watch) (*measured, error) {
	m, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	failed := make(chan error, 1) // closed when all is published
	go func() {
		defer close(failed)
		if err := load.publishAt(ctx, t.Events, t.Rate); err != nil {
			failed <- err
		}
	}()
	if err := t.await(ctx, watch, t.Events, failed); err != nil {
		return nil, err
	}
	if err := <-failed; err != nil { // what came last
		return nil, err
	}
	m.took = watch.last().Sub(start)
	return m, t.end(ctx, m)
}

// await waits for so many more results. Failed, if not nil, tells what went wrong beside.
func (t Trial) await(ctx context.Context, watch *watch, n int, failed <-chan error) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	done := watch.expect(n)
	seen, since := 0, time.Now()
	for {
		select {
		case <-done:
			return nil
		case err, ok := <-failed:
			if ok {
				return err
			}
			failed = nil // all is well
		case <-tick.C:
			now := watch.count()
			t.tell("working", now, n)
			if now != seen {
				seen, since = now, time.Now()
			} else if time.Since(since) > stallWait {
				return fmt.Errorf("no result for %v, with %d of %d there%s", stallWait, now, n, t.Worker.hint())
			}
		case <-t.Worker.Done():
			return t.Worker.Ended(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (t Trial) tell(stage string, done, of int) {
	if t.Progress != nil {
		t.Progress(stage, done, of)
	}
}
