package fleet

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"essworker/internal/fault"
)

// breaker is a lane's breaker in this worker: a gobreaker, which trips at once and by
// this worker's own calls, and a reporter, which tells the fleet what those calls came
// to. The fleet's breaker is a Bar; while it is shut, or once it has opened again, the
// worker's own starts afresh.
//
// Only Transient counts as a failure, and an answer that took too long. A refusal
// proves that the vendor lives, a throttled answer moves the quota, a misconfiguration
// begins a hold, and a call that did not reach the vendor says nothing.
type breaker struct {
	gate *Gate
	own  atomic.Pointer[gobreaker.CircuitBreaker[[]byte]]

	until   atomic.Pointer[time.Time] // while open: when a probe may go
	probing atomic.Bool               // while half-open: the probe is under way

	mu        sync.Mutex
	why       *fault.Error // the last failure
	failed    int          // failures the fleet has not been told of
	worked    bool         // a success it has not been told of
	inARow    int          // failures since the last success
	reporting bool
}

// look tells how long this worker's own breaker keeps the lane waiting: 0 not at all,
// less than 0 until something changes.
func (b *breaker) look() (wait time.Duration, probe bool) {
	switch b.own.Load().State() {
	case gobreaker.StateOpen:
		// gobreaker moves on only when its time is strictly past.
		return max(time.Until(*b.until.Load()), 0) + time.Nanosecond, false
	case gobreaker.StateHalfOpen:
		if b.probing.Load() {
			return -1, false
		}
		return 0, true
	case gobreaker.StateClosed:
	}
	return 0, false
}

// errSlow stands in gobreaker's counts for a success that took too long.
var errSlow = errors.New("the vendor answers too slowly")

func newBreaker(g *Gate) *breaker {
	b := &breaker{gate: g}
	b.reset()
	return b
}

// reset starts the worker's own breaker afresh. What calls that are under way come to
// counts for the one they began with, and nobody looks at that any more.
func (b *breaker) reset() {
	b.mu.Lock()
	b.why, b.failed, b.worked, b.inARow = nil, 0, false, 0
	b.mu.Unlock()
	cfg := b.gate.fleet.cfg
	b.until.Store(&time.Time{})
	var own *gobreaker.CircuitBreaker[[]byte]
	own = gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
		Name:         b.gate.lane,
		MaxRequests:  1,
		Timeout:      cfg.BreakerCooldown,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(cfg.BreakerFailures) }, //nolint:gosec // validated, small and positive
		IsSuccessful: func(err error) bool { return err == nil || kindIn(err, fault.Permanent) },
		IsExcluded: func(err error) bool {
			return err != nil && (unasked(err) || kindIn(err, fault.Throttled, fault.Misconfigured))
		},
		// Called with gobreaker's lock held, so it must not look at the breaker again.
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if b.own.Load() != own {
				return
			}
			if to == gobreaker.StateOpen {
				b.until.Store(new(time.Now().Add(cfg.BreakerCooldown)))
			}
			b.gate.transition(ofWorker, from.String(), to.String(), b.lastFailure(to))
			b.gate.fleet.changed.changed()
		},
	})
	b.own.Store(own)
}

// execute makes the call unless this worker's breaker is open. probe tells whether the
// call was the one that decides if that closes again.
func (b *breaker) execute(call func() ([]byte, error)) (out []byte, probe bool, err error) {
	own := b.own.Load()
	var crash any
	var slow bool
	out, err = own.Execute(func() (data []byte, err error) {
		// Only a probe begins while half-open, and nobody else can end that state. Calls
		// that began earlier may still end in it: theirs is not the probe that is over.
		if probe = own.State() == gobreaker.StateHalfOpen; probe {
			b.probing.Store(true)
			defer b.probing.Store(false)
		}
		data, slow, crash, err = b.watched(call)
		switch {
		case crash != nil: // gobreaker would count it as the vendor's failure
			return nil, errCrashed
		case slow:
			return data, errSlow
		}
		return data, err
	})
	if crash != nil {
		panic(crash)
	}
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return nil, false, &ClosedError{Why: "this worker's breaker is " + own.State().String()}
	}
	if slow {
		err = nil
	}
	return out, probe, err
}

