package event

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/nats-io/nats.go"

	"essworker/internal/fault"
	"essworker/internal/mask"
	"essworker/schemas"
)

// The codes of a message that is no readable event, or not the event it should be.
const (
	NotACloudEvent         = "NotACloudEvent"         // nothing says that it is one
	NotJSON                = "NotJSON"                // the envelope or the data is not JSON
	UnsupportedContentType = "UnsupportedContentType" // a batch, or data that is not JSON
	UnsupportedSpecVersion = "UnsupportedSpecVersion" // not CloudEvents 1.0
	MissingAttribute       = "MissingAttribute"       // no id, source, type or specversion
	RepeatedHeader         = "RepeatedHeader"         // a ce-* header or the content type is there twice
	RepeatedAttribute      = "RepeatedAttribute"      // a member of the envelope is there twice
	BadAttribute           = "BadAttribute"           // an attribute with a value it may not have
	BadTime                = "BadTime"                // a time that is not RFC 3339
	TypeMismatch           = "TypeMismatch"           // the type is not that of the subject
	SchemaViolation        = "SchemaViolation"        // the data breaks its schema
)

const (
	prefix            = "ce-"
	contentTypeHeader = "content-type"

	structuredType = "application/cloudevents+json"
	structuredAny  = "application/cloudevents" // what the NATS binding looks for
	structuredMany = "application/cloudevents-batch"
)

// Parse reads the event in a message on the subject of typ, in binary or structured
// mode, and checks its data against the schema. The data is not copied: it is valid
// for as long as data is.
//
// The error is a permanent *fault.Error with the reason invalid and one of the codes
// of this package; its text holds nothing personal. The event then still has what
// could be read beyond doubt, so that the failure can name its cause: for instance
// its id and source if only its type is wrong.
func Parse(typ string, h nats.Header, data []byte) (Event, error) {
	attrs, contentType := readHeaders(h)
	media := mediaType(contentType.text)
	switch {
	case contentType.problem != "":
		return Event{}, invalid(RepeatedHeader, "the header content-type is there more than once")
	case media == structuredType || media == structuredAny:
		body, f := readStructured(data)
		if f != nil {
			return Event{}, f
		}
		return body.finish(typ, attrs.repeated)
	case strings.HasPrefix(media, structuredMany):
		return Event{}, invalid(UnsupportedContentType, "a batch of events cannot be read; each message must hold one event")
	case strings.HasPrefix(media, structuredAny+"+"):
		return Event{}, invalid(UnsupportedContentType, "an event in the format %s cannot be read; use %s", show(media), structuredType)
	case media == "" && !attrs.core[aSpecVersion].there:
		if body, f := readStructured(data); f == nil && body.core[aSpecVersion].there {
			return body.finish(typ, attrs.repeated)
		}
		if attrs.none() {
			return Event{}, invalid(NotACloudEvent, "there is neither a header ce-specversion nor a JSON object with specversion")
		}
	case attrs.none():
		return Event{}, invalid(NotACloudEvent, "there is no header ce-specversion, and the content type %s is not %s", show(media), structuredType)
	}

	e := attrs.event(data)
	if attrs.repeated != "" {
		return e, repeatedHeader(attrs.repeated)
	}
	if f := attrs.fault(typ); f != nil {
		return e, f
	}
	// The binding has ce-datacontenttype, most senders have content-type; where there
	// are both, both must say JSON.
	if !isJSON(contentType.text) {
		return e, notJSONData(contentType.text)
	}
	return e, checkData(typ, data)
}

// finish judges an event in structured mode. The envelope is what counts; but an
// attribute header that is there twice makes the message invalid in either mode.
func (e *envelope) finish(typ, header string) (Event, error) {
	out := e.event(e.data)
	if header != "" {
		return out, repeatedHeader(header)
	}
	if e.repeated != "" {
		return out, invalid(RepeatedAttribute, "the attribute %s is there more than once", show(e.repeated))
	}
	if f := e.fault(typ); f != nil {
		return out, f
	}
	if e.dataProblem != "" {
		return out, invalid(BadAttribute, "%s", e.dataProblem)
	}
	return out, checkData(typ, e.data)
}

// event is what could be read, with data.
func (a *attributes) event(data []byte) Event {
	return Event{Context: a.context(), DataEncoded: data}
}

// none reports whether there is no attribute at all.
func (a *attributes) none() bool {
	for i := range a.core {
		if a.core[i].there {
			return false
		}
	}
	return len(a.extensions) == 0
}

// fault is the first thing wrong with the attributes of an event of typ: the order
// goes from what makes the rest doubtful to what concerns itself only.
func (a *attributes) fault(typ string) *fault.Error {
	for i := aSpecVersion; i <= aType; i++ {
		if f := a.required(i); f != nil {
			return f
		}
	}
	if got := a.core[aType].text; got != typ {
		return invalid(TypeMismatch, "the event is of type %s, but its subject is that of %s", show(got), show(typ))
	}
	for i := aTime; i < coreCount; i++ {
		if p := a.core[i].problem; p != "" {
			return invalid(BadAttribute, "the attribute %s %s", coreNames[i], p)
		}
	}
	if t := a.core[aTime].text; t != "" {
		if _, ok := parseTime(t); !ok {
			return invalid(BadTime, "the attribute time is not a time as RFC 3339 writes it")
		}
	}
	if a.badName != "" {
		return invalid(BadAttribute, "the attribute %s %s", show(a.badName), a.badProblem)
	}
	if c := a.core[aContentType].text; !isJSON(c) {
		return notJSONData(c)
	}
	return nil
}

// required is what is wrong with one of the attributes every event must have.
func (a *attributes) required(i int) *fault.Error {
	attr := &a.core[i]
	switch {
	case attr.problem != "":
		return invalid(BadAttribute, "the attribute %s %s", coreNames[i], attr.problem)
	case attr.text == "":
		return invalid(MissingAttribute, "the attribute %s is missing or empty", coreNames[i])
	case i == aSpecVersion && attr.text != specVersion:
		return invalid(UnsupportedSpecVersion, "the event is of CloudEvents %s, only %s can be read", show(attr.text), specVersion)
	}
	return nil
}

// checkData holds an event's data to the schema of its type.
func checkData(typ string, data []byte) error {
	err := schemas.Validate(typ, data)
	if err == nil {
		return nil
	}
	code := SchemaViolation
	if v, ok := errors.AsType[*schemas.Violation](err); ok && v.Rule == schemas.RuleJSON {
		code = NotJSON
	}
	return invalid(code, "%s", err)
}

func repeatedHeader(name string) *fault.Error {
	return invalid(RepeatedHeader, "the header %s%s is there more than once", prefix, show(name))
}

func notJSONData(contentType string) *fault.Error {
	return invalid(UnsupportedContentType, "the data is %s; only JSON can be read", show(mediaType(contentType)))
}

func invalid(code, format string, args ...any) *fault.Error {
	return fault.Errorf(fault.Invalid, code, format, args...)
}

// show is a short text of foreign origin, fit for an error: a type, a version, a
// name. None of those is written in other letters than ASCII, so what is may be a
// person's name.
func show(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) {
		s = mask.Hidden
	}
	return fmt.Sprintf("%q", mask.Cut(mask.Text(s), 64))
}
