package event

import (
	"context"
	"time"
)

// Route ties one event type to the vendor action it asks for and to the result
// types that follow. All that is per type (subject, consumer, lane, labels) is
// derived from it; the routes together are one table in package handlers.
type Route struct {
	Type    string // the event, "employee.onboarded"
	Success string // result type of a success, "employee.bound"
	Failure string // result type of a failure, "employee.bind.failed"
	Action  string // the vendor's action, which is also the unit of quota
	Product string // the vendor product, which is the unit of credentials: "ess" or "essbasic"
	// Prepare reads the event's data, which has passed the schema, and says what the
	// call would be without making it. Its error is a permanent *fault.Error. It is
	// safe for concurrent use and does no input or output.
	Prepare func(data []byte) (Job, error)
}

// Job is one event's vendor call, ready to be made.
type Job struct {
	Subject string // the CloudEvents subject of the result: a userId, sealId or scene key
	Tenant  string // whose fault a fault of tenant scope is; never personal data
	// Expires is when the event is of no use any more, and Prepare and Call would fail;
	// zero if it never is.
	Expires time.Time
	// Call makes one attempt and gives the result event's data. Its error is a
	// *fault.Error, or the context's.
	Call func(context.Context) ([]byte, error)
}
