package schemas_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"essworker/internal/fault"
	"essworker/schemas"
)

// asyncAPI is the document with every value as encoding/json would give it.
func asyncAPI(t *testing.T) map[string]any {
	t.Helper()
	text, err := fs.ReadFile(schemas.FS(), "asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var decoded any
	if err := yaml.Unmarshal(text, &decoded); err != nil {
		t.Fatal(err)
	}
	text, err = json.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc.(map[string]any)
}

// at follows the path from a node and through every reference on the way.
func at(t *testing.T, doc map[string]any, node any, path ...string) any {
	t.Helper()
	for i := 0; ; i++ {
		object, _ := node.(map[string]any)
		if ref, ok := object["$ref"].(string); ok && strings.HasPrefix(ref, "#/") {
			node = at(t, doc, doc, strings.Split(ref[2:], "/")...)
			object, _ = node.(map[string]any)
		}
		if i == len(path) {
			return node
		}
		next, ok := object[path[i]]
		if !ok {
			t.Fatalf("asyncapi.yaml: there is no %q at %q", path[i], strings.Join(path[:i], "/"))
		}
		node = next
	}
}

func TestAsyncAPI_everyReferenceLeadsSomewhere(t *testing.T) {
	doc := asyncAPI(t)
	used := map[string]bool{}
	walk(doc, "", func(path string, node map[string]any) {
		ref, ok := node["$ref"].(string)
		switch {
		case !ok:
		case strings.HasPrefix(ref, "#/"):
			at(t, doc, node)
		default:
			name := strings.TrimPrefix(ref, "./")
			if _, err := fs.Stat(schemas.FS(), name); err != nil {
				t.Errorf("%s refers to %q: %v", path, ref, err)
			}
			used[name] = true
		}
	})
	for name := range files(t) {
		if name != "failure" && !used[name+".json"] {
			t.Errorf("nothing in asyncapi.yaml refers to %s.json", name)
		}
	}
}

// One channel and one operation for each type, on the contract's subjects.
func TestAsyncAPI_channels(t *testing.T) {
	doc := asyncAPI(t)
	actions := map[any]string{}
	for _, op := range doc["operations"].(map[string]any) {
		actions[at(t, doc, op, "channel", "address")] = at(t, doc, op, "action").(string)
	}
	got := map[string]string{} // address and action, by message
	for _, channel := range doc["channels"].(map[string]any) {
		address := at(t, doc, channel, "address").(string)
		messages := at(t, doc, channel, "messages").(map[string]any)
		if len(messages) != 1 {
			t.Errorf("%s has %d messages, want 1", address, len(messages))
		}
		for _, message := range messages {
			got[at(t, doc, message, "name").(string)] = actions[address] + " " + address
		}
	}
	want := map[string]string{"letter": "send ess.deadletters.{reason}.{type}.{key}", "audit": "send ess.audit.{action}"}
	for _, typ := range eventTypes {
		want[typ] = "receive ess.events." + typ
	}
	for _, typ := range resultTypes {
		want[typ] = "send ess.results." + typ + ".{key}"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}

	letters := at(t, doc, doc, "channels", "letters", "parameters").(map[string]any)
	var reasons []any
	for _, r := range fault.Reasons() {
		reasons = append(reasons, string(r))
	}
	if diff := cmp.Diff(reasons, at(t, doc, letters, "reason", "enum")); diff != "" {
		t.Errorf("reasons of letters (-faults +got):\n%s", diff)
	}
	var types []string
	for _, typ := range at(t, doc, letters, "type", "enum").([]any) {
		types = append(types, typ.(string))
	}
	if diff := cmp.Diff(eventTypes, slices.Sorted(slices.Values(types))); diff != "" {
		t.Errorf("types of letters (-want +got):\n%s", diff)
	}
}

func TestAsyncAPI_messages(t *testing.T) {
	const location = "https://asyncapi.invalid/doc"
	doc := asyncAPI(t)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(location, any(doc)); err != nil {
		t.Fatal(err)
	}
	messages := at(t, doc, doc, "components", "messages").(map[string]any)
	delete(messages, "letter")
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		message := messages[name].(map[string]any)
		typ := message["name"].(string)
		if got, want := at(t, doc, message, "payload", "schema", "$ref"), "./"+typ+".json"; got != want {
			t.Errorf("%s has the payload %q, want %q", name, got, want)
		}
		headers, err := compiler.Compile(location + message["headers"].(map[string]any)["$ref"].(string))
		if err != nil {
			t.Fatal(err)
		}
		examples, _ := message["examples"].([]any)
		if slices.Contains(eventTypes, typ) && len(examples) == 0 {
			t.Errorf("%s has no examples", name)
		}
		for _, example := range examples {
			if err := headers.Validate(at(t, doc, example, "headers")); err != nil {
				t.Errorf("an example of %s: %v", name, err)
			}
			if got := at(t, doc, example, "headers", "ce-type"); got != typ {
				t.Errorf("an example of %s is of type %q", name, got)
			}
			payload, err := json.Marshal(at(t, doc, example, "payload"))
			if err != nil {
				t.Fatal(err)
			}
			if err := schemas.Validate(typ, payload); err != nil {
				t.Errorf("an example of %s: %v", name, err)
			}
		}
	}
}
