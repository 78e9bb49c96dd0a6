package patch_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/patch"
)

// TestMerge holds the examples of RFC 7386, appendix A, and what must stay to the byte.
func TestMerge(t *testing.T) {
	for _, tt := range []struct{ target, change, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},

		{`{"z":1.000e2,"a":12345678901234567890,"t":"\u0041<&"}`, `{"b":true}`, `{"z":1.000e2,"a":12345678901234567890,"t":"\u0041<&","b":true}`},
		{`{"o":{"z":1,"a":2}, "n":[ 1.0 ]}`, `{"o":{"a":3}}`, `{"o":{"z":1,"a":3},"n":[ 1.0 ]}`},
		{`{"a":1,"b":2,"a":3}`, `{"a":4}`, `{"a":4,"b":2}`},
		{`not JSON`, `{"a":1}`, `{"a":1}`},
	} {
		got, err := patch.Merge([]byte(tt.target), []byte(tt.change))
		if err != nil || string(got) != tt.want {
			t.Errorf("Merge(%s, %s) = %s, %v, want %s", tt.target, tt.change, got, err, tt.want)
		}
	}
	if _, err := patch.Merge([]byte(`{}`), []byte(`{"a":`)); err == nil {
		t.Error("a patch that is not JSON is no error")
	}
}

func TestChanges(t *testing.T) {
	before := `{"a":1,"o":{"x":"1","y":[1, 2],"gone":null},"same":{"k":1.0},"b":"t"}`
	after := `{"same":{"k": 1.0},"a":2,"o":{"y":[1,2,3],"x":"1","new":{"q":1}},"b":{"c":1}}`
	want := []patch.Change{
		{"a", "1", "2"},
		{"o.y", "[1,2]", "[1,2,3]"},
		{"o.gone", "null", ""},
		{"o.new", "", `{"q":1}`},
		{"b", `"t"`, `{"c":1}`},
	}
	if d := cmp.Diff(want, patch.Changes([]byte(before), []byte(after))); d != "" {
		t.Errorf("Changes (-want +got):\n%s", d)
	}
	if got := patch.Changes([]byte("[1]"), []byte(`{"a":1}`)); len(got) != 1 || got[0].Field != "" {
		t.Errorf("Changes of the whole = %v", got)
	}
	if got := patch.Changes([]byte(before), []byte(before)); got != nil {
		t.Errorf("Changes of nothing = %v", got)
	}
}
