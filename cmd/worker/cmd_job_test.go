package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/replay"
)

// TestNextSteps: a replay that has stopped says what to do about it, and how many of its
// letters are letters: those it has not come to, and those that failed again.
func TestNextSteps(t *testing.T) {
	job := replay.Job{ID: "j-abcdef", State: replay.Stopped, Finished: time.Now(), Letters: 10, Seen: replay.Tally{
		Stored: 4, Succeeded: 1, Failed: 2, Unknown: 1, Gone: 1, Causes: []replay.Cause{{Group: "k7d2qx", Count: 2}},
	}}
	want := []string{
		"7 letters stay. Next:",
		"  worker dlq show k7d2qx                          why, and what mends it",
		"  worker dlq edit k7d2qx --patch FILE --why TEXT  mend the events",
		"  worker dlq resume j-abcdef --why TEXT           once it is mended",
		"  worker dlq cancel j-abcdef --why TEXT           leave the rest as it is",
	}
	if d := cmp.Diff(want, nextSteps(job)); d != "" {
		t.Errorf("stopped (-want +got):\n%s", d)
	}
	job.State = replay.Cancelled
	if got := strings.Join(nextSteps(job), "\n"); got != "7 letters stay." {
		t.Errorf("cancelled: %q", got)
	}
	job.State = replay.Done
	if got := nextSteps(job); got != nil {
		t.Errorf("done: %q, want nothing", got)
	}
}

// TestReplayLine is what is said of one letter.
func TestReplayLine(t *testing.T) {
	for _, tt := range []struct {
		sent     replay.Sent
		outcomes bool
		want     string
	}{
		{replay.Sent{Seq: 7}, false, "stored"},
		{replay.Sent{Seq: 7}, true, "under way"},
		{replay.Sent{Seq: 7, Outcome: replay.Good}, true, "succeeded"},
		{replay.Sent{Seq: 7, Outcome: replay.Lost}, true, "unknown"},
		{replay.Sent{Outcome: replay.NotStored}, true, "not replayed"},
		{replay.Sent{Refused: replay.Often}, true, "not replayed"},
	} {
		if got := replayLineOf(tt.sent, tt.outcomes).Outcome; got != tt.want {
			t.Errorf("%+v, with outcomes %t: %q, want %q", tt.sent, tt.outcomes, got, tt.want)
		}
	}
}
