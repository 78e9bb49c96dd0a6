package schemas_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/fault"
	"essworker/schemas"
)

var (
	eventTypes  = []string{"autosign.link.requested", "employee.onboarded", "seal.grant.requested"}
	resultTypes = []string{
		"autosign.link.created", "autosign.link.failed", "employee.bind.failed",
		"employee.bound", "seal.grant.failed", "seal.granted",
	}
)

func ExampleValidate() {
	fmt.Println(schemas.Validate("employee.onboarded", []byte(`{"userId": "yDRS4UUgygqdcj56UuO4zjExBQcOiB68", "openId": "n9527"}`)))
	fmt.Println(schemas.Validate("employee.onboarded", []byte(`{"userId": "yDRS4UUgygqdcj56UuO4zjExBQcOiB68", "openId": "n 9527"}`)))
	// Output:
	// <nil>
	// /openId: must be 1 to 64 letters and digits (A-Z, a-z, 0-9)
}

func TestTypes(t *testing.T) {
	want := slices.Sorted(slices.Values(slices.Concat(eventTypes, resultTypes)))
	if diff := cmp.Diff(want, schemas.Types()); diff != "" {
		t.Errorf("Types() (-want +got):\n%s", diff)
	}
}

// files gives every schema file, decoded, by its name without .json.
func files(t *testing.T) map[string]map[string]any {
	t.Helper()
	names, err := fs.Glob(schemas.FS(), "*.json")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]map[string]any{}
	for _, name := range names {
		text, err := fs.ReadFile(schemas.FS(), name)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		docs[strings.TrimSuffix(name, ".json")] = doc
	}
	return docs
}

func TestFiles(t *testing.T) {
	for typ, doc := range files(t) {
		id := schemas.ID(typ)
		if typ == "failure" {
			id = "https://essworker.invalid/schemas/failure.json"
		}
		if doc["$id"] != id || doc["title"] != typ {
			t.Errorf("%s: $id %q, title %q, want %q, %q", typ, doc["$id"], doc["title"], id, typ)
		}
		examples, _ := doc["examples"].([]any)
		if len(examples) == 0 {
			t.Errorf("%s has no examples", typ)
		}
		walk(doc, "", func(path string, node map[string]any) {
			if node["type"] == "object" && node["additionalProperties"] != false {
				t.Errorf("%s%s lets through fields it does not list", typ, path)
			}
			if _, limited := node["pattern"]; limited && node["x-rule"] == nil {
				t.Errorf("%s%s has a pattern but no words for it", typ, path)
			}
			fields, _ := node["properties"].(map[string]any)
			for name, field := range fields {
				if f, _ := field.(map[string]any); node["type"] == "object" && f["description"] == nil {
					t.Errorf("%s%s/properties/%s has no description", typ, path, name)
				}
			}
		})
	}
}

// walk calls visit for every object in a schema.
func walk(node any, path string, visit func(path string, node map[string]any)) {
	switch node := node.(type) {
	case map[string]any:
		visit(path, node)
		for name, sub := range node {
			if name != "examples" {
				walk(sub, path+"/"+name, visit)
			}
		}
	case []any:
		for i, sub := range node {
			walk(sub, fmt.Sprintf("%s/%d", path, i), visit)
		}
	}
}

func TestValidate_examples(t *testing.T) {
	for typ, doc := range files(t) {
		if typ == "failure" {
			typ = "employee.bind.failed"
		}
		for _, example := range doc["examples"].([]any) {
			text, err := json.Marshal(example)
			if err != nil {
				t.Fatal(err)
			}
			if err := schemas.Validate(typ, text); err != nil {
				t.Errorf("Validate(%q, %s) = %v, want nil", typ, text, err)
			}
		}
	}
}

func TestFailure_reasonsAreTheFaults(t *testing.T) {
	var want []any
	for _, r := range fault.Reasons() {
		want = append(want, string(r))
	}
	docs := files(t)
	for typ, field := range map[string]string{"failure": "reason", "letter.headers": "Dlq-Reason"} {
		got := docs[typ]["properties"].(map[string]any)[field].(map[string]any)["enum"]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s (-faults +schema):\n%s", typ, field, diff)
		}
	}
}

func TestPersonal(t *testing.T) {
	for _, tt := range []struct {
		typ, data string
		want      []string
	}{
		{link, `{"sceneKey":"OTHER","userInfo":{"name":"典子谦","idCardType":"ID_CARD","idCardNumber":"620000198802020000"}}`, []string{"620000198802020000", "典子谦"}},
		{link, `{"Name":"典子谦","other":[{"IDCARDNUMBER":620000198802020001}]}`, []string{"620000198802020001", "典子谦"}},
		{link, `{"userInfo":{"name":{"first":"子谦","last":["典"]},"name":"again"}}`, []string{"again"}},
		{link, `{"userInfo":{"name":{"first":"子谦","last":["典",true,null,""]}}}`, []string{"典", "子谦"}},
		{link, `{"userInfo":`, nil},
		{link, `"典子谦"`, nil},
		{bind, `{"userId":"u","name":"x"}`, nil},
		{"autosign.link.created", `{"url":"https://x","path":"/p","qrCode":"aGk=","appId":"wx"}`, []string{"/p", "aGk=", "https://x"}},
		{"seal.granted", `{"operatorVerification":{"path":"/p","qrCodeUrl":"https://q"}}`, []string{"/p", "https://q"}},
		{"employee.unknown", `{"name":"x"}`, nil},
	} {
		got := slices.Sorted(slices.Values(schemas.Personal(tt.typ, []byte(tt.data))))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Personal(%q, %s) (-want +got):\n%s", tt.typ, tt.data, diff)
		}
	}
}

func FuzzValidate(f *testing.F) {
	for _, typ := range append(schemas.Types(), "letter.headers") {
		f.Add(typ, `{"userId":"u","openId":"o"}`)
	}
	f.Add(grant, grantTo(`1e9999999,"\ud800",[{}],{"a":{"a":1,"a":2}}`))
	f.Add(link, `{"sceneKey":null,"userInfo":{"name":["\u0000"],"idCardType":"ID_CARD","idCardNumber":""},"validFor":"1h","expiresAt":""}`)
	f.Fuzz(func(t *testing.T, typ, data string) {
		schemas.Personal(typ, []byte(data))
		err := schemas.Validate(typ, []byte(data))
		if err == nil {
			if !json.Valid([]byte(data)) {
				t.Errorf("Validate(%q, %q) = nil, but it is not JSON", typ, data)
			}
			return
		}
		v, ok := errors.AsType[*schemas.Violation](err)
		if !ok || v.Message == "" || v.Rule == "" {
			t.Errorf("Validate(%q, %q) = %#v, want a whole Violation", typ, data, err)
		}
		if strings.ContainsFunc(v.Message, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("Validate(%q, %q) = %q, want printable text", typ, data, v.Message)
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	data := []byte(`{"userId":"yDRS4UUgygqdcj56UuO4zjExBQcOiB68","openId":"n9527","operatorUserId":"yDRSRUUgygj6rq2wUuO4zjECxKZoyL3d"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := schemas.Validate(bind, data); err != nil {
			b.Fatal(err)
		}
	}
}
