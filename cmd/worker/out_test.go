package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestListing_fits: a table is no wider than the screen, if what can be cut can be cut so far.
func TestListing_fits(t *testing.T) {
	var out bytes.Buffer
	l := newListing(&out, false, column{"type", 0}, column{"event", 14}, column{"who", 16}, column{"cause", 0})
	long := strings.Repeat("x", 200)
	for _, typ := range []string{"short", strings.Repeat("t", 59)} {
		if err := l.add(nil, typ, long, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.end(&out, "nothing"); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := cellWidth(strings.TrimSuffix(line, "\n")); n > widest {
			t.Errorf("a line takes %d of %d columns: %s", n, widest, line)
		}
	}
}
