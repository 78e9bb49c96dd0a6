package topology

import (
	"slices"
	"testing"
	"time"
)

func TestCovers(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.c", false},
		{"a.*", "a.b", true},
		{"a.b", "a.*", false},
		{"a.*", "a.b.c", false},
		{"a.*.c", "a.*.c", true},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{"a.>", "a.>", true},
		{"a.*", "a.>", false},
		{">", "a.>", true},
		{"a.b", "a.b.c", false},
		{"a.b.c", "a.b", false},
	}
	for _, tt := range tests {
		if got := Covers(tt.a, tt.b); got != tt.want {
			t.Errorf("Covers(%q, %q) = %t, want %t", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestMerge(t *testing.T) {
	tests := []struct{ have, want, merged []string }{
		{nil, []string{"a"}, []string{"a"}},
		{[]string{"a"}, []string{"a", "b"}, []string{"a", "b"}},
		{[]string{"a", "x"}, []string{"b"}, []string{"a", "x", "b"}},
		{[]string{"r.>"}, []string{"r.a.>"}, []string{"r.>"}},
		{[]string{"r.a", "x", "r.b.c"}, []string{"r.>"}, []string{"x", "r.>"}},
	}
	for _, tt := range tests {
		if got := merge(tt.have, tt.want); !slices.Equal(got, tt.merged) {
			t.Errorf("merge(%q, %q) = %q, want %q", tt.have, tt.want, got, tt.merged)
		}
	}
}

func TestCheckLevel(t *testing.T) {
	if err := checkLevel("2.11.0", 1); err != nil {
		t.Errorf("2.11.0, level 1: %v", err)
	}
	const want = "the NATS server is version 2.10.29 with JetStream API level 0: at least 2.11.0 is needed"
	if err := checkLevel("2.10.29", 0); err == nil || err.Error() != want {
		t.Errorf("2.10.29, level 0: error %v, want %s", err, want)
	}
}

func TestShowDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		168 * time.Hour: "168h", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Hour + 30*time.Minute: "1h30m",
		30 * time.Second: "30s", 0: "0s", time.Hour + time.Second: "1h0m1s",
	} {
		if got := showDuration(d); got != want {
			t.Errorf("showDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

// TestFields has no setting held by two rules.
func TestFields(t *testing.T) {
	for _, s := range streams(Config{Names: Names{Prefix: "ess"}, Replicas: 1, ResultsMaxAge: time.Hour}, []string{"a.b"}) {
		seen := make(map[string]bool)
		for _, f := range s.fields {
			if seen[f.name] {
				t.Errorf("%s %s has two rules for %s", s.kind, s.name, f.name)
			}
			seen[f.name] = true
		}
	}
}
