package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/trace"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/mask"
	"essworker/internal/pace"
	"essworker/schemas"
)

// errDone says that the event has its result already.
var errDone = errors.New("the event is done")

// errBroker marks a failure of our own store: it says nothing about the event,
// which goes back as it came.
var errBroker = errors.New("the broker did not answer")

// errStopping says that the worker stops before the event had its turn.
var errStopping = errors.New("shutting down")

// handle takes one event from arrival to settlement. While ctx lives the event may
// wait for its slot; work lives until calls in flight must end, and last a little
// longer, so that a call that has just been made is not made in vain.
func (l *lane) handle(ctx, work, last context.Context, d *delivery) {
	defer l.hand.drop(d)
	seated := true
	leave := func() { // the seat is for waiting only
		if seated {
			<-l.seats
			seated = false
		}
	}
	t := &trip{start: time.Now(), work: work}
	defer func() {
		l.took(time.Since(t.start))
		leave()
		<-l.slots
	}()

	data, err := l.try(ctx, d, t, leave)
	d.patience.Store(0) // settling waits for the broker for as long as it takes
	t.err = l.settle(trace.ContextWithSpan(last, trace.SpanFromContext(t.work)), d, t, data, err)
	l.report(t.work, d, t)
}

// trip is what one delivery came to, for the one log line about it.
type trip struct {
	start    time.Time
	work     context.Context //nolint:containedctx // begins its span on the way, and lives as long as the trip
	record   fleet.Record    // attempts before this delivery
	recalled bool            // the record is known: one that is not must not be overwritten
	waited   time.Duration
	called   time.Duration // 0: no call was made
	made     bool          // a call was made
	schema   string        // digest of the schema that the data fits; empty if it does not
	expires  time.Time     // when the event is of no use any more; zero is never
	probe    bool
	fault    *fault.Error
	outcome  string
	reason   fault.Reason
	letter   uint64
	delay    time.Duration
	result   string // type of the result event
	err      error  // settling failed: the event will come again
}

// try is the straight line. It gives the data of the result, or what went wrong.
// A panic anywhere on it is the event's: another try would crash again.
func (l *lane) try(ctx context.Context, d *delivery, t *trip, leave func()) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("an event crashed its handler", "lane", l.route.Type, "seq", d.seq, "stack", string(debug.Stack()))
			data, err = nil, &fault.Error{
				Kind: fault.Permanent, Reason: fault.Poison, Code: "Panic",
				Message: fmt.Sprintf("the handler crashed (%T)", p),
			}
		}
	}()
	l.moved(d)
	if t.record, err = l.recall(t.work, d); err != nil {
		return nil, err
	}
	t.recalled = true
	d.event, err = l.parse(d, t.record)
	d.identify()
	t.work = l.spans.start(t.work, d, t.start)
	if done := l.finished(t.work, d); done != nil {
		return nil, done
	}
	if err != nil {
		return nil, err
	}
	job, err := l.route.Prepare(d.event.Data())
	d.about = job.Subject
	if err == nil {
		t.schema, t.expires = schemas.Digest(l.route.Type), job.Expires
	}
	ours := err != nil && fault.Of(err).Kind == fault.Misconfigured
	if err != nil && !ours {
		return nil, err
	}
	call := fleet.Call{Tenant: job.Tenant, Key: d.key}
	if err := l.gate.Check(call); err != nil {
		return nil, err
	}
	if ours { // the gate holds what a setting of ours is missing for
		_, t.probe, err = l.gate.Do(t.work, call, func(context.Context) ([]byte, error) { return nil, err })
		return nil, err
	}
	d.patience.Store(0)
	replays, _ := dlq.Generation(d.msg.Header)
	asked := time.Now()
	err = l.gate.Slot(ctx, fleet.Ask{Replay: replays > 0, Behind: d.behind})
	leave()
	l.moved(d)
	t.waited = time.Since(asked)
	if _, refused := errors.AsType[*fleet.ClosedError](err); refused {
		return nil, err
	}
	if err != nil {
		return nil, errStopping
	}
	called, work := time.Now(), t.work
	if l.gate.Limit() > 0 {
		work = pace.With(work, func(ctx context.Context) error { return l.gate.Slot(ctx, fleet.Ask{}) })
	}
	data, t.probe, err = l.gate.Do(work, call, func(ctx context.Context) ([]byte, error) {
		result, err := job.Call(ctx)
		return result, l.discreet(d, err)
	})
	if t.made = reached(err); t.made {
		t.called = time.Since(called)
	}
	return data, err
}

