package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/nats-io/nats.go"
)

// Write gives the message of e in binary mode: the headers, each value
// percent-encoded as the CloudEvents binding for NATS says, and the data as it is.
// The content type is in content-type and, as that binding has it, in
// ce-datacontenttype.
//
// The error says what makes e no CloudEvent that can be written.
func Write(e Event) (nats.Header, []byte, error) {
	c, err := checked(e)
	if err != nil {
		return nil, nil, err
	}
	const most = coreCount + 1 // the core attributes and content-type
	h := make(nats.Header, most+len(c.Extensions))
	w := headerWriter{h, make([]string, 0, most+len(c.Extensions))}
	contentType := cmp.Or(e.DataContentType(), jsonType)
	w.put(prefix+"specversion", specVersion)
	w.put(prefix+"id", c.ID)
	w.put(prefix+"source", c.GetSource())
	w.put(prefix+"type", c.Type)
	w.put(prefix+"subject", c.GetSubject())
	w.put(prefix+"dataschema", c.GetDataSchema())
	w.put(prefix+"datacontenttype", contentType)
	if c.Time != nil {
		w.put(prefix+"time", c.Time.String())
	}
	for name, value := range c.Extensions {
		text, _ := types.Format(value) // checked has seen that it can
		w.put(prefix+name, text)
	}
	w.add(contentTypeHeader, contentType)
	return h, e.DataEncoded, nil
}

// Structured gives e in the JSON event format, for a message with the content type
// application/cloudevents+json or with none. The data is written as the JSON it is.
func Structured(e Event) ([]byte, error) {
	if _, err := checked(e); err != nil {
		return nil, err
	}
	if len(e.DataEncoded) > 0 && isJSON(e.DataContentType()) && !e.DataBase64 && !json.Valid(e.DataEncoded) {
		return nil, errors.New("write event: the data is not JSON")
	}
	var b bytes.Buffer
	if err := ce.WriteJson(&e, &b); err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	return b.Bytes(), nil
}

// checked gives the context of an event that has what every event must have, and
// nothing that an attribute may not hold.
func checked(e Event) (*ce.EventContextV1, error) {
	c, ok := e.Context.(*ce.EventContextV1)
	if !ok {
		return nil, errors.New("write event: it is not of CloudEvents " + specVersion)
	}
	for _, attr := range [...]struct {
		name, text string
		required   bool
	}{
		{"id", c.ID, true},
		{"source", c.GetSource(), true},
		{"type", c.Type, true},
		{"subject", c.GetSubject(), false},
		{"dataschema", c.GetDataSchema(), false},
		{"datacontenttype", c.GetDataContentType(), false},
	} {
		if attr.required && attr.text == "" {
			return nil, fmt.Errorf("write event: it has no %s", attr.name)
		}
		if p := textProblem(attr.text); p != "" {
			return nil, fmt.Errorf("write event: the attribute %s %s", attr.name, p)
		}
	}
	if !plain(c.GetDataContentType()) {
		return nil, errors.New("write event: the attribute datacontenttype is not ASCII")
	}
	for name, value := range c.Extensions {
		text, err := types.Format(value)
		if p := textProblem(text); err != nil || p != "" || !isName(name) || coreIndex(name) >= 0 {
			return nil, fmt.Errorf("write event: %s cannot be an extension with its value", show(name))
		}
	}
	return c, nil
}

// headerWriter fills a header. Its values share one array: a header has a dozen, and
// one slice each is most of the cost of writing it.
type headerWriter struct {
	h      nats.Header
	values []string
}

// put adds an attribute, percent-encoded; none if it is empty.
func (w *headerWriter) put(name, value string) {
	if value != "" {
		w.add(name, escape(value))
	}
}

func (w *headerWriter) add(name, value string) {
	w.values = append(w.values, value)
	last := len(w.values)
	w.h[name] = w.values[last-1 : last : last]
}

// escape percent-encodes what the binding says must be: the space, the double
// quote, the percent sign and all that is not printable ASCII.
func escape(s string) string {
	n := 0
	for i := range len(s) {
		if mustEscape(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; mustEscape(c) {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func mustEscape(c byte) bool { return c <= ' ' || c == '"' || c == '%' || c > '~' }
