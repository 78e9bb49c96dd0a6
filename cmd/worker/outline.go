package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/nats-io/nats.go"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/mask"
	"essworker/schemas"
)

// masked is a letter's headers and data as they may be shown. Where the schema has
// passed, it knows what is personal. Of anything else only the outline is shown: which
// headers and fields there are, not what stands in them.
func masked(l dlq.Letter) (header nats.Header, data string) {
	if e, err := event.Parse(l.Type, l.Header, l.Data); err == nil {
		personal := schemas.Personal(l.Type, e.Data())
		return maskedHeader(l.Header, nil, personal), maskedJSON(e.Data(), personal)
	}
	return maskedHeader(l.Header, tellWhy, schemas.Personal(l.Type, l.Data)), outlined(l.Data)
}

// tellWhy picks the headers that may be why an event could not be read, and in which
// nobody has reason to write about a person.
func tellWhy(name, value string) bool {
	switch strings.ToLower(name) {
	case "content-type", "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-datacontenttype", "ce-dataschema", "ce-traceparent":
		return !strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII })
	}
	return false
}

// maskedHeader is masked for headers. Unless all may be shown, shows says which.
func maskedHeader(h nats.Header, shows func(name, value string) bool, personal []string) nats.Header {
	out := make(nats.Header, len(h))
	for name, values := range h {
		shown := mask.Name(name)
		for _, v := range values {
			if v = dlq.Decode(v); shows != nil && !shows(name, v) {
				v = mask.Hidden
			}
			out[shown] = append(out[shown], mask.Text(v, personal...))
		}
	}
	return out
}

// outlined is masked for data that its schema does not know.
func outlined(data []byte) string {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		return fmt.Sprintf("%d bytes that are not JSON, SHA-256 %x", len(data), sha256.Sum256(data))
	}
	text, err := json.Marshal(outline(v))
	if err != nil {
		return fmt.Sprintf("%d bytes", len(data))
	}
	return string(text)
}

// maskedJSON is a JSON text as it may be shown. Each string is masked as what it says:
// written with escapes, a name is not what it is looked for as.
func maskedJSON(data []byte, personal []string) string {
	var out strings.Builder
	for rest := string(data); rest != ""; {
		quote := strings.IndexByte(rest, '"')
		if quote < 0 {
			out.WriteString(rest)
			break
		}
		out.WriteString(rest[:quote])
		rest = rest[quote:]
		end := 1
		for end < len(rest) && rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(rest))
		var said string
		if json.Unmarshal([]byte(rest[:end]), &said) != nil {
			said = mask.Hidden
		}
		out.WriteString(quoted(mask.Text(said, personal...)))
		rest = rest[end:]
	}
	return mask.Text(out.String(), personal...) // numbers
}

// quoted is a JSON string that escapes no more than it must.
func quoted(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

// outline is a JSON value with every text and number hidden.
func outline(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			out[mask.Name(name)] = outline(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = outline(value)
		}
		return out
	case string, json.Number:
		return mask.Hidden
	default:
		return v
	}
}
