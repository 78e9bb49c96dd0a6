package replay

import (
	"maps"
	"slices"
)

// Tally counts what became of letters.
type Tally struct {
	Stored    int             `json:"stored"`    // events that are in their stream again
	Succeeded int             `json:"succeeded"` // of these
	Failed    int             `json:"failed"`    // of these: letters again
	Unknown   int             `json:"unknown"`   // of these: they are gone and left nothing
	Gone      int             `json:"gone"`      // letters that were no letters any more
	Trouble   int             `json:"trouble"`   // that could not be stored; they are letters still
	Refused   map[Verdict]int `json:"refused,omitempty"`
	Causes    []Cause         `json:"causes,omitempty"` // of the failures, the most frequent first
	Groups    []Ends          `json:"groups,omitempty"` // the outcomes by the letters' own groups
	Last      string          `json:"last,omitempty"`   // outcomes, the newest last: . is a success, x is none
}

// Cause is why replayed events failed again.
type Cause struct {
	Group  string `json:"group"`
	Type   string `json:"type"`
	Reason string `json:"reason"`
	Code   string `json:"code"`
	Count  int    `json:"count"`
}

// Ends is how replays of a group's letters ended.
type Ends struct {
	Group     string `json:"group"`
	Succeeded int    `json:"succeeded"`
	Failed    int    `json:"failed"`
}

func (t Tally) refused() (n int) {
	for _, c := range t.Refused {
		n += c
	}
	return n
}

func (t Tally) known() int { return t.Succeeded + t.Failed + t.Unknown }

func (t Tally) clone() Tally {
	t.Refused, t.Causes, t.Groups = maps.Clone(t.Refused), slices.Clone(t.Causes), slices.Clone(t.Groups)
	return t
}

// lastMost is over how many outcomes the part of failures is taken.
const lastMost = 50

// count takes in what became of one letter.
func (t *Tally) count(s Sent) {
	if s.Refused != "" {
		if t.Refused == nil {
			t.Refused = map[Verdict]int{}
		}
		t.Refused[s.Refused]++
		return
	}
	if s.Seq > 0 || s.Outcome == Good || s.Outcome == Bad || s.Outcome == Lost {
		t.Stored++
	}
	switch s.Outcome {
	case Gone:
		t.Gone++
	case NotStored:
		t.Trouble++
	case Good:
		t.Succeeded++
		t.Last += "."
		t.ends(s.Group).Succeeded++
	case Bad:
		t.Failed++
		t.Last += "x"
		t.ends(s.Group).Failed++
		t.blame(*s.Cause)
	case Lost: // what nobody knows the end of is no sign of a mended cause
		t.Unknown++
		t.Last += "x"
	}
	t.Last = t.Last[max(0, len(t.Last)-lastMost):]
}

func (t *Tally) blame(c Cause) {
	c.Count = 1
	i := slices.IndexFunc(t.Causes, func(o Cause) bool { return o.Group == c.Group && o.Type == c.Type })
	if i >= 0 {
		t.Causes[i].Count++
	} else if len(t.Causes) < mostCauses {
		t.Causes = append(t.Causes, c)
	}
	slices.SortStableFunc(t.Causes, func(a, b Cause) int { return b.Count - a.Count })
}

// ends gives where to count how a letter of a group ended.
func (t *Tally) ends(group string) *Ends {
	i := slices.IndexFunc(t.Groups, func(e Ends) bool { return e.Group == group })
	switch {
	case i >= 0:
	case len(t.Groups) < mostCauses:
		t.Groups, i = append(t.Groups, Ends{Group: group}), len(t.Groups)
	default:
		return new(Ends)
	}
	return &t.Groups[i]
}

// mostCauses bounds the record; a job with so many has other trouble.
const mostCauses = 50
