package consumer

import (
	"time"

	"essworker/internal/fault"
)

// attempt is what judge knows about an event beside its fault.
type attempt struct {
	Calls       int  // vendor calls charged to the event so far, this one not yet
	Uncharged   int  // calls made that were not: probes, throttled and misconfigured ones
	Probe       bool // this call was the lane's question
	Interrupted bool // this call was cut off by our own shutdown
}

// verdict is what follows a failed call.
type verdict struct {
	Letter  fault.Reason  // park the event as a letter with this reason; empty: again later
	Delay   time.Duration // the longest wait before it comes again; the real one is drawn from it
	Charged bool          // the call counts as an attempt of the event
}

// policy is the part of the settings that decides.
type policy struct {
	MaxAttempts int
	BackoffMin  time.Duration
	BackoffMax  time.Duration
	// Probe is the shortest wait after a failed probe. It is longer than the lane
	// stays shut, so that the next probe is made with a different event.
	Probe time.Duration
}

// judge is the whole retry policy: it decides from the fault and the calls made so
// far, and from nothing else.
func judge(f *fault.Error, a attempt, p policy) verdict {
	if a.Interrupted {
		return verdict{}
	}
	switch f.Kind {
	case fault.Permanent:
		return verdict{Letter: f.LetterReason(), Charged: true}
	case fault.Throttled:
		return verdict{Delay: max(f.RetryAfter, time.Second)}
	case fault.Misconfigured:
		return verdict{Delay: doubling(p.Probe, a.Uncharged, max(p.Probe, p.BackoffMax))}
	case fault.Transient:
	}
	if a.Probe {
		return verdict{Delay: doubling(p.Probe, a.Uncharged, max(p.Probe, p.BackoffMax))}
	}
	limit := p.MaxAttempts
	if f.Tries > 0 {
		limit = min(limit, f.Tries)
	}
	if a.Calls+1 >= limit {
		return verdict{Letter: fault.Exhausted, Charged: true}
	}
	return verdict{Delay: max(f.RetryAfter, doubling(p.BackoffMin, a.Calls, p.BackoffMax)), Charged: true}
}

// doubling is first, twice that, four times that ... and never more than most.
func doubling(first time.Duration, times int, most time.Duration) time.Duration {
	for range times {
		if first >= most/2 {
			return most
		}
		first *= 2
	}
	return min(first, most)
}
