package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"essworker/internal/mask"
)

// The bounds of data. They stand far above what any valid data needs, and keep a
// hostile text from costing more memory than a few times its own size.
const (
	maxSize   = 8 << 20 // bytes; servers carry at most 8 MiB without a warning
	maxDepth  = 32      // objects and arrays inside each other
	maxValues = 1000    // entries and fields altogether; the largest valid data has about 120
)

// RuleJSON is the Rule of a [Violation] whose data is not a JSON text at all.
const RuleJSON = "must be one JSON value"

// decode reads data as one JSON value made of map[string]any, []any, string,
// float64, bool and nil. Numbers are float64, not json.Number: the validator
// panics on a json.Number whose exponent is beyond its arithmetic.
func decode(data []byte) (any, *Violation) {
	fields, refused := scan(data)
	if refused != nil {
		return nil, refused
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return nil, notJSON(err)
	}
	// In a JSON text each colon outside strings is one field; a field named twice
	// was dropped on the way into the map.
	if fields != countFields(value) {
		return nil, duplicate(data)
	}
	return value, nil
}

// decodeNumbers is decode for data of any kind: numbers keep their digits, and a
// field named twice is no matter.
func decodeNumbers(data []byte) (any, *Violation) {
	if _, refused := scan(data); refused != nil {
		return nil, refused
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, notJSON(err)
	}
	return value, nil
}

// scan holds data to its bounds before anything is allocated for it, and counts
// its fields. What it counts is right only if data is JSON, which it leaves to
// the decoder.
func scan(data []byte) (fields int, _ *Violation) {
	switch {
	case len(data) == 0:
		return 0, &Violation{Rule: RuleJSON, Message: "there is no data"}
	case len(data) > maxSize:
		return 0, bound("size", "the data is larger than %d MiB", maxSize>>20)
	case !utf8.Valid(data):
		return 0, &Violation{Rule: RuleJSON, Message: "the data is not valid UTF-8"}
	}
	depth, values := 0, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = endOfString(data, i)
		case ':':
			fields++
		case ',':
			values++
		case '{', '[':
			depth++
			values++
		case '}', ']':
			depth--
		}
		if depth > maxDepth {
			return 0, bound("depth", "the data is nested more than %d deep", maxDepth)
		}
	}
	if values > maxValues {
		return 0, bound("number of values", "the data holds more than %d values", maxValues)
	}
	return fields, nil
}

// endOfString gives the index of the quote that ends the string that starts at
// start, or the end of data.
func endOfString(data []byte, start int) int {
	for i := start + 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(data)
}

func countFields(value any) int {
	n := 0
	switch value := value.(type) {
	case map[string]any:
		n = len(value)
		for _, sub := range value {
			n += countFields(sub)
		}
	case []any:
		for _, sub := range value {
			n += countFields(sub)
		}
	}
	return n
}

func bound(what, format string, limit int) *Violation {
	return &Violation{Rule: "must keep within the limit of its " + what, Message: fmt.Sprintf(format, limit)}
}

// notJSON says where data stops being JSON. The decoder's own text quotes the
// character it met, so it is not used.
func notJSON(err error) *Violation {
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &Violation{Rule: "must keep within the range of numbers", Message: "a number in the data is too large"}
	}
	v := &Violation{Rule: RuleJSON, Message: "the data is not JSON"}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		v.Message += ": it goes wrong at byte " + strconv.FormatInt(syntax.Offset, 10)
	}
	return v
}

// duplicate names the object that has a field twice. It reads data, known to be
// JSON, once more: token by token, with the path to each.
func duplicate(data []byte) *Violation {
	path, name, _ := findDuplicate(json.NewDecoder(bytes.NewReader(data)), "")
	return violation(path, "must not name a field twice", fmt.Sprintf("the field %q stands there twice", mask.Name(name)))
}

// findDuplicate reads the next value, which stands at path, up to the first field
// that is there a second time.
func findDuplicate(dec *json.Decoder, path string) (where, name string, found bool) {
	token, err := dec.Token()
	open, _ := token.(json.Delim)
	if err != nil || open == 0 {
		return "", "", false
	}
	seen := map[string]bool{}
	for i := 0; dec.More(); i++ {
		step := strconv.Itoa(i)
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return "", "", false
			}
			step, _ = key.(string)
			if seen[step] {
				return path, step, true
			}
			seen[step] = true
		}
		if where, name, found = findDuplicate(dec, path+"/"+mask.Name(step)); found {
			return where, name, true
		}
	}
	_, _ = dec.Token() // the closing bracket
	return "", "", false
}

// pointer joins the steps to a place in data into a JSON pointer. What might be more
// than a name in it is hidden, so there is never anything to escape.
func pointer(steps []string) string {
	var b strings.Builder
	for _, step := range steps {
		b.WriteByte('/')
		b.WriteString(mask.Name(step))
	}
	return b.String()
}
