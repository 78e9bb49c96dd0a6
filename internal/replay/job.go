package replay

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"essworker/internal/dlq"
)

// Selection is a frozen set of letters: those there were when it was made and that are
// still there. Either the ids say which, or the filter, among those from First to Last.
type Selection struct {
	IDs    []uint64   `json:"ids,omitempty"` // ascending
	Filter dlq.Filter `json:"filter"`
	First  uint64     `json:"first"`
	Last   uint64     `json:"last"`
}

// Orders are what an operator asks of a job.
type Orders struct {
	Force  bool    `json:"force,omitzero"`
	Rate   float64 `json:"rate,omitzero"` // letters a second at most; 0 is no limit
	StopAt float64 `json:"stopAt"`        // stop above this part of failures; 1 is never
	By     string  `json:"by"`
	Why    string  `json:"why,omitempty"` // masked
}

// State is a job's in one word.
type State string

// The states of a job. From Done on it is over, once nothing is under way any more.
const (
	Waiting   State = "waiting" // for a runner
	Canary    State = "canary"  // the first few letters, one careful step after the other
	Running   State = "running"
	Holding   State = "holding" // its lane stands still; it goes on by itself
	Paused    State = "paused"  // by an operator
	Done      State = "done"
	Stopped   State = "stopped" // by itself: too many letters fail again
	Cancelled State = "cancelled"
)

// What an operator wants of a job.
const (
	wantRun    = ""
	wantPause  = "pause"
	wantCancel = "cancel"
)

// Job is the record of a replay. Its progress is its runner's to write, what is wanted
// of it the operators'.
type Job struct {
	ID        string         `json:"id"`
	Created   time.Time      `json:"created"`
	Selection Selection      `json:"selection"`
	Orders    Orders         `json:"orders"`
	Letters   int            `json:"letters"`  // selected by the plan
	Eligible  int            `json:"eligible"` // those of them that were to be replayed
	Types     map[string]int `json:"types"`    // eligible ones by event type

	Want    string `json:"want,omitempty"`
	WantBy  string `json:"wantBy,omitempty"`
	WantWhy string `json:"wantWhy,omitempty"`
	Wanted  int    `json:"wanted,omitzero"` // counts what was wanted so far: a resumed job begins anew

	State    State     `json:"state"`
	Note     string    `json:"note,omitempty"` // why it is in that state; masked
	Runner   string    `json:"runner,omitempty"`
	Cursor   uint64    `json:"cursor"`           // letters up to here have been dealt with, but for those left
	Left     places    `json:"left,omitempty"`   // of types whose lane stood still: where they were left
	Again    []uint64  `json:"again,omitempty"`  // letters that could not be stored, to be tried again first; ascending
	Back     places    `json:"back,omitempty"`   // of types taken up again: where, as far as Reached
	Reached  uint64    `json:"reached,omitzero"` // how far the cursor was when it was last turned back
	Batches  int       `json:"batches"`          // noted so far
	Sending  bool      `json:"sending,omitzero"` // the last of them is not put back yet, or only in part
	Open     []int     `json:"open,omitempty"`   // those with letters whose outcome is not known
	Settled  Tally     `json:"settled"`          // of the batches that are not open
	Seen     Tally     `json:"seen"`             // of all, for people
	Heeded   int       `json:"heeded,omitzero"`  // up to which want the runner has taken in
	Before   Before    `json:"before,omitzero"`  // what there was when the job was last resumed
	Started  time.Time `json:"started,omitzero"` // when the first runner took it
	Finished time.Time `json:"finished,omitzero"`

	Touched time.Time `json:"-"` // when it was last written, by the server's clock
}

// Before is what a job that begins anew leaves out of account.
type Before struct {
	Stored int `json:"stored"`
	Known  int `json:"known"`
}

// Asked is the state that an operator wants and that is not reached yet: Paused,
// Cancelled, or none.
func (j Job) Asked() State {
	switch {
	case j.Over():
		return ""
	case j.Want == wantPause && j.State != Paused:
		return Paused
	case j.Want == wantCancel:
		return Cancelled
	}
	return ""
}

// Over reports whether nothing more will happen.
func (j Job) Over() bool { return !j.Finished.IsZero() }

// Underway is how many events are stored and not settled.
func (j Job) Underway() int {
	return j.Seen.Stored - j.Seen.Succeeded - j.Seen.Failed - j.Seen.Unknown
}

// Remaining is how many of the letters are letters still, or again.
func (j Job) Remaining() int {
	return j.Letters - j.Underway() - j.Seen.Succeeded - j.Seen.Unknown - j.Seen.Gone
}

// Dealt is how many letters the job has come to.
func (j Job) Dealt() int { return j.Seen.Stored + j.Seen.Gone + j.Seen.Trouble + j.Seen.refused() }

// want takes in what an operator wants; now is the server's time.
func (j *Job) want(what, by, why string, now time.Time) error {
	switch {
	case what == wantRun && j.Want != wantPause && j.State != Stopped:
		return fmt.Errorf("job %s is %s: only one that is paused or stopped can be resumed", j.ID, j.State)
	case what == wantPause && (j.ended() || j.Want != wantRun), what == wantCancel && (j.State == Done || j.State == Cancelled):
		return fmt.Errorf("job %s is %s", j.ID, j.State)
	}
	j.Want, j.WantBy, j.WantWhy = what, by, clean(why)
	j.Wanted++
	switch what {
	case wantRun:
		j.State, j.Note, j.Finished = Waiting, "", time.Time{}
	case wantPause:
		if j.Runner == "" {
			j.State, j.Note = Paused, j.paused()
		}
	case wantCancel:
		j.Finished = time.Time{} // of one that had stopped: its runner ends it again
		if j.Runner != "" {
			break
		}
		j.State, j.Note = Cancelled, j.cancelled()
		if len(j.Open) == 0 {
			j.Finished = now
		}
	}
	return nil
}

// ended reports whether the job replays no more letters.
func (j Job) ended() bool { return j.State == Done || j.State == Stopped || j.State == Cancelled }

// idle reports whether there is nothing for a runner to do.
func (j Job) idle() bool {
	return j.Over() || j.Want == wantPause && j.State == Paused && len(j.Open) == 0
}

func (j Job) paused() string { return "paused by " + j.WantBy + because(j.WantWhy) }

func (j Job) cancelled() string { return "cancelled by " + j.WantBy + because(j.WantWhy) }

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// Stored reports whether the job has put back all it will.
func (j Job) Stored() bool {
	return !j.Sending && (j.ended() || j.through() && j.State != Waiting)
}

// Small reports whether the job has no more letters than a canary: it goes at once, and
// waits for no lane.
func (j Job) Small() bool { return j.Eligible <= canarySize }

var idPattern = regexp.MustCompile(`^j-[a-z2-7]{6}$`)

func isID(s string) bool { return idPattern.MatchString(s) }

func newID() string { return "j-" + strings.ToLower(rand.Text()[:6]) }

// Validate names the first order that cannot be carried out.
func (o Orders) Validate() error {
	switch {
	case o.Rate < 0:
		return fmt.Errorf("--rate: must be 0 (as fast as possible) or more, not %v", o.Rate)
	case o.StopAt <= 0 || o.StopAt > 1:
		return fmt.Errorf("--stop-at: must be more than 0 and at most 1, for example 0.2, not %v", o.StopAt)
	case o.Force && o.Why == "":
		return errors.New("--force: needs --why")
	}
	return nil
}
