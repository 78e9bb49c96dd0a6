package event

import (
	"maps"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// maxIdentity bounds, in bytes, what of an event travels on in the headers of its
// result and its letter: id, source, type and correlationid.
const maxIdentity = 1024

const tooLong = "is longer than 1024 bytes"

// The attributes CloudEvents defines, by their place in attributes.core; the
// required ones come first.
const (
	aSpecVersion = iota
	aID
	aSource
	aType
	aTime
	aSubject
	aDataSchema
	aContentType
	coreCount
)

var coreNames = [coreCount]string{"specversion", "id", "source", "type", "time", "subject", "dataschema", "datacontenttype"}

// attributes is what a message says about its event, gathered before it is judged.
// Messages are read in no particular order, so of several faults of one kind the
// first by name is kept: the same message always gives the same error.
type attributes struct {
	core       [coreCount]attribute
	extensions map[string]any // string, bool or int32

	holes      bool   // some extensions are nil: empty, or not to be used
	repeated   string // an attribute that is there more than once
	badName    string // an extension that cannot be used, and
	badProblem string // why
}

// attribute is one core attribute.
type attribute struct {
	text    string
	problem string // why the text cannot be used; then text is empty
	there   bool
}

// put notes an attribute under its name in lower case. An empty one is as good as
// none, but counts when it comes a second time; then neither value does.
func (a *attributes) put(name string, value any, problem string) {
	core := coreIndex(name)
	if text, _ := value.(string); len(text) > maxIdentity && (0 <= core && core <= aType || name == correlationID) {
		value, problem = "", tooLong
	}
	switch {
	case core >= 0 && a.core[core].there:
		a.again(name)
	case core >= 0:
		text, isText := value.(string)
		if !isText && problem == "" {
			problem = "must be a string"
		}
		if core <= aType && strings.TrimSpace(text) == "" {
			text = ""
		}
		a.core[core] = attribute{text, problem, true}
	case isName(name): // any other name is that of no attribute
		a.extend(name, value, problem)
	}
}

// extend notes an extension. One without a value to be used stands there as nil
// until all are read, so that it is known if it comes again.
func (a *attributes) extend(name string, value any, problem string) {
	if _, there := a.extensions[name]; there {
		a.again(name)
		return
	}
	if value == "" {
		value = nil
	}
	if problem != "" {
		value = nil
		if a.badName == "" || name < a.badName {
			a.badName, a.badProblem = name, problem
		}
	}
	a.setExtension(name, value)
}

func (a *attributes) setExtension(name string, value any) {
	if a.extensions == nil {
		a.extensions = make(map[string]any, 4)
	}
	a.extensions[name] = value
	a.holes = a.holes || value == nil
}

func (a *attributes) again(name string) {
	if a.repeated == "" || name < a.repeated {
		a.repeated = name
	}
	if core := coreIndex(name); core >= 0 {
		a.core[core] = attribute{problem: "is there more than once", there: true}
	} else if isName(name) {
		a.setExtension(name, nil)
	}
}

// context is the event as far as it could be read.
func (a *attributes) context() *ce.EventContextV1 {
	if a.holes {
		maps.DeleteFunc(a.extensions, func(_ string, value any) bool { return value == nil })
	}
	c := &ce.EventContextV1{
		ID:         a.core[aID].text,
		Type:       a.core[aType].text,
		Extensions: a.extensions,
	}
	if source := a.core[aSource].text; source != "" {
		c.Source.URL = verbatim(source)
	}
	if subject := a.core[aSubject].text; subject != "" {
		c.Subject = &subject
	}
	if schema := a.core[aDataSchema].text; schema != "" {
		c.DataSchema = &types.URI{URL: verbatim(schema)}
	}
	if contentType := a.core[aContentType].text; contentType != "" {
		c.DataContentType = &contentType
	}
	if t, ok := parseTime(a.core[aTime].text); ok {
		c.Time = &types.Timestamp{Time: t}
	}
	return c
}

// parseTime reads a time as RFC 3339 writes it; that allows t and z as small
// letters too, which Go does not.
func parseTime(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse(time.RFC3339, strings.ToUpper(s))
	}
	return t, err == nil
}

// coreIndex gives the place of a core attribute, or -1. The switch is several times
// faster than a search in coreNames; a test holds the two together.
func coreIndex(name string) int {
	switch name {
	case "specversion":
		return aSpecVersion
	case "id":
		return aID
	case "source":
		return aSource
	case "type":
		return aType
	case "time":
		return aTime
	case "subject":
		return aSubject
	case "dataschema":
		return aDataSchema
	case "datacontenttype":
		return aContentType
	}
	return -1
}

// isName reports whether an extension may have the name, given in lower case.
// "data" is reserved.
func isName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && name != "data"
}

// textProblem says why an attribute cannot have the value s, or gives the empty
// string: the CloudEvents type String leaves out control characters and what
// Unicode says is no character.
func textProblem(s string) string {
	if plain(s) {
		return ""
	}
	if !utf8.ValidString(s) {
		return "is not valid UTF-8"
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return "holds a control character"
		}
		if r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef {
			return "holds what is no character in Unicode"
		}
	}
	return ""
}

// plain reports whether s is printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
