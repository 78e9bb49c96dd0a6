package consumer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/mask"
)

// The outcomes of a delivery, as logs and metrics name them.
const (
	succeeded = "succeeded" // a success result is stored
	duplicate = "duplicate" // it was done already
	lettered  = "lettered"  // a letter and a failure result are stored
	retrying  = "retrying"  // it comes again, one attempt poorer
	waited    = "waiting"   // it comes again, and has lost nothing
	unsettled = "unsettled" // of metrics and spans: what it came to could not be carried out, and it comes again by itself
)

// cameTo is the outcome that counts: what was to be done about an event, if it was done.
func (t *trip) cameTo() string {
	if t.err != nil {
		return unsettled
	}
	return t.outcome
}

// brokerPause is the wait before an event comes again that the broker has kept us
// from working on.
const brokerPause = time.Second

// settle does what follows a try, in the order that loses nothing: what is to be
// known is stored before the event is acknowledged. Its error means that the event
// was not settled and comes again by itself.
func (l *lane) settle(ctx context.Context, d *delivery, t *trip, data []byte, err error) error {
	if err == nil {
		err = l.fits(data)
	}
	if letter, ok := errors.AsType[*letterError](err); ok {
		return l.resume(ctx, d, t, letter.id)
	}
	closed, isClosed := errors.AsType[*fleet.ClosedError](err)
	switch {
	case err == nil:
		t.outcome, t.result = succeeded, l.route.Success
		t.record.Made++
		if err := l.publish(ctx, d, l.route.Success, data); err != nil {
			return err
		}
		return l.done(ctx, d)
	case errors.Is(err, errDone):
		t.outcome = duplicate
		return l.done(ctx, d)
	case isClosed:
		t.outcome, t.delay = waited, l.patience(d, closed)
		return l.wait(ctx, d, t.record, t.delay)
	case errors.Is(err, errStopping):
		t.outcome = waited
		return l.wait(ctx, d, t.record, 0)
	case errors.Is(err, errBroker):
		t.fault = fault.Of(err)
		t.outcome, t.delay = waited, brokerPause+jitter(brokerPause)
		if !t.recalled { // the worker was cut off while it asked: better a crash counted than attempts forgotten
			return d.again(l.nc, t.delay)
		}
		return l.wait(ctx, d, t.record, t.delay)
	}
	return l.failed(ctx, d, t, err)
}

// failed carries out the verdict about a fault.
func (l *lane) failed(ctx context.Context, d *delivery, t *trip, err error) error {
	t.fault = fault.Of(err)
	v := judge(t.fault, attempt{
		Calls: t.record.Calls, Vague: t.record.Vague, Uncharged: t.record.Made - t.record.Calls,
		Probe: t.probe, Interrupted: isInterrupted(t.work, err),
	}, l.policy)
	if t.made {
		t.record.Made++
		if v.Charged {
			t.record.Calls++
		}
		if v.Charged && t.fault.Tries > 0 {
			t.record.Vague++
		}
	}
	if v.Letter != "" {
		t.outcome, t.reason, t.result = lettered, v.Letter, l.route.Failure
		return l.park(ctx, d, t)
	}
	t.outcome, t.delay = waited, v.After+jitter(v.Within)
	if v.Charged {
		t.outcome = retrying
	}
	return l.wait(ctx, d, t.record, t.delay)
}

