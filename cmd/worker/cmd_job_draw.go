package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"essworker/internal/replay"
)

// speed is how fast a job goes, over the last half minute.
type speed struct {
	at   []time.Time
	done []int
}

func (p *speed) saw(j replay.Job) {
	now := time.Now()
	p.at, p.done = append(p.at, now), append(p.done, settledOf(j))
	for len(p.at) > 2 && now.Sub(p.at[0]) > 30*time.Second {
		p.at, p.done = p.at[1:], p.done[1:]
	}
}

// perSecond is 0 if nothing is known yet.
func (p *speed) perSecond() float64 {
	last := len(p.at) - 1
	if passed := p.at[last].Sub(p.at[0]).Seconds(); passed > 0 {
		return float64(p.done[last]-p.done[0]) / passed
	}
	return 0
}

// settledOf is how many of the letters are through, one way or another.
func settledOf(j replay.Job) int { return j.Dealt() - j.Underway() }

// job is a replay as lines that fit the width.
func (p painter) job(j replay.Job, pace speed, width int) []string {
	colour := text.FgGreen
	switch j.State {
	case replay.Stopped:
		colour = text.FgRed
	case replay.Holding, replay.Paused, replay.Cancelled, replay.Waiting:
		colour = text.FgYellow
	case replay.Canary, replay.Running, replay.Done:
	}
	done := settledOf(j)
	lines := []string{fmt.Sprintf("%s  %s  %s", j.ID, p.paint(colour, string(j.State)), p.orders(j))}
	tail := fmt.Sprintf(" %d of %d", done, j.Letters)
	if !j.Over() {
		if rate := pace.perSecond(); rate > 0 && (j.State == replay.Canary || j.State == replay.Running) {
			tail += fmt.Sprintf(", %.3g/s, %s left", rate, span(time.Duration(float64(j.Letters-done)/rate*float64(time.Second))))
		}
	} else if !j.Started.IsZero() {
		tail += ", in " + span(j.Finished.Sub(j.Started))
	}
	lines = append(lines, meter(done, j.Letters, min(40, max(10, width-len(tail)-2)))+tail)
	lines = append(lines, results(j))
	if j.Note != "" {
		lines = append(lines, wrap(printable(j.Note), width)...)
	}
	for i, c := range j.Seen.Causes {
		if i == mostShown {
			lines = append(lines, fmt.Sprintf("  … and %d more causes", len(j.Seen.Causes)-i))
			break
		}
		lines = append(lines, printable(fmt.Sprintf("  %d %s, group %s: %s", c.Count, c.Type, c.Group, cause(c.Reason, c.Code))))
	}
	lines = append(lines, nextSteps(j)...)
	for i, line := range lines[1:] {
		lines[i+1] = text.Snip(line, width, "…")
	}
	return lines
}

// mostShown is how many causes a screen has room for.
const mostShown = 5

func (p painter) orders(j replay.Job) string {
	by := j.Orders.By + ", " + ago(j.Created)
	if j.Orders.Why != "" {
		by += ": " + j.Orders.Why
	}
	return text.Snip(printable(by), 50, "…")
}

// meter is so much of the whole, in plain characters.
func meter(done, whole, width int) string {
	n := width
	if whole > 0 {
		n = min(width, done*width/whole)
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}

// results counts what became of a job's letters.
func results(j replay.Job) string {
	parts := []string{fmt.Sprintf("%d succeeded", j.Seen.Succeeded)}
	refused := 0
	for _, n := range j.Seen.Refused {
		refused += n
	}
	for _, c := range []struct {
		n    int
		what string
	}{
		{j.Seen.Failed, "failed again"},
		{j.Underway(), "under way"},
		{j.Seen.Unknown, "left no trace"},
		{refused, "not eligible"},
		{j.Seen.Gone, "gone before"},
		{j.Seen.Trouble, "not stored"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

// sentence is a replay in one line.
func sentence(j replay.Job) string {
	state := string(j.State)
	if asked := j.Asked(); asked != "" {
		state += ", to be " + string(asked)
	}
	line := fmt.Sprintf("%s %s: %d of %d letters, %s", j.ID, state, settledOf(j), j.Letters, results(j))
	if j.Note != "" {
		line += "; " + printable(j.Note)
	}
	return line
}

// nextSteps says what to do about a replay that came to no good end.
func nextSteps(j replay.Job) []string {
	if !j.Over() || j.State != replay.Stopped && j.State != replay.Cancelled {
		return nil
	}
	lines := []string{counted(uint64(j.Remaining()), "letter") + " stay."} //nolint:gosec // a count
	if j.State == replay.Cancelled {
		return lines
	}
	lines[0] += " Next:"
	add := func(command, what string) {
		lines = append(lines, fmt.Sprintf("  %-46s  %s", "worker dlq "+command, what))
	}
	if len(j.Seen.Causes) > 0 {
		group := j.Seen.Causes[0].Group
		add("show "+group, "why, and what mends it")
		add("edit "+group+" --patch FILE --why TEXT", "mend the events")
	}
	add("resume "+j.ID+" --why TEXT", "once it is mended")
	add("cancel "+j.ID+" --why TEXT", "leave the rest as it is")
	return lines
}

func printNext(out io.Writer, j replay.Job) {
	for _, line := range nextSteps(j) {
		fmt.Fprintln(out, line)
	}
}

// say prints a sentence, which a terminal would break within words.
func say(out io.Writer, sentence string) {
	lines := []string{sentence}
	if isTerminal(out) {
		lines = wrap(sentence, windowOf(out).width)
	}
	fmt.Fprintln(out, strings.Join(lines, "\n"))
}
