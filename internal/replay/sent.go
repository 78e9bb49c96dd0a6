package replay

import (
	"time"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/mask"
)

// Outcome is what became of a letter a job has come to.
type Outcome string

// The outcomes; the empty one is that it is not known yet.
const (
	Good      Outcome = "succeeded"
	Bad       Outcome = "failed"
	Lost      Outcome = "unknown"
	Gone      Outcome = "gone"
	NotStored Outcome = "not replayed"
)

// Batch is some letters that are replayed together. It is noted before the first of
// them is, so that whoever takes over knows what may have been begun.
type Batch struct {
	N     int       `json:"n"`
	Since dlq.Marks `json:"since"` // whatever becomes of it stands behind these
	Sent  []Sent    `json:"sent"`

	rev     uint64
	unknown int       // letters whose outcome is not known
	noted   time.Time // when it was last written
	news    bool      // something has become of its letters since
}

// Sent is one letter of a batch.
type Sent struct {
	ID      uint64  `json:"id"`
	EventID string  `json:"event,omitempty"` // masked
	Type    string  `json:"type"`
	Group   string  `json:"group,omitempty"`  // of the letter
	Key     string  `json:"key,omitempty"`    // of the event
	Origin  uint64  `json:"origin,omitempty"` // its first letter
	Replay  int     `json:"replay,omitempty"` // which one this is, from 1
	MsgID   string  `json:"msg,omitempty"`
	Refused Verdict `json:"refused,omitempty"`
	Seq     uint64  `json:"seq,omitempty"`  // where the event stands again; 0 is not yet, or not known
	Twice   bool    `json:"twice,omitzero"` // another replay of the same letter had stored it already
	Outcome Outcome `json:"outcome,omitempty"`
	Letter  uint64  `json:"letter,omitempty"` // the new one, of a failure
	Cause   *Cause  `json:"cause,omitempty"`
	Error   string  `json:"error,omitempty"`
}

// settled reports whether nothing more is to be learnt about a letter.
func (s Sent) settled() bool { return s.Refused != "" || s.Outcome != "" }

// sent is a letter as a batch notes it.
func sent(l dlq.Letter, v Verdict) Sent {
	s := Sent{ID: l.ID, EventID: mask.Text(l.EventID), Type: l.Type, Group: l.Group}
	if v != Eligible {
		s.Refused = v
		return s
	}
	s.Key, s.Replay, s.MsgID = event.Key(l.Source, l.EventID), l.Replays+1, dlq.ReplayID(l)
	if s.Origin = l.Origin; s.Origin == 0 {
		s.Origin = l.ID
	}
	return s
}
