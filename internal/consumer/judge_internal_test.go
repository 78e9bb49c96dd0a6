package consumer

import (
	"testing"
	"time"

	"essworker/internal/fault"
)

// TestJudge is the retry policy, written out.
func TestJudge(t *testing.T) {
	p := policy{MaxAttempts: 8, BackoffMin: time.Second, BackoffMax: 5 * time.Minute, Probe: time.Minute}
	const (
		transient     = fault.Transient
		throttled     = fault.Throttled
		permanent     = fault.Permanent
		misconfigured = fault.Misconfigured
	)
	for _, tt := range []struct {
		name  string
		fault fault.Error
		try   attempt
		want  verdict
	}{
		// The vendor said no for good, or we did.
		{"rejected", fault.Error{Kind: permanent}, attempt{}, verdict{Letter: fault.Rejected, Charged: true}},
		{"invalid", fault.Error{Kind: permanent, Reason: fault.Invalid}, attempt{}, verdict{Letter: fault.Invalid, Charged: true}},
		{"expired", fault.Error{Kind: permanent, Reason: fault.Expired}, attempt{Calls: 3}, verdict{Letter: fault.Expired, Charged: true}},
		{"poison", fault.Error{Kind: permanent, Reason: fault.Poison}, attempt{}, verdict{Letter: fault.Poison, Charged: true}},
		{"rejected as a probe", fault.Error{Kind: permanent}, attempt{Probe: true}, verdict{Letter: fault.Rejected, Charged: true}},
		// The same call may work later: twice as late each time, and not for ever.
		{"1st failure", fault.Error{Kind: transient}, attempt{Calls: 0}, verdict{Within: 1 * time.Second, Charged: true}},
		{"2nd failure", fault.Error{Kind: transient}, attempt{Calls: 1}, verdict{Within: 2 * time.Second, Charged: true}},
		{"7th failure", fault.Error{Kind: transient}, attempt{Calls: 6}, verdict{Within: 64 * time.Second, Charged: true}},
		{"8th failure", fault.Error{Kind: transient}, attempt{Calls: 7}, verdict{Letter: fault.Exhausted, Charged: true}},
		{"beyond the limit", fault.Error{Kind: transient}, attempt{Calls: 20}, verdict{Letter: fault.Exhausted, Charged: true}},
		{"a code that does not decide, 2nd", fault.Error{Kind: transient, Tries: 3}, attempt{Calls: 1, Vague: 1}, verdict{Within: 2 * time.Second, Charged: true}},
		{"a code that does not decide, 3rd", fault.Error{Kind: transient, Tries: 3}, attempt{Calls: 2, Vague: 2}, verdict{Letter: fault.Exhausted, Charged: true}},
		{"the first such code after other failures", fault.Error{Kind: transient, Tries: 3}, attempt{Calls: 3}, verdict{Within: 8 * time.Second, Charged: true}},
		{"a code with more tries than the policy", fault.Error{Kind: transient, Tries: 30}, attempt{Calls: 7}, verdict{Letter: fault.Exhausted, Charged: true}},
		{"the vendor says when", fault.Error{Kind: transient, RetryAfter: time.Hour}, attempt{}, verdict{After: time.Hour, Within: time.Second, Charged: true}},
		// A failed probe is the lane's, whatever the event has had before.
		{"probe", fault.Error{Kind: transient}, attempt{Probe: true}, verdict{After: time.Minute, Within: 30 * time.Second}},
		{"probe with the last attempt left", fault.Error{Kind: transient}, attempt{Probe: true, Calls: 7}, verdict{After: time.Minute, Within: 30 * time.Second}},
		{"probe again", fault.Error{Kind: transient}, attempt{Probe: true, Uncharged: 2}, verdict{After: 4 * time.Minute, Within: 2 * time.Minute}},
		{"probe for the hundredth time", fault.Error{Kind: transient}, attempt{Probe: true, Uncharged: 99}, verdict{After: 5 * time.Minute, Within: 150 * time.Second}},
		// Asked to slow down: nothing failed.
		{"throttled", fault.Error{Kind: throttled}, attempt{Calls: 7}, verdict{After: time.Second, Within: time.Second}},
		{"throttled for a minute", fault.Error{Kind: throttled, RetryAfter: time.Minute}, attempt{}, verdict{After: time.Minute, Within: time.Second}},
		{"throttled probe", fault.Error{Kind: throttled}, attempt{Probe: true}, verdict{After: time.Second, Within: time.Second}},
		// A fault of ours is not the event's.
		{"wrong key", fault.Error{Kind: misconfigured, Scope: fault.Credential}, attempt{Calls: 7}, verdict{After: time.Minute, Within: 30 * time.Second}},
		{"wrong key, probe", fault.Error{Kind: misconfigured, Scope: fault.Credential}, attempt{Probe: true, Uncharged: 1}, verdict{After: 2 * time.Minute, Within: time.Minute}},
		// Cut off by our own shutdown: at once, to somebody else.
		{"interrupted", fault.Error{Kind: transient}, attempt{Interrupted: true, Calls: 7}, verdict{}},
		{"interrupted probe", fault.Error{Kind: transient}, attempt{Interrupted: true, Probe: true}, verdict{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := judge(&tt.fault, tt.try, p); got != tt.want {
				t.Errorf("judge(%s, %+v) = %+v, want %+v", tt.fault.Kind, tt.try, got, tt.want)
			}
		})
	}
}

func TestDoubling(t *testing.T) {
	for _, tt := range []struct {
		first time.Duration
		times int
		want  time.Duration
	}{
		{time.Second, 0, time.Second},
		{time.Second, 3, 8 * time.Second},
		{time.Second, 100_000, time.Minute},
		{time.Hour, 0, time.Minute},
	} {
		if got := doubling(tt.first, tt.times, time.Minute); got != tt.want {
			t.Errorf("doubling(%v, %d, 1m) = %v, want %v", tt.first, tt.times, got, tt.want)
		}
	}
}