// watched makes the call and tells the fleet how the vendor did.
func (b *breaker) watched(call func() ([]byte, error)) (data []byte, slow bool, crash any, err error) {
	defer func() { crash = recover() }()
	start := time.Now()
	data, err = call()
	slow = err == nil && b.slow(time.Since(start))
	switch {
	case slow:
		b.note(b.tooSlow())
	case err == nil || kindIn(err, fault.Permanent) && !unasked(err):
		b.note(nil)
	case kindIn(err, fault.Transient) && !unasked(err):
		b.note(fault.Of(err))
	}
	return data, slow, nil, err
}

// slow reports whether a success took too long.
func (b *breaker) slow(took time.Duration) bool {
	return b.gate.fleet.slow > 0 && took > b.gate.fleet.slow
}

// tooSlow is what such a success says about the vendor.
func (b *breaker) tooSlow() *fault.Error {
	return &fault.Error{Kind: fault.Transient, Code: "Slow", Message: "an answer took longer than " + b.gate.fleet.slow.String()}
}

// note keeps what a call said about the vendor until the fleet is told of it. In good
// times there is nothing to tell.
func (b *breaker) note(failure *fault.Error) {
	f := b.gate.fleet
	var bar Bar
	if !f.agreed.quiet() {
		bar = f.agreed.bar(b.gate.breakerKey)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if failure != nil {
		b.why, b.failed = failure, b.failed+1
		b.inARow++
	} else {
		b.failed, b.inARow = 0, 0
		b.worked = len(bar.Failed) > 0
	}
	if !b.reporting && (b.failed > 0 || b.worked) && !bar.Shut() {
		b.reporting = true
		f.tasks.Go(b.report)
	}
}

// report tells the fleet of failures, and of successes that end a row of them, until
// there is nothing left to tell.
func (b *breaker) report() {
	f := b.gate.fleet
	for {
		failed, worked, inARow, why := b.news()
		if failed == 0 && !worked {
			return
		}
		alone := inARow >= f.cfg.BreakerFailures && f.alone(f.ctx)
		opened := false
		_, err := f.change(f.ctx, b.gate.breakerKey, func(bar *Bar, now time.Time) bool {
			bar.Kind, bar.Name, opened = Breaker, b.gate.lane, false
			switch {
			case bar.Shut():
				return false
			case worked && failed == 0:
				bar.open()
				return true
			}
			if bar.witness(f.id, failed, now, f.cfg.BreakerFailures, max(time.Minute, f.cfg.BreakerCooldown), alone) {
				opened = bar.shut(why, f.id, now, f.cfg.BreakerCooldown)
			}
			return true
		})
		if err != nil {
			if sleep(f.ctx, f.unreachable("a failing vendor", err)) != nil {
				return
			}
			b.untold(failed, worked)
			continue
		}
		if opened {
			b.gate.transition(ofFleet, "closed", "open", why)
		}
	}
}

// untold keeps what could not be told.
func (b *breaker) untold(failed int, worked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inARow > 0 { // else a success has ended the row meanwhile
		b.failed += failed
	}
	b.worked, b.reporting = b.worked || worked, true
}

// lastFailure is why the breaker opens; nil if it does not.
func (b *breaker) lastFailure(to gobreaker.State) *fault.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if to != gobreaker.StateOpen {
		return nil
	}
	return b.why
}

// news takes what there is to tell.
func (b *breaker) news() (failed int, worked bool, inARow int, why *fault.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	failed, worked = b.failed, b.worked
	b.failed, b.worked = 0, false
	b.reporting = failed > 0 || worked
	return failed, worked, b.inARow, b.why
}

// alone reports whether no other worker is there who could be a witness.
func (f *Fleet) alone(ctx context.Context) bool {
	workers, err := f.workers(ctx)
	if err != nil {
		f.unreachable("who else works", err)
		return false
	}
	return !anyOther(workers, f.id)
}

func anyOther(workers []Presence, id string) bool {
	for _, w := range workers {
		if w.ID != id {
			return true
		}
	}
	return false
}
