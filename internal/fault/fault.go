// Package fault names the few ways an event can fail, so that whoever notices
// a failure says what it is and only the consumer decides what follows.
//
// It imports the standard library only: every other package may speak of
// faults without learning about HTTP, NATS or the vendor. Success is a nil
// error; there is deliberately no kind for it.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what a failure means for the event and for the lane it came on.
type Kind string

// The four kinds. A failure nobody classified is Transient: retried a bounded
// number of times, then kept as a letter.
const (
	Transient     Kind = "transient"     // the same call may work later
	Throttled     Kind = "throttled"     // asked to slow down; nothing failed
	Permanent     Kind = "permanent"     // this event will never work as it is
	Misconfigured Kind = "misconfigured" // no event of this scope will work until someone acts
)

// Reason says why an event became a dead letter. The values are the contract's:
// they stand in subjects and headers.
type Reason string

// The five reasons of a dead letter.
const (
	Invalid   Reason = "invalid"   // not a readable event, or its data breaks the schema
	Rejected  Reason = "rejected"  // the vendor said no for good
	Exhausted Reason = "exhausted" // attempts used up
	Poison    Reason = "poison"    // it crashed or stalled its worker
	Expired   Reason = "expired"   // too late to be of use
)

// Reasons lists every Reason, in the order a reader expects them.
func Reasons() []Reason { return []Reason{Invalid, Rejected, Exhausted, Poison, Expired} }

// Scope says how far a fault reaches beyond the one event.
type Scope string

// The scopes, widest first. The empty Scope means the event alone.
const (
	Credential Scope = "credential" // every action called with the same key
	Action     Scope = "action"     // one vendor action
	Tenant     Scope = "tenant"     // one organisation, operator or application at the vendor
)

// Error is a classified failure. It is a plain value: nothing in it changes
// after it was made, and its text is masked by whoever made it.
type Error struct {
	Kind   Kind
	Reason Reason // Permanent: the letter's reason; empty means Rejected
	// Scope is, by kind: Misconfigured, what is held; Throttled, Credential when the
	// vendor limits the whole account or address; Permanent, Tenant when the failure
	// also counts against the tenant. Else empty.
	Scope      Scope
	Code       string        // the vendor's code, or ours in CamelCase
	Message    string        // for people; already masked
	RequestID  string        // the vendor's RequestId, if it answered
	Tries      int           // Transient: a lower limit of attempts than the policy's; 0 is none
	RetryAfter time.Duration // the vendor's hint of when to come back; 0 is none
	Err        error         // the cause, if there is one
}

// Error gives code and message, then the cause.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, s := range []string{e.Code, e.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if len(parts) == 0 {
		return string(e.Kind)
	}
	return strings.Join(parts, ": ")
}

// Text is what went wrong without its code: the message, or the cause where there
// is none. It is for logs, results and letters, which show the code beside it.
func (e *Error) Text() string {
	if e.Message != "" || e.Err == nil {
		return e.Message
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// LetterReason is the reason a letter about this fault carries.
func (e *Error) LetterReason() Reason {
	if e.Reason == "" {
		return Rejected
	}
	return e.Reason
}

// Errorf makes a permanent fault of ours for one event, with a code and a message.
func Errorf(reason Reason, code, format string, args ...any) *Error {
	return &Error{Kind: Permanent, Reason: reason, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Of gives the outermost fault in err's chain, so that a caller reclassifies by
// wrapping. An error nobody classified becomes Transient. Of(nil) is nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Error](err); ok {
		return f
	}
	return &Error{Kind: Transient, Code: "Unclassified", Err: err}
}