// discreet gives err without what the schema marks as personal in the event's data,
// whoever repeats it there, before the gate or anybody else shows it.
func (l *lane) discreet(d *delivery, err error) error {
	f := fault.Of(err)
	if f == nil {
		return nil
	}
	shown := mask.Text(f.Text(), schemas.Personal(l.route.Type, d.event.Data())...)
	if shown == f.Text() {
		return err
	}
	masked := *f
	masked.Message, masked.Err = shown, nil
	return &masked
}

// moved notes that the event is alive: it is stuck only if it stays here for long.
func (l *lane) moved(d *delivery) {
	d.patience.Store(time.Now().Add(l.callTimeout + stuckAfter*l.topo.AckWait).UnixNano())
}

// recall looks up what earlier deliveries have left behind. A first delivery has
// left nothing, so the common case costs nothing.
func (l *lane) recall(ctx context.Context, d *delivery) (fleet.Record, error) {
	if d.number <= 1 {
		return fleet.Record{Seen: 1}, nil
	}
	var record fleet.Record
	err := l.insist(ctx, func() (err error) {
		record, err = l.attempts.Get(ctx, l.consumer, d.seq)
		return err
	})
	if err != nil {
		return record, fmt.Errorf("%w: %w", errBroker, err)
	}
	return record.At(d.number), nil
}

// parse reads the event. Of one that has crashed its workers only the headers are
// read: its payload may be what crashes.
func (l *lane) parse(d *delivery, r fleet.Record) (event.Event, error) {
	if r.Crashes < l.cfg.PoisonAfter {
		return event.Parse(l.route.Type, d.msg.Header, d.msg.Data)
	}
	e, _ := event.Parse(l.route.Type, d.msg.Header, nil) // the error is that the payload is missing
	return e, &fault.Error{
		Kind: fault.Permanent, Reason: fault.Poison, Code: "NoTrace",
		Message: fmt.Sprintf("%d deliveries ended without a trace: the event crashed or stalled its worker", r.Crashes),
	}
}

// finished tells whether the event needs no call any more: errDone if it has its
// result, or what an earlier delivery has left unfinished.
func (l *lane) finished(ctx context.Context, d *delivery) error {
	if d.number > 1 {
		id, err := l.letters.Find(ctx, l.route.Type, d.seq, d.stored)
		if err != nil {
			return fmt.Errorf("%w: %w", errBroker, err)
		}
		if id > 0 {
			return &letterError{id}
		}
	}
	success, failure := l.topo.ResultSubject(l.route.Success, d.key), l.topo.ResultSubject(l.route.Failure, d.key)
	found, err := l.ledger.Last(ctx, success, failure)
	if err != nil {
		return fmt.Errorf("%w: look for a result: %w", errBroker, err)
	}
	if found[success] != nil {
		return errDone
	}
	// A replay is there to mend a failure, so a failure does not finish it.
	if replays, _ := dlq.Generation(d.msg.Header); found[failure] != nil && replays == 0 {
		return errDone
	}
	return nil
}

// letterError says that an earlier delivery of this event has stored its letter
// and was cut off before it could say so.
type letterError struct{ id uint64 }

func (e *letterError) Error() string { return fmt.Sprintf("the event is letter %d already", e.id) }

// reached tells whether a call went out: not past a closed gate, and not when our own
// side found at the last moment that the event is too late.
func reached(err error) bool {
	if _, closed := errors.AsType[*fleet.ClosedError](err); closed {
		return false
	}
	f := fault.Of(err)
	return f == nil || (f.Reason != fault.Expired && f.Reason != fault.Invalid)
}
