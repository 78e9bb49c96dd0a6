package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/mask"
	"essworker/schemas"
)

// maskedData is a letter's data as it may be shown. Where the schema has passed, it
// knows what is personal. Of anything else only the outline is shown: which fields
// there are, not what stands in them.
func maskedData(l dlq.Letter) string {
	if e, err := event.Parse(l.Type, l.Header, l.Data); err == nil {
		return maskedJSON(e.Data(), schemas.Personal(l.Type, e.Data()))
	}
	dec := json.NewDecoder(bytes.NewReader(l.Data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		return fmt.Sprintf("%d bytes that are not JSON, SHA-256 %x", len(l.Data), sha256.Sum256(l.Data))
	}
	text, err := json.Marshal(outline(v))
	if err != nil {
		return fmt.Sprintf("%d bytes", len(l.Data))
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
			out[mask.Text(mask.Cut(name, 64))] = outline(value)
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
