package event

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/nats-io/nats.go"

	"essworker/internal/patch"
)

// Amend gives the message of an event with other data and an id of its own, in the mode
// it came in. It names the event it was as its cause (causationid, causationsource), and
// stays in that one's story: where there was no correlationid, the old id is it. All else
// stays as it was: the other headers and, in structured mode, the other members of the
// envelope, to the byte. Header and body are left as they are.
//
// The error says that the message is no event with an id and a source.
func Amend(h nats.Header, body []byte, id string, data []byte) (nats.Header, []byte, error) {
	e, _ := Parse("", h, body) // that its type is not the empty one says nothing
	if e.Context == nil || e.ID() == "" || e.Source() == "" {
		return nil, nil, errors.New("amend event: it has no id and source that could be read")
	}
	changed := []patch.Member{
		{Name: "id", Value: patch.Quote(id)},
		{Name: causationID, Value: patch.Quote(e.ID())},
		{Name: causationSource, Value: patch.Quote(e.Source())},
		{Name: correlationID, Value: patch.Quote(Correlation(e))},
	}
	if !structured(h, body) {
		header := maps.Clone(h)
		texts := []string{id, e.ID(), e.Source(), Correlation(e)}
		for i, m := range changed {
			setAttribute(header, m.Name, escape(texts[i]))
		}
		return header, data, nil
	}
	envelope, err := patch.Read(body)
	if err != nil {
		return nil, nil, fmt.Errorf("amend event: %w", err)
	}
	for _, m := range changed {
		envelope = setMember(envelope, m.Name, m.Value)
	}
	if name := spelled(envelope, "data_base64"); name != "" {
		envelope = envelope.Delete(name)
	}
	envelope = setMember(envelope, "data", data)
	return maps.Clone(h), envelope.Text(), nil
}

// structured reports whether Parse reads the event in body.
func structured(h nats.Header, body []byte) bool {
	attrs, contentType := readHeaders(h)
	switch mediaType(contentType.text) {
	case structuredType, structuredAny:
		return true
	case "":
		envelope, f := readStructured(body)
		return !attrs.core[aSpecVersion].there && f == nil && envelope.core[aSpecVersion].there
	}
	return false
}

// setAttribute sets a header in the letter case it has.
func setAttribute(h nats.Header, attribute, value string) {
	for name := range h {
		if strings.EqualFold(name, prefix+attribute) {
			h[name] = []string{value}
			return
		}
	}
	h[prefix+attribute] = []string{value}
}

// setMember sets a member of an envelope in the letter case it has.
func setMember(o patch.Object, name string, value []byte) patch.Object {
	if there := spelled(o, name); there != "" {
		name = there
	}
	return o.Set(name, value)
}

// spelled is a member's name as the envelope has it, empty if it has none.
func spelled(o patch.Object, name string) string {
	for _, m := range o {
		if strings.EqualFold(m.Name, name) {
			return m.Name
		}
	}
	return ""
}
