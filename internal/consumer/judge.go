package consumer

import (
	"time"

	"essworker/internal/fault"
)

// attempt is what judge knows about an event beside its fault.
type attempt struct {
	Calls       int  // vendor calls charged to the event so far, this one not yet
	Vague       int  // those of them whose fault had a limit of tries of its own
	Uncharged   int  // calls made that were not charged: probes, throttled and misconfigured ones
	Probe       bool // this call was the lane's question
	Interrupted bool // this call was cut off by our own shutdown
}

// verdict is what follows a failed call.
type verdict struct {
	Letter  fault.Reason  // park the event as a letter with this reason; empty: again later
	After   time.Duration // the event must not come again before this
	Within  time.Duration // and comes at a random moment of this long behind it
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
		return verdict{After: max(f.RetryAfter, time.Second), Within: time.Second}
	case fault.Misconfigured:
		return p.away(f, a)
	case fault.Transient:
	}
	switch {
	case a.Probe:
		return p.away(f, a)
	case a.Calls+1 >= p.MaxAttempts, f.Tries > 0 && a.Vague+1 >= f.Tries:
		return verdict{Letter: fault.Exhausted, Charged: true}
	}
	return verdict{After: f.RetryAfter, Within: doubling(p.BackoffMin, a.Calls, p.BackoffMax), Charged: true}
}

// away keeps an event from being the next probe as well.
func (p policy) away(f *fault.Error, a attempt) verdict {
	delay := doubling(p.Probe, a.Uncharged, max(p.Probe, p.BackoffMax))
	return verdict{After: max(delay, f.RetryAfter), Within: delay / 2}
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
