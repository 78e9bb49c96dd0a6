// Package event reads and writes CloudEvents on NATS, and names them.
//
// Its one rule is to read leniently and to write exactly: a message is understood
// in every way the CloudEvents binding, the CloudEvents SDK or a person with a
// NATS command line may have written it, as long as it can be understood in one
// way only; what leaves is as the binding says, to the letter. Every difference
// between the two is in the table of docs/cloudevents.md, which a test keeps true.
package event

import (
	"net/url"
	"strings"

	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// Event is one CloudEvent. Those that [Parse] and [New] give are of
// version 1.0, hold their data as JSON text, and keep source and dataschema to the
// letter, which the SDK's own setters do not: they rewrite what is not a plain URL,
// and an event's source is half of its identity.
type Event = ce.Event

const (
	specVersion = ce.CloudEventsVersionV1
	jsonType    = ce.ApplicationJSON
)

// The extensions that tie an event to its cause and its story.
const (
	correlationID   = "correlationid"
	causationID     = "causationid"
	causationSource = "causationsource"
	traceParent     = "traceparent"
	traceState      = "tracestate"
)

// New gives an event with JSON data. Nothing is checked here; [Write] refuses what
// is not a CloudEvent.
func New(typ, source, id string, data []byte) Event {
	return Event{Context: newContext(typ, source, id), DataEncoded: data}
}

func newContext(typ, source, id string) *ce.EventContextV1 {
	contentType := jsonType
	return &ce.EventContextV1{
		ID:              id,
		Source:          types.URIRef{URL: verbatim(source)},
		Type:            typ,
		DataContentType: &contentType,
	}
}

// Correlation is what ties an event to others of the same story: its extension
// correlationid, else its own id. It is empty for an event that has neither.
func Correlation(e Event) string {
	if id := extension(e, correlationID); id != "" {
		return id
	}
	return e.ID()
}

// extension is an extension's value as text, empty if there is none.
func extension(e Event, name string) string {
	c, ok := e.Context.(*ce.EventContextV1)
	if !ok || c.Extensions[name] == nil {
		return ""
	}
	text, err := types.Format(c.Extensions[name])
	if err != nil {
		return ""
	}
	return text
}

// verbatim wraps a reference so that its String gives it back unchanged: a URL
// parsed and printed again may differ, and then it names another event.
func verbatim(ref string) url.URL {
	scheme, rest, found := strings.Cut(ref, ":")
	if found && isScheme(scheme) {
		return url.URL{Scheme: scheme, Opaque: rest}
	}
	return url.URL{Opaque: ref}
}

// isScheme reports whether s is the scheme of a URI, RFC 3986 section 3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		other := '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'
		if !letter && (!other || i == 0) {
			return false
		}
	}
	return s != ""
}
