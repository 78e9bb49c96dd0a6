package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"essworker/internal/fault"
)

// envelope is an event in structured mode, read but not judged.
type envelope struct {
	attributes
	data        []byte // the event's data; nil if there is none
	dataProblem string // why the data cannot be used
}

// readStructured reads the JSON event format. Its fault says that body is no JSON
// object; whether the object is an event is for finish to say.
func readStructured(body []byte) (envelope, *fault.Error) {
	var e envelope
	switch {
	case !utf8.Valid(body):
		return e, invalid(NotJSON, "the message is not valid UTF-8")
	case !json.Valid(body):
		return e, invalid(NotJSON, "the message is not JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return e, invalid(NotACloudEvent, "the message is not a JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return e, invalid(NotJSON, "the message is not JSON")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return e, invalid(NotJSON, "the message is not JSON")
		}
		name, _ := key.(string)
		e.member(strings.ToLower(name), value)
	}
	return e, nil
}

// member takes one member of the envelope. A null is the same as no member, but for
// data: that may be null.
func (e *envelope) member(name string, value json.RawMessage) {
	switch {
	case name == "data" || name == "data_base64":
		e.payload(name, value)
	case value[0] == '"':
		text, problem := textOf(value)
		e.put(name, text, problem)
	case value[0] == 't' || value[0] == 'f':
		e.put(name, value[0] == 't', "")
	case value[0] == 'n':
	default:
		n, err := strconv.ParseInt(string(value), 10, 32)
		if err != nil {
			e.put(name, nil, "must be a string, a boolean or an integer of 32 bits")
			return
		}
		e.put(name, int32(n), "")
	}
}

// textOf reads a JSON string as the value of an attribute.
func textOf(value json.RawMessage) (text, problem string) {
	if err := json.Unmarshal(value, &text); err != nil {
		return "", "is not a string"
	}
	if problem = textProblem(text); problem != "" {
		return "", problem
	}
	return text, ""
}

// payload takes the data, of which there may be one.
func (e *envelope) payload(name string, value json.RawMessage) {
	if name == "data_base64" && value[0] == 'n' {
		return
	}
	if e.data != nil || e.dataProblem != "" {
		e.data, e.dataProblem = nil, "the event has data more than once"
		return
	}
	if name == "data" {
		e.data = value
		return
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		e.dataProblem = "data_base64 must be a string"
		return
	}
	// Padding is often left out.
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		e.dataProblem = "data_base64 is not base64"
		return
	}
	e.data = data
}
