package handlers

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"testing"

	"essworker/schemas"
)

// data is what each event type's data is decoded into.
var data = map[string]func() any{
	"employee.onboarded":      func() any { return new(employeeOnboarded) },
	"seal.grant.requested":    func() any { return new(sealGrantRequested) },
	"autosign.link.requested": func() any { return new(linkRequested) },
}

// A field that the schema allows and the struct lacks is dropped without a word.
func TestData_takesAllOfTheExamples(t *testing.T) {
	for _, typ := range Types() {
		if data[typ] == nil {
			t.Errorf("data_internal_test.go: %q is missing in data", typ)
			continue
		}
		text, err := fs.ReadFile(schemas.FS(), typ+".json")
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Properties map[string]json.RawMessage   `json:"properties"`
			Examples   []map[string]json.RawMessage `json:"examples"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s.json: %v", typ, err)
		}
		for _, example := range doc.Examples {
			text, err := json.Marshal(example)
			if err != nil {
				t.Fatal(err)
			}
			dec := json.NewDecoder(bytes.NewReader(text))
			dec.DisallowUnknownFields()
			if err := dec.Decode(data[typ]()); err != nil {
				t.Errorf("%s: an example into %T: %v", typ, data[typ](), err)
			}
			for field := range example {
				delete(doc.Properties, field)
			}
		}
		for field := range doc.Properties {
			t.Errorf("schemas/%s.json: no example shows %q", typ, field)
		}
	}
}
