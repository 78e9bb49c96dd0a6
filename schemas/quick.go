package schemas

import (
	"bytes"
	"encoding/json"
	"math/bits"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// quick is a schema in a form that needs no decoding: it reads data once and says yes
// to what is plainly valid, at a twentieth of the validator's cost. It never says
// yes to what the validator refuses, which FuzzQuick holds it to. All else is for the validator to judge.
type quick struct {
	kind byte // '{', '"' or '['

	fields   []quickField // of an object, which has no others
	required uint64       // bits of fields

	least, most int // characters of a string, entries of an array
	pattern     *regexp.Regexp
	charset     *[256]bool // in place of a pattern that is one repeated class of ASCII characters

	items  *quick
	unique bool
}

type quickField struct {
	name string
	*quick
}

const (
	quickFields  = 64 // as many as required has bits
	quickEntries = 32 // of an array: entries are compared each with each
)

// newQuick gives the quick form of a schema; nil if it says anything that quick does
// not know.
func newQuick(doc any) *quick {
	schema, ok := doc.(map[string]any)
	if !ok {
		return nil
	}
	q := &quick{most: maxSize}
	for keyword, value := range schema {
		if !q.take(keyword, value, schema) {
			return nil
		}
	}
	switch {
	case q.kind == 0, q.kind == '{' && schema["additionalProperties"] != false, q.kind == '[' && q.items == nil:
		return nil
	}
	return q
}

// take adds a keyword; false if it cannot.
func (q *quick) take(keyword string, value any, schema map[string]any) (ok bool) {
	switch keyword {
	case "$schema", "$id", "title", "description", "examples", "x-rule", "x-personal":
		return true
	case "type":
		kinds := map[any]byte{"object": '{', "string": '"', "array": '['}
		q.kind, ok = kinds[value]
		return ok
	}
	switch schema["type"] { // a keyword for another type than the schema's own says nothing
	case "object":
		return q.takeObject(keyword, value, schema)
	case "string":
		return q.takeString(keyword, value)
	case "array":
		return q.takeArray(keyword, value)
	}
	return false
}

func (q *quick) takeObject(keyword string, value any, schema map[string]any) bool {
	switch keyword {
	case "properties":
		return q.takeFields(value, schema["required"])
	case "required":
		return schema["properties"] != nil
	case "additionalProperties":
		return value == false
	}
	return false
}

func (q *quick) takeString(keyword string, value any) (ok bool) {
	switch keyword {
	case "minLength":
		q.least, ok = number(value)
	case "maxLength":
		q.most, ok = number(value)
	case "pattern":
		ok = q.takePattern(value)
	}
	return ok
}

func (q *quick) takeArray(keyword string, value any) (ok bool) {
	switch keyword {
	case "minItems":
		q.least, ok = number(value)
	case "maxItems":
		q.most, ok = number(value)
	case "items":
		q.items = newQuick(value)
		ok = q.items != nil && q.items.kind == '"'
	case "uniqueItems":
		q.unique, ok = value.(bool)
	}
	return ok
}

func (q *quick) takeFields(properties, required any) bool {
	fields, ok := properties.(map[string]any)
	if !ok || len(fields) > quickFields {
		return false
	}
	must, _ := required.([]any)
	for name, doc := range fields {
		field := newQuick(doc)
		if field == nil {
			return false
		}
		if slices.Contains(must, any(name)) {
			q.required |= 1 << len(q.fields)
		}
		q.fields = append(q.fields, quickField{name, field})
	}
	return len(must) == bits.OnesCount64(q.required) // else one is required that is not allowed
}

func (q *quick) takePattern(value any) bool {
	text, ok := value.(string)
	if !ok {
		return false
	}
	var err error
	if q.charset = charset(text); q.charset == nil {
		q.pattern, err = regexp.Compile(text)
	}
	return err == nil
}

// charset gives the characters of a pattern such as ^[0-9a-z]*$.
func charset(pattern string) *[256]bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || len(re.Sub) != 3 {
		return nil
	}
	class := re.Sub[1]
	if re.Sub[0].Op != syntax.OpBeginText || class.Op != syntax.OpStar || class.Sub[0].Op != syntax.OpCharClass || re.Sub[2].Op != syntax.OpEndText {
		return nil
	}
	var set [256]bool
	for pair := range slices.Chunk(class.Sub[0].Rune, 2) {
		if pair[1] >= utf8.RuneSelf {
			return nil
		}
		for c := pair[0]; c <= pair[1]; c++ {
			set[c] = true
		}
	}
	return &set
}

