package dlq

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"essworker/internal/fault"
)

// When is a moment given as RFC 3339, or as a duration before now.
type When struct{ time.Time }

// UnmarshalText reads "2h", "30m" or "2026-11-22T08:00:00Z".
func (w *When) UnmarshalText(b []byte) error {
	s := string(b)
	if d, err := time.ParseDuration(s); err == nil {
		if d < 0 {
			d = -d
		}
		w.Time = time.Now().Add(-d)
		return nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("%q is neither a duration such as 2h nor a time such as 2026-11-22T08:00:00Z", s)
	}
	w.Time = t
	return nil
}

var typePattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// Filter selects letters; a zero field selects all. It is declared once, with its
// flags, and embedded by every command that selects letters. A flag that is nonempty must
// not be given without a value: it would select all.
type Filter struct {
	Reason  string `json:"reason,omitempty" enum:"invalid,rejected,exhausted,poison,expired," default:"" nonempty:"" help:"Letters with this reason: invalid, rejected, exhausted, poison or expired." placeholder:"REASON"`
	Type    string `json:"type,omitempty" nonempty:"" help:"Letters of this event type." placeholder:"TYPE"`
	Code    string `json:"code,omitempty" nonempty:"" help:"Letters with this code, the vendor's or ours." placeholder:"CODE"`
	Group   string `json:"group,omitempty" nonempty:"" help:"Letters of this group, as listed by dlq groups." placeholder:"GROUP"`
	EventID string `json:"eventId,omitempty" nonempty:"" help:"Letters of the event with this id." placeholder:"ID"`
	Since   When   `json:"since,omitzero" help:"Failed at or after: a duration ago (2h) or a time (RFC 3339)." placeholder:"WHEN"`
	Until   When   `json:"until,omitzero" help:"Failed before: a duration ago (2h) or a time (RFC 3339)." placeholder:"WHEN"`
	Limit   int    `json:"limit,omitzero" help:"At most so many letters, the newest." placeholder:"N"`
}

// Empty reports whether the filter selects every letter.
func (f Filter) Empty() bool {
	f.Limit = 0
	return f == Filter{}
}

// Validate names the first part of the filter that cannot work.
func (f Filter) Validate() error {
	if f.Limit < 0 {
		return fmt.Errorf("--limit: must be 0 (no limit) or more, not %d", f.Limit)
	}
	if f.Reason != "" && !slices.Contains(fault.Reasons(), fault.Reason(f.Reason)) {
		return fmt.Errorf("--reason: %q is not one of %v", f.Reason, fault.Reasons())
	}
	if f.Type != "" && !typePattern.MatchString(f.Type) {
		return fmt.Errorf("--type: %q must be an event type such as employee.onboarded", f.Type)
	}
	return nil
}

func (f Filter) selects(l Letter) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(f.Reason, string(l.Reason)) && is(f.Type, l.Type) && is(f.Code, l.Code) &&
		is(f.Group, l.Group) && is(f.EventID, l.EventID) &&
		(f.Since.IsZero() || !l.FailedAt.Before(f.Since.Time)) &&
		(f.Until.IsZero() || l.FailedAt.Before(f.Until.Time))
}
