// Package schemas is the contract of the data in its living form: JSON Schemas
// (2020-12) of what comes in, what goes out and what a dead letter carries, and
// the AsyncAPI document that ties them to subjects.
//
// Its one rule: the files say what is allowed and this package only applies
// them. It adds nothing to a schema but what JSON Schema cannot say about a text:
// one JSON value, valid UTF-8, no field named twice in an object, a bounded size.
//
// Two keywords of our own stand in the files, and other validators ignore them:
// "x-rule" puts the limits beside it into words, for people who read why their
// data was refused; "x-personal": true marks a value that must be masked wherever
// it would be shown.
package schemas

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"essworker/internal/mask"
)

//go:embed *.json asyncapi.yaml
var files embed.FS

const (
	// base is where every $id starts. The domain is reserved never to exist: the
	// ids name the schemas, they are not fetched.
	base = "https://essworker.invalid/schemas/"

	// These files describe no type of the worker's events.
	letterHeaders = "letter.headers" // the headers of a dead letter
	auditRecord   = "audit"          // the data of a record of what an operator did
	failure       = "failure"        // shared by the results that report a failure
)

// FS gives the schema files and asyncapi.yaml.
func FS() fs.FS { return files }

// Types lists every event and result type that has a schema, sorted.
func Types() []string { return slices.Clone(loaded().types) }

// ID gives the $id of the schema of typ, the dataschema of its events; empty if
// there is none.
func ID(typ string) string {
	if _, ok := loaded().schemas[typ]; !ok {
		return ""
	}
	return base + typ + ".json"
}

// Digest names the content of the schema of typ: another text has another digest. It is
// empty if there is no such schema.
func Digest(typ string) string { return loaded().schemas[typ].digest }

// Validate says why data is not valid data of typ: nil if it is, else a
// *Violation. Beside the types of [Types] it knows "letter.headers"
// and "audit". It is safe
// for concurrent use and keeps nothing of data.
func Validate(typ string, data []byte) error {
	s, ok := loaded().schemas[typ]
	if !ok {
		return &Violation{Rule: "must be of a type that has a schema", Message: "there is no schema for data of this type"}
	}
	if s.quick != nil && len(data) <= maxSize && s.quick.accepts(data) {
		return nil
	}
	return s.validate(data)
}

func (s schema) validate(data []byte) error {
	value, refused := decode(data)
	if refused != nil {
		return refused
	}
	err := s.compiled.Validate(value)
	if err == nil {
		return nil
	}
	if broken, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return loaded().explain(broken)
	}
	return &Violation{Rule: "must be data a schema can check", Message: mask.Text(err.Error())}
}

// Personal gives the values in data that schema typ marks as personal, for
// masking; none if data is not JSON. It goes by the marked fields' names, in any
// letter case and at any depth, so that it also finds what stands in the wrong
// place. A value that is itself an object or an array gives all that is in it.
func Personal(typ string, data []byte) []string {
	s, ok := loaded().schemas[typ]
	if !ok || len(s.personal) == 0 {
		return nil
	}
	value, refused := decodeNumbers(data)
	if refused != nil {
		return nil
	}
	return s.collect(nil, value, false)
}

// catalog is all schemas, compiled.
type catalog struct {
	types   []string          // sorted; without the files that describe none
	schemas map[string]schema // by type, and letterHeaders and auditRecord
	sources map[string]any    // the files' contents, by $id
}

type schema struct {
	compiled *jsonschema.Schema
	quick    *quick   // nil if there is none
	personal []string // names of fields marked x-personal
	digest   string
}

// loaded compiles the embedded files when they are first needed. They are part of
// the program, so one that does not compile is a broken build, and a panic.
var loaded = sync.OnceValue(func() *catalog {
	c, err := load(files)
	if err != nil {
		panic(err)
	}
	return c
})

func load(files fs.FS) (*catalog, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, fmt.Errorf("list schemas: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.RegisterFormat(&jsonschema.Format{Name: "date-time", Validate: dateTime})
	c := &catalog{schemas: map[string]schema{}, sources: map[string]any{}}
	digests := map[string]string{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("decode schema %q: %w", name, err)
		}
		if err := compiler.AddResource(base+name, doc); err != nil {
			return nil, fmt.Errorf("add schema %q: %w", name, err)
		}
		c.sources[base+name] = doc
		digests[name] = fmt.Sprintf("%x", sha256.Sum256(text))[:12]
	}
	for _, name := range names {
		compiled, err := compiler.Compile(base + name)
		if err != nil {
			return nil, fmt.Errorf("compile schema %q: %w", name, err)
		}
		typ := strings.TrimSuffix(name, ".json")
		if typ == failure {
			continue
		}
		c.schemas[typ] = schema{compiled, newQuick(c.sources[base+name]), personal(nil, c.sources[base+name]), digests[name]}
		if typ != letterHeaders && typ != auditRecord {
			c.types = append(c.types, typ)
		}
	}
	slices.Sort(c.types)
	return c, nil
}

// dateTime is the format "date-time" exactly as encoding/json reads a time.Time,
// so that no data passes the schema and then fails to decode.
func dateTime(v any) error {
	if s, ok := v.(string); ok {
		var t time.Time
		return t.UnmarshalText([]byte(s))
	}
	return nil
}

// personal adds the names of the fields that the schema doc marks as personal.
func personal(names []string, doc any) []string {
	switch doc := doc.(type) {
	case map[string]any:
		for name, sub := range doc {
			if field, ok := sub.(map[string]any); ok && field["x-personal"] == true {
				names = append(names, name)
			}
			names = personal(names, sub)
		}
	case []any:
		for _, sub := range doc {
			names = personal(names, sub)
		}
	}
	return names
}

// collect adds the strings and numbers below every field whose name is marked.
func (s schema) collect(found []string, value any, marked bool) []string {
	switch value := value.(type) {
	case map[string]any:
		for name, sub := range value {
			found = s.collect(found, sub, marked || slices.ContainsFunc(s.personal, func(p string) bool {
				return strings.EqualFold(p, name)
			}))
		}
	case []any:
		for _, sub := range value {
			found = s.collect(found, sub, marked)
		}
	case string:
		if marked && value != "" {
			found = append(found, value)
		}
	case fmt.Stringer: // json.Number
		if marked {
			found = append(found, value.String())
		}
	}
	return found
}
