package fleet

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"essworker/internal/fault"
)

// breaker is gobreaker with our idea of a failure: only Transient counts. A
// refusal proves that the vendor lives, a throttled answer moves the quota, a
// misconfiguration begins a hold, and a call that did not reach the vendor says nothing.
type breaker struct {
	*gobreaker.CircuitBreaker[[]byte]
	until   atomic.Pointer[time.Time] // while open: when a probe may go
	why     atomic.Pointer[fault.Error]
	probing atomic.Bool // while half-open: the probe is under way
}

func newBreaker(g *Gate) *breaker {
	b := &breaker{}
	cfg := g.fleet.cfg
	b.CircuitBreaker = gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
		Name:         g.lane,
		MaxRequests:  1,
		Timeout:      cfg.BreakerCooldown,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(cfg.BreakerFailures) }, //nolint:gosec // validated, small and positive
		IsSuccessful: func(err error) bool { return err == nil || fault.Of(err).Kind == fault.Permanent },
		IsExcluded: func(err error) bool {
			return err != nil && (unasked(err) || kindIn(err, fault.Throttled, fault.Misconfigured))
		},
		// Called with gobreaker's lock held, so it must not look at the breaker again.
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.until.Store(new(time.Now().Add(cfg.BreakerCooldown)))
			}
			g.transition(from, to, b.why.Load())
		},
	})
	return b
}

// execute makes the call unless the breaker is open. probe tells whether the call
// was the one that decides if the breaker closes again.
func (b *breaker) execute(call func() ([]byte, error)) (out []byte, probe bool, err error) {
	var crash any
	out, err = b.Execute(func() (data []byte, err error) {
		// Only a probe begins while half-open, and nobody else can end that state. Calls
		// that began earlier may still end in it: theirs is not the probe that is over.
		if probe = b.State() == gobreaker.StateHalfOpen; probe {
			b.probing.Store(true)
			defer b.probing.Store(false)
		}
		defer func() {
			if crash = recover(); crash != nil { // gobreaker would count it as the vendor's failure
				err = errCrashed
			}
		}()
		if data, err = call(); err != nil {
			b.why.Store(fault.Of(err))
		}
		return data, err
	})
	if crash != nil {
		panic(crash)
	}
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return nil, false, &ClosedError{Why: "the breaker is " + b.State().String()}
	}
	return out, probe, err
}
