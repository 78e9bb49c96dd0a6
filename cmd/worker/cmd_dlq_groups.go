package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"essworker/internal/audit"
	"essworker/internal/dlq"
	"essworker/internal/mask"
)

type dlqGroupsCmd struct {
	client
	dlq.Filter
	By   string `enum:"cause,code,type,source,day" default:"cause" help:"What letters are put together by: cause, code, type, source or day."`
	JSON bool   `help:"One JSON object a line."`
}

// groupLine is one line of dlq groups --json.
type groupLine struct {
	Group    string     `json:"group"`
	Reason   string     `json:"reason"`
	Type     string     `json:"type"`
	Code     string     `json:"code"`
	Message  string     `json:"message"`
	Count    int        `json:"count"`
	First    time.Time  `json:"first"`
	Last     time.Time  `json:"last"`
	Replayed int        `json:"replayed"` // letters that came back from a replay
	Replays  int        `json:"replays"`  // replays that ended so
	Mended   int        `json:"mended"`   // replays that succeeded, as far as jobs are remembered
	Recent   []int      `json:"recent"`   // letters of the last 24 hours, by half hours, up to now
	State    string     `json:"state"`
	Why      string     `json:"why,omitempty"`
	By       string     `json:"by,omitempty"`
	At       *time.Time `json:"at,omitempty"`
	Since    int        `json:"since"` // letters since the state was set
}

func groupLineOf(g dlq.Group, mended int) groupLine {
	line := groupLine{
		Group: g.ID, Reason: g.Reason, Type: g.Type, Code: g.Code, Message: g.Message, Count: g.Count, First: g.First, Last: g.Last,
		Replayed: g.Again, Replays: g.Replays, Mended: mended, Recent: g.Recent[:], State: string(cmp.Or(g.Note.State, dlq.StateOpen)),
	}
	if !g.Note.At.IsZero() {
		line.Why, line.By, line.At, line.Since = g.Note.Why, g.Note.By, &g.Note.At, g.Since
	}
	return line
}

// Run lists causes, those nobody has seen to first, then the most frequent first.
func (c *dlqGroupsCmd) Run(ctx context.Context, s streams) error {
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	groups, err := box.Groups(ctx, c.Filter, dlq.By(c.By))
	if err != nil {
		return err
	}
	if c.By != string(dlq.ByCause) {
		return c.table(s, groups)
	}
	mended, err := c.mendedByGroup(ctx, box)
	if err != nil {
		return err
	}
	for i, g := range groups {
		if g.Note.Unread {
			fmt.Fprintf(s.err, "worker: the note on group %s cannot be read; worker dlq ack or reopen replaces it\n", g.ID)
		}
		if c.JSON {
			err = printJSON(s.out, groupLineOf(g, mended[g.ID]))
		} else {
			if i > 0 {
				fmt.Fprintln(s.out)
			}
			err = printGroup(s.out, g, mended[g.ID])
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(s.err, footOf(groups))
	return nil
}

// mendedByGroup counts the replays that have succeeded, by the groups of their letters. The
// letters are gone; the jobs know, for as long as they are kept.
func (c client) mendedByGroup(ctx context.Context, box *dlq.Box) (map[string]int, error) {
	office, err := c.office(ctx, box)
	if err != nil {
		return nil, err
	}
	jobs, err := office.List(ctx)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, j := range jobs {
		for _, e := range j.Seen.Groups {
			counts[e.Group] += e.Succeeded
		}
	}
	return counts, nil
}

// byLine is one line of dlq groups --by anything but cause, in JSON.
type byLine struct {
	By     string    `json:"by"`
	Key    string    `json:"key"`
	Count  int       `json:"count"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Causes int       `json:"causes"`
	Recent []int     `json:"recent"`
}

func (c *dlqGroupsCmd) table(s streams, groups []dlq.Group) error {
	list := newListing(s.out, c.JSON, column{"letters", 0}, column{"last", 8}, column{"last 24 hours", 0}, column{"causes", 0}, column{c.By, 0})
	for _, g := range groups {
		key := mask.Text(g.Key)
		line := byLine{c.By, key, g.Count, g.First, g.Last, g.Causes, g.Recent[:]}
		if err := list.add(line, g.Count, ago(g.Last), hours(s.out, g), g.Causes, cmp.Or(key, "-")); err != nil {
			return err
		}
	}
	return list.end(s.err, "no letters")
}

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
		parts = append(parts, fmt.Sprintf("%d of these came back from one, after %d replays in all", g.Again, g.Replays))
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

// noting is what ack, ignore and reopen have in common.
type noting struct {
	client
	Groups []string `arg:"" name:"GROUP" help:"Groups, as dlq groups prints them."`
	Why    string   `required:"" help:"Why; dlq groups shows it, and the audit records keep it." placeholder:"TEXT"`
}

type (
	dlqAckCmd    struct{ noting }
	dlqIgnoreCmd struct{ noting }
	dlqReopenCmd struct{ noting }
)

// Run says that somebody sees to groups.
func (c *dlqAckCmd) Run(ctx context.Context, s streams) error {
	return c.note(ctx, s, "ack", dlq.StateAcknowledged)
}

// Run says that nobody needs to see to groups.
func (c *dlqIgnoreCmd) Run(ctx context.Context, s streams) error {
	return c.note(ctx, s, "ignore", dlq.StateIgnored)
}

// Run takes back what was said.
func (c *dlqReopenCmd) Run(ctx context.Context, s streams) error {
	return c.note(ctx, s, "reopen", dlq.StateOpen)
}

func (c *noting) note(ctx context.Context, s streams, action string, state dlq.State) error {
	if c.Why = strings.TrimSpace(c.Why); c.Why == "" {
		return exit{exitUsage, errors.New("--why: say why; it is kept with the group and in the audit records")}
	}
	for _, id := range c.Groups {
		if !dlq.IsGroup(id) {
			return exit{exitUsage, fmt.Errorf("%q is no group: worker dlq groups lists them", id)}
		}
	}
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	notes, err := dlq.Notes(ctx, nc, c.Names)
	if err != nil {
		return err
	}
	for _, id := range c.Groups {
		_, known := notes[id]
		for _, err := range box.Letters(ctx, dlq.Filter{Group: id}) {
			if err != nil {
				return err
			}
			known = true
			break
		}
		if !known {
			return exit{exitNoMatch, fmt.Errorf("no letter is of group %s: worker dlq groups lists what there is", id)}
		}
	}
	trail := audit.Open(ctx, nc, box.JetStream(), c.Names)
	for _, id := range c.Groups {
		before := cmp.Or(notes[id].State, dlq.StateOpen)
		act := audit.Action{Name: "groups." + action, What: "group " + id, Before: string(before), After: string(state), Why: c.Why}
		err := trail.Do(ctx, act, func(ctx context.Context) error {
			return box.SetNote(ctx, id, dlq.Note{State: state, Why: c.Why, By: trail.Who().String()})
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s: %s -> %s\n", id, before, state)
	}
	return nil
}
