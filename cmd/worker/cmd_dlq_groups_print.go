package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"essworker/internal/dlq"
)

// groupMargin is as wide as the id of a group and two spaces.
const groupMargin = "        "

// printGroup prints one cause as a few lines.
func printGroup(out io.Writer, g dlq.Group, mended int) error {
	head := fmt.Sprintf("%-8s%-32s", cmp.Or(g.ID, "-"), fmt.Sprintf("%s, last %s", letters(g.Count), ago(g.Last)))
	lines := []string{strings.TrimRight(head+hours(out, g), " ")}
	room := width(out) - len(groupMargin)
	for _, line := range []string{inWords(g) + ", first " + ago(g.First), cause(g.Code, g.Message), history(g, mended), noted(g)} {
		if line != "" {
			lines = append(lines, groupMargin+text.Snip(printable(strings.ReplaceAll(line, "\n", " ")), room, "…"))
		}
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

// inWords is what happened, for people.
func inWords(g dlq.Group) string {
	switch g.Reason {
	case "invalid":
		return "not a valid " + g.Type
	case "rejected":
		return "the vendor refused " + g.Type
	case "exhausted":
		return "attempts used up for " + g.Type
	case "poison":
		return "a worker crashed or stalled on " + g.Type
	case "expired":
		return "too late for " + g.Type
	default:
		return g.Reason + " " + g.Type
	}
}

// history is what replays have come to.
func history(g dlq.Group, mended int) string {
	var parts []string
	if mended > 0 {
		parts = append(parts, letters(mended)+" mended by a replay")
	}
	if g.Again > 0 {
		parts = append(parts, fmt.Sprintf("%d of these came back, after %s", g.Again, counted(uint64(g.Replays), "replay"))) //nolint:gosec // a count
	}
	return strings.Join(parts, "; ")
}

func noted(g dlq.Group) string {
	if g.Note.At.IsZero() {
		return ""
	}
	more := ""
	if g.Since > 0 {
		more = fmt.Sprintf(", %d more since", g.Since)
	}
	return fmt.Sprintf("%s %s by %s%s: %s", g.Note.State, ago(g.Note.At), g.Note.By, more, g.Note.Why)
}

// levels are the heights of a bar; the first is nothing.
const levels = "·▁▂▃▄▅▆▇█"

// hours draws a group's letters of the last day, an hour or, on a wide screen, half an
// hour a character, the highest one full.
func hours(out io.Writer, g dlq.Group) string {
	counts := g.Recent[:]
	if width(out) < wide {
		hourly := make([]int, 0, dlq.Hours)
		for pair := range slices.Chunk(counts, len(counts)/dlq.Hours) {
			sum := 0
			for _, n := range pair {
				sum += n
			}
			hourly = append(hourly, sum)
		}
		counts = hourly
	}
	most := slices.Max(counts)
	heights := []rune(levels)
	var b strings.Builder
	for _, n := range counts {
		height := 0
		if n > 0 {
			height = 1 + n*(len(heights)-2)/most
		}
		b.WriteRune(heights[height])
	}
	return b.String()
}

// footOf is the line below the groups.
func footOf(groups []dlq.Group) string {
	if len(groups) == 0 {
		return "no letters"
	}
	count, inState := map[dlq.State]int{}, map[dlq.State]int{}
	for _, g := range groups {
		state := cmp.Or(g.Note.State, dlq.StateOpen)
		count[state]++
		inState[state] += g.Count
	}
	var parts []string
	for _, state := range []dlq.State{dlq.StateOpen, dlq.StateAcknowledged, dlq.StateIgnored} {
		if count[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s (%s)", count[state], state, letters(inState[state])))
		}
	}
	return strings.Join(parts, ", ") + "; worker dlq show GROUP tells more"
}