func number(value any) (int, bool) {
	text, ok := value.(json.Number)
	n, err := text.Int64()
	return int(n), ok && err == nil && n >= 0
}

// accepts reports whether data is one value that is plainly valid.
func (q *quick) accepts(data []byte) bool {
	rest, ok := q.read(space(data))
	return ok && len(space(rest)) == 0
}

// read reads a value from the beginning of data and gives what is behind it.
func (q *quick) read(data []byte) (rest []byte, ok bool) {
	switch q.kind {
	case '{':
		return q.readObject(data)
	case '[':
		return q.readArray(data)
	default:
		text, rest, ok := readText(data)
		return rest, ok && q.holds(text)
	}
}

func (q *quick) readObject(data []byte) (rest []byte, ok bool) {
	if data, ok = skip(data, '{'); !ok {
		return nil, false
	}
	var seen uint64
	for {
		name, rest, ok := readText(data)
		if !ok {
			return nil, false
		}
		if data, ok = skip(space(rest), ':'); !ok {
			return nil, false
		}
		i := q.field(name)
		if i < 0 || seen&(1<<i) != 0 {
			return nil, false // unknown, or a second time
		}
		seen |= 1 << i
		if data, ok = q.fields[i].read(data); !ok {
			return nil, false
		}
		data = space(data)
		if next, more := skip(data, ','); more {
			data = next
			continue
		}
		if seen&q.required != q.required || len(data) == 0 || data[0] != '}' {
			return nil, false
		}
		return data[1:], true
	}
}

func (q *quick) field(name []byte) int {
	for i := range q.fields {
		if string(name) == q.fields[i].name {
			return i
		}
	}
	return -1
}

func (q *quick) readArray(data []byte) (rest []byte, ok bool) {
	if data, ok = skip(data, '['); !ok {
		return nil, false
	}
	var entries [quickEntries][]byte
	for n := range quickEntries {
		text, rest, ok := readText(data)
		if !ok || !q.items.holds(text) {
			return nil, false
		}
		if q.unique && slices.ContainsFunc(entries[:n], func(e []byte) bool { return bytes.Equal(e, text) }) {
			return nil, false
		}
		entries[n] = text
		data = space(rest)
		if next, more := skip(data, ','); more {
			data = next
			continue
		}
		if n+1 < q.least || n+1 > q.most || len(data) == 0 || data[0] != ']' {
			return nil, false
		}
		return data[1:], true
	}
	return nil, false
}

// holds reports whether a string keeps to its limits.
func (q *quick) holds(text []byte) bool {
	length := utf8.RuneCount(text)
	if length < q.least || length > q.most {
		return false
	}
	if q.charset != nil {
		for _, c := range text {
			if !q.charset[c] {
				return false
			}
		}
	}
	return q.pattern == nil || q.pattern.Match(text)
}

// readText reads a string without escapes.
func readText(data []byte) (text, rest []byte, ok bool) {
	if len(data) == 0 || data[0] != '"' {
		return nil, nil, false
	}
	ascii := true
	for i := 1; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			text = data[1:i]
			return text, data[i+1:], ascii || utf8.Valid(text)
		case c < ' ' || c == '\\':
			return nil, nil, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, nil, false
}

// skip reads one character and the white space behind it.
func skip(data []byte, c byte) (rest []byte, ok bool) {
	if len(data) == 0 || data[0] != c {
		return data, false
	}
	return space(data[1:]), true
}

func space(data []byte) []byte {
	for len(data) > 0 && (data[0] == ' ' || data[0] == '\n' || data[0] == '\r' || data[0] == '\t') {
		data = data[1:]
	}
	return data
}