// park stores the letter, then says so in a failure result, then lets the event go.
func (l *lane) park(ctx context.Context, d *delivery, t *trip) error {
	now := time.Now()
	// Another message with the same source and id may have succeeded meanwhile.
	if done, err := l.succeeded(ctx, d); err != nil || done {
		t.outcome, t.result = duplicate, ""
		if err != nil {
			return err
		}
		return l.done(ctx, d)
	}
	err := l.spans.send(ctx, l.spans.letter, func(ctx context.Context) error {
		f := dlq.Failed{
			Type: l.route.Type, Action: l.route.Action, Consumer: l.consumer, Stream: l.topo.EventsStream(),
			StreamSeq: d.seq, Stored: d.stored, Deliveries: d.number,
			Subject: d.msg.Subject, Header: d.msg.Header, Data: d.msg.Data, Event: d.event,
			Fault: t.fault, Reason: t.reason, Attempts: t.record.Made, FailedAt: now,
			Schema: t.schema, Expires: t.expires, Trace: sampled(ctx),
		}
		return l.insist(ctx, func() (err error) {
			t.letter, err = l.letters.Put(ctx, f)
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := l.publishFailure(ctx, d, t.reason, t.fault, t.record.Made, t.letter); err != nil {
		return err
	}
	return l.done(ctx, d)
}

// resume finishes what an earlier delivery began: its letter is stored, the rest may not be.
func (l *lane) resume(ctx context.Context, d *delivery, t *trip, id uint64) error {
	t.outcome, t.letter = duplicate, id
	var letter dlq.Letter
	err := l.insist(ctx, func() (err error) {
		letter, err = l.letters.Get(ctx, id)
		return err
	})
	if err != nil {
		return err
	}
	t.reason = letter.Reason
	t.fault = &fault.Error{Kind: fault.Permanent, Code: letter.Code, Message: letter.Message, RequestID: letter.RequestID}
	if err := l.publishFailure(ctx, d, letter.Reason, t.fault, letter.Attempts, id); err != nil {
		return err
	}
	return l.done(ctx, d)
}

func (l *lane) publishFailure(ctx context.Context, d *delivery, reason fault.Reason, f *fault.Error, attempts int, letter uint64) error {
	data, err := json.Marshal(event.Failure{
		Reason: string(reason), Code: f.Code, Message: mask.Text(f.Text()), RequestID: f.RequestID, Attempts: attempts,
		DeadLetter: event.FailureLetter{ID: letter},
	})
	if err != nil {
		return fmt.Errorf("encode failure: %w", err)
	}
	return l.publish(ctx, d, l.route.Failure, data)
}

// publish stores a result on condition that the event has none of its type yet.
func (l *lane) publish(ctx context.Context, d *delivery, typ string, data []byte) error {
	start := time.Now()
	err := l.spans.send(ctx, l.spans.results[typ], func(ctx context.Context) error { return l.store(ctx, d, typ, data) })
	if err == nil {
		l.metrics.published(ctx, typ, time.Since(start))
	}
	return err
}

func (l *lane) store(ctx context.Context, d *delivery, typ string, data []byte) error {
	header, ok := l.headers.Get().(nats.Header)
	if !ok {
		header = make(nats.Header)
	}
	defer func() {
		clear(header)
		l.headers.Put(header)
	}()
	msg, err := event.Result(header, event.ResultSpec{
		Type: typ, Source: l.cfg.Source, Subject: d.about, Cause: d.event, CauseKey: d.key,
		Time: time.Now(), TraceParent: traceParent(ctx), Data: data,
	})
	if err != nil {
		return err
	}
	msg.Subject = l.topo.ResultSubject(typ, d.key)
	return l.insist(ctx, func() error {
		_, _, err := l.results.Once(ctx, msg)
		return err
	})
}

// done lets the event go and forgets its attempts.
func (l *lane) done(ctx context.Context, d *delivery) error {
	if err := d.acknowledge(ctx, l.nc); err != nil {
		return err
	}
	if d.number > 1 {
		if err := l.attempts.Forget(ctx, l.consumer, d.seq); err != nil {
			l.log.Debug("attempts of a settled event not forgotten", "lane", l.route.Type, "seq", d.seq, "why", err)
		}
	}
	return nil
}

// wait hands the event back. The record goes first, and the event is kept in hand
// until it is stored: a delivery that ends without one looks like a crash, and three
// of those would make a good event poison.
func (l *lane) wait(ctx context.Context, d *delivery, r fleet.Record, delay time.Duration) error {
	r.Seen = max(r.Seen, d.number)
	if err := l.insist(ctx, func() error { return l.attempts.Put(ctx, l.consumer, d.seq, r) }); err != nil {
		return err
	}
	return d.again(l.nc, max(delay, handOver))
}

// handOver is the shortest time before an event comes again: a follower that answers
// the next worker's question has the record by then.
const handOver = 100 * time.Millisecond

// patience is how long an event stays away from something held: longer each time, so
// that many held events leave the lane to others.
func (l *lane) patience(d *delivery, closed *fleet.ClosedError) time.Duration {
	first := closed.RetryIn
	if first == 0 {
		return jitter(time.Second)
	}
	delay := doubling(first, int(min(d.number-1, 10)), max(first, cmp.Or(closed.Most, l.cfg.BackoffMax)))
	return delay + jitter(delay/2)
}

// succeeded asks the ledger once more, right before a letter is written.
func (l *lane) succeeded(ctx context.Context, d *delivery) (done bool, err error) {
	subject := l.topo.ResultSubject(l.route.Success, d.key)
	err = l.insist(ctx, func() error {
		found, err := l.ledger.Last(ctx, subject)
		done = found[subject] != nil
		return err
	})
	return done, err
}

// insist repeats a step of settling until the broker has confirmed it: what has
// been done at the vendor is not to be done again because the broker was away. The
// event's deadline is extended all the while.
func (l *lane) insist(ctx context.Context, step func() error) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := step()
		if err == nil {
			return nil
		}
		if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, fleet.ErrOvertaken) {
			return err
		}
		l.log.Warn("the broker has not confirmed; trying again", "lane", l.route.Type, "why", err)
		select {
		case <-time.After(pause/2 + jitter(pause/2)):
		case <-ctx.Done():
			return err
		}
	}
}

// fits finds a success that is too large to be published.
func (l *lane) fits(data []byte) error {
	const headers = 4096 // more than a result's headers ever take
	if int64(len(data)+headers) > l.nc.MaxPayload() {
		return fault.Errorf(fault.Rejected, "ResultTooLarge", "the result has %d bytes, which the broker does not take", len(data))
	}
	return nil
}

// isInterrupted reports whether a call was cut off by our own shutdown.
func isInterrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, fleet.ErrInterrupted))
}
