package event

import (
	"errors"
	"time"

	"github.com/cloudevents/sdk-go/v2/types"

	"essworker/schemas"
)

// ResultSpec is what a result event is made of. All but Subject, Cause and
// TraceParent is required.
type ResultSpec struct {
	Type        string    // the result's type, "employee.bound"
	Source      string    // the worker's own source
	Subject     string    // what the result is about: a userId, sealId or scene key
	Cause       Event     // the event, as far as it could be read
	CauseKey    string    // its Key, or KeyOfMessage if it could not be read
	Time        time.Time // when the outcome was known
	TraceParent string    // the W3C trace the outcome belongs to
	Data        []byte    // JSON
}

// NewResult makes the result event. Its id is derived from the cause, so however
// often the same event is handled, a result of one type has one id. What it says of
// its cause is left out as far as the cause could not be read.
func NewResult(r ResultSpec) (Event, error) {
	schema := schemas.ID(r.Type)
	switch {
	case schema == "":
		return Event{}, errors.New("make result: its type has no schema")
	case r.Source == "" || r.CauseKey == "":
		return Event{}, errors.New("make result: it needs a source and the key of its cause")
	case r.Time.IsZero():
		return Event{}, errors.New("make result: it needs a time")
	case len(r.Data) == 0:
		return Event{}, errors.New("make result: it needs data")
	}
	c := newContext(r.Type, r.Source, r.CauseKey+"."+r.Type)
	c.DataSchema = &types.URI{URL: verbatim(schema)}
	c.Time = &types.Timestamp{Time: r.Time}
	// What an attribute may not hold is no reason to leave an event without a result.
	if r.Subject != "" && textProblem(r.Subject) == "" {
		c.Subject = &r.Subject
	}
	c.Extensions = make(map[string]any, 4)
	for _, ext := range [...]struct{ name, value string }{
		{causationID, r.Cause.ID()},
		{causationSource, r.Cause.Source()},
		{correlationID, Correlation(r.Cause)},
		{traceParent, r.TraceParent},
	} {
		if ext.value != "" {
			c.Extensions[ext.name] = ext.value
		}
	}
	return Event{Context: c, DataEncoded: r.Data}, nil
}
