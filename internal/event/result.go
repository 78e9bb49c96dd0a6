package event

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

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

// Result gives the message of a result event without its subject, in binary mode as
// [Write] would: there is one for each event handled, so it is written without an
// Event in between. The header is written into h, which must be empty and may be used
// again once the message is published. The id is derived from the cause, so however often the same event
// is handled, a result of one type has one id; Nats-Msg-Id is the same. What it says
// of its cause is left out as far as the cause could not be read.
func Result(h nats.Header, r ResultSpec) (*nats.Msg, error) {
	schema := schemas.ID(r.Type)
	switch {
	case schema == "":
		return nil, errors.New("make result: its type has no schema")
	case r.Source == "" || r.CauseKey == "":
		return nil, errors.New("make result: it needs a source and the key of its cause")
	case r.Time.IsZero():
		return nil, errors.New("make result: it needs a time")
	case len(r.Data) == 0:
		return nil, errors.New("make result: it needs data")
	}
	if p := textProblem(r.Source); p != "" {
		return nil, fmt.Errorf("make result: its source %s", p)
	}
	w := headerWriter{h, make([]string, 0, 16)}
	id := r.CauseKey + "." + r.Type
	w.put(prefix+"specversion", specVersion)
	w.put(prefix+"id", id)
	w.put(prefix+"source", r.Source)
	w.put(prefix+"type", r.Type)
	// What an attribute may not hold is no reason to leave an event without a result.
	if textProblem(r.Subject) == "" {
		w.put(prefix+"subject", r.Subject)
	}
	w.put(prefix+"dataschema", schema)
	w.put(prefix+"datacontenttype", jsonType)
	w.put(prefix+"time", r.Time.UTC().Format(time.RFC3339Nano))
	w.put(prefix+causationID, r.Cause.ID())
	w.put(prefix+causationSource, r.Cause.Source())
	w.put(prefix+correlationID, Correlation(r.Cause))
	w.put(prefix+traceParent, r.TraceParent)
	w.add(contentTypeHeader, jsonType)
	w.add(nats.MsgIdHdr, id)
	return &nats.Msg{Header: h, Data: r.Data}, nil
}
