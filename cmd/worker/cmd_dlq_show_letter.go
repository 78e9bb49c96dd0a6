package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"

	"essworker/internal/audit"
	"essworker/internal/dlq"
	"essworker/internal/mask"
	"essworker/internal/replay"
)

// letterView is a letter with what else is known about it.
type letterView struct {
	dlq.Letter

	away      bool        // it is a discarded one
	header    nats.Header // as they may be seen
	data      string
	succeeded string // the id of the event that did
	verdict   replay.Verdict
	job       string // that has it under way
	past      []replay.Past
	records   []audit.Record
}

// tells reports whether a record names the letter, the letter it was first, or its group.
func (v letterView) tells(r audit.Record) bool {
	if !strings.HasPrefix(r.Name, "letters.") && !strings.HasPrefix(r.Name, "groups.") || r.Name == "letters.import" { // which names a file
		return false
	}
	if r.Name == "letters.replay" && slices.ContainsFunc(v.past, func(p replay.Past) bool { return p.Job == r.After }) {
		return false // the replay itself tells more
	}
	ids := []uint64{v.ID, v.Origin}
	switch discarded := strings.HasPrefix(r.What, "discarded "); {
	case discarded && !v.away:
		ids = []uint64{v.Moved} // as it was restored
	case !discarded && v.away:
		ids[0] = v.Moved
	}
	if v.Group != "" && strings.Contains(r.What, "--group "+v.Group) {
		return true
	}
	named, _, _ := strings.Cut(r.What, " --") // options have numbers too
	words := strings.FieldsFunc(named, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	return slices.ContainsFunc(words, func(w string) bool {
		id, err := strconv.ParseUint(w, 10, 64)
		return w == v.Group || err == nil && id > 0 && slices.Contains(ids, id)
	})
}

func (v letterView) json(out io.Writer) error {
	return printJSON(out, struct {
		letterLine
		Deliveries int            `json:"deliveries"`
		FirstSeen  time.Time      `json:"firstSeen"`
		Stream     string         `json:"stream"`
		StreamSeq  uint64         `json:"streamSeq"`
		Worker     string         `json:"worker"`
		Header     nats.Header    `json:"headers"`
		Data       string         `json:"data"`
		Mend       string         `json:"mend"`
		Verdict    replay.Verdict `json:"verdict,omitempty"`   // whether it may be replayed; none of a discarded letter
		Next       []string       `json:"next"`                // commands
		Moved      uint64         `json:"moved,omitempty"`     // its id before it was discarded or restored
		Succeeded  string         `json:"succeeded,omitempty"` // the event that has succeeded since
		Past       []replay.Past  `json:"past,omitempty"`      // replays it comes from
		Records    []audit.Record `json:"records,omitempty"`
	}{
		lineOf(v.Letter), v.Deliveries, v.FirstSeen, v.Stream, v.StreamSeq, v.Worker, v.header, v.data,
		mend(v.Type, v.Code), v.verdict, v.next(), v.Moved, mask.Text(v.succeeded), v.past, v.records,
	})
}

func (v letterView) print(out io.Writer) error {
	w := &lines{out: out}
	what := "letter"
	if v.away {
		what = "discarded"
	}
	w.field(what, "%d, group %s", v.ID, v.Group)
	w.field("why", "%s: %s", v.Reason, cause(v.Code, v.Message))
	w.field("mend", "%s", mend(v.Type, v.Code))
	w.field("request id", "%s", v.RequestID)
	w.field("event", "%s %s from %s", v.Type, mask.Text(v.EventID), mask.Text(v.Source))
	if v.succeeded != "" {
		w.field("but", "event %s has succeeded since", mask.Text(v.succeeded))
	}
	if v.Replays > 0 {
		w.field("replayed", "%s; its first letter was %d", counted(uint64(v.Replays), "time"), v.Origin)
	}
	for _, m := range v.line() {
		w.field(m.name, "%s %s", at(m.at), m.text)
	}
	w.field("worker", "%s", v.Worker)
	for _, name := range slices.Sorted(maps.Keys(v.header)) {
		w.field("header", "%s: %s", name, strings.Join(v.header[name], ", "))
	}
	w.field("data", "%s", indent(v.data))
	w.field("next", "%s", strings.Join(v.next(), "\n"))
	return w.err
}

// moment is something that happened to a letter.
type moment struct {
	at         time.Time
	name, text string
}

// line is what happened to the letter, in its order.
func (v letterView) line() []moment {
	tried := "after " + counted(uint64(v.Attempts), "vendor call") //nolint:gosec // a count
	if v.Deliveries > 1 {
		tried += fmt.Sprintf(", delivered %d times", v.Deliveries)
	}
	list := []moment{
		{v.FirstSeen, "accepted", fmt.Sprintf("as %s/%d on %s", v.Stream, v.StreamSeq, v.Subject)},
		{v.FailedAt, "failed", tried},
	}
	for _, p := range v.past {
		text := fmt.Sprintf("by %s: letter %d, job %s", p.By, p.ID, p.Job)
		switch {
		case p.Letter > 0:
			text += fmt.Sprintf("; failed again, now letter %d", p.Letter)
		case p.Outcome != "":
			text += "; " + string(p.Outcome)
		}
		if p.Why != "" {
			text += "; " + p.Why
		}
		list = append(list, moment{p.At, "replay", text})
	}
	for _, r := range v.records {
		list = append(list, moment{r.Time, strings.TrimPrefix(r.Name, "letters."), fmt.Sprintf("by %s: %s; %s", r.Who, did(r), because(r))})
	}
	switch {
	case v.Moved > 0 && v.away:
		list = append(list, moment{v.Stored, "moved", fmt.Sprintf("to the discarded ones; it was letter %d", v.Moved)})
	case v.Moved > 0:
		list = append(list, moment{v.Stored, "moved", fmt.Sprintf("back; it was discarded letter %d", v.Moved)})
	}
	slices.SortStableFunc(list, func(a, b moment) int { return a.at.Compare(b.at) })
	return list
}

// next is what to do about the letter: commands, with why as a shell's comment.
func (v letterView) next() []string {
	command := func(verb, rest string) string { return fmt.Sprintf("worker dlq %s %d%s", verb, v.ID, rest) }
	if v.away {
		return []string{command("restore", "")}
	}
	replayed, forced := command("replay", ""), command("replay", " --force --why TEXT")
	away := []string{command("discard", " --why TEXT")}
	mended := away
	if _, err := dlq.Editable(v.Letter); err == nil {
		mended = append([]string{command("edit", " --why TEXT")}, away...)
	}
	switch v.verdict {
	case replay.Eligible:
		return append([]string{replayed + "  # once the cause is mended"}, mended...)
	case replay.Succeeded:
		return []string{away[0] + "  # its event has succeeded since"}
	case replay.Elsewhere:
		return []string{"worker dlq watch " + v.job + "  # which has it under way"}
	case replay.Cooling:
		return append([]string{replayed + "  # later: it failed a short while ago", forced + "  # or now"}, mended...)
	case replay.Often:
		return append(mended, forced+"  # replayed so often already")
	case replay.Unseen:
		return []string{away[0] + "  # if the vendor says that it is done", forced + "  # if not"}
	case replay.Unfit, replay.Expired:
		mended[0] += "  # as it is it cannot succeed"
		return mended
	case replay.NoLane:
		return []string{away[0] + "  # no lane handles its type"}
	}
	return []string{replayed}
}
