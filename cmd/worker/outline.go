package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"

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
		return mask.Text(string(e.Data()), schemas.Personal(l.Type, e.Data())...)
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
