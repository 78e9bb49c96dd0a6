package replay

import (
	"strings"
	"testing"
)

// TestStep is how a job of 1,000 letters goes on.
func TestStep(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    step
		room int
		bad  bool
	}{
		{"the first alone", step{}, 1, false},
		{"its outcome is awaited", step{stored: 1, underway: 1}, 0, false},
		{"then five", step{stored: 1, known: 1, last: "."}, 5, false},
		{"their outcomes are awaited", step{stored: 6, known: 5, underway: 1, last: "....."}, 0, false},
		{"after a failure one by one", step{stored: 1, known: 1, last: "x"}, 1, false},
		{"two of six are too many", step{stored: 2, known: 2, last: "xx"}, 1, true},
		{"one of six is not", step{stored: 6, known: 6, last: "x....."}, 10, false},
		{"the window is full", step{stored: 16, known: 6, underway: 10, last: "......"}, 0, false},
		{"it doubles", step{stored: 16, known: 16, last: strings.Repeat(".", 16)}, 20, false},
		{"and again", step{stored: 36, known: 36, last: strings.Repeat(".", 36)}, 40, false},
		{"up to the pace of the lane", step{stored: 9000, known: 9000, most: 80, last: strings.Repeat(".", 50)}, 80, false},
		{"ten of fifty are not too many", step{stored: 100, known: 100, most: 80, last: strings.Repeat("x....", 10)}, 80, false},
		{"eleven are", step{stored: 100, known: 100, most: 80, last: strings.Repeat("x....", 9) + "xx..."}, 80, true},
	} {
		s := tt.s
		s.stopAt = 0.2
		if s.most == 0 {
			s.most = mostUnderway
		}
		s = s.of(1000)
		if s.room() != tt.room || s.tooBad() != tt.bad {
			t.Errorf("%s: room %d, too bad %t; want %d, %t", tt.name, s.room(), s.tooBad(), tt.room, tt.bad)
		}
		s.stopAt = 1
		if s.tooBad() {
			t.Errorf("%s: too bad with --stop-at 1", tt.name)
		}
	}
	if s := (step{stored: 2, underway: 2, last: "xx", stopAt: 0.2}).of(6); s.room() != 4 || s.tooBad() || s.canary() {
		t.Errorf("a small job: room %d, too bad %t, canary %t; want the rest at once", s.room(), s.tooBad(), s.canary())
	}
}
