package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/mask"
	"essworker/internal/replay"
)

// planLine is one line of a plan with --json.
type planLine struct {
	Letters  int                    `json:"letters"`
	Type     string                 `json:"type"`
	Group    string                 `json:"group"`
	Eligible int                    `json:"eligible"`
	Refused  map[replay.Verdict]int `json:"refused"` // the others, by why
}

// letterVerdict is one line of a plan with --each --json.
type letterVerdict struct {
	ID       uint64         `json:"id"`
	Type     string         `json:"type"`
	Group    string         `json:"group"`
	EventID  string         `json:"eventId"`
	Eligible bool           `json:"eligible"`
	Verdict  replay.Verdict `json:"verdict"`
}

func eachLetter(list *listing) func(dlq.Letter, replay.Verdict) error {
	if list == nil {
		return nil
	}
	return func(l dlq.Letter, v replay.Verdict) error {
		line := letterVerdict{l.ID, l.Type, l.Group, mask.Text(l.EventID), v == replay.Eligible, v}
		return list.add(line, l.ID, l.Type, l.Group, line.EventID, v.Means())
	}
}

// show says what a replay would do and how to have it done.
func (c *dlqReplayCmd) show(s streams, p replay.Plan, each *listing) error {
	list := each
	if list == nil {
		list = newListing(s.out, c.JSON, column{"letters", 0}, column{"replayed", 0}, column{"type", 0}, column{"group", 0}, column{"cause", 0})
		for _, l := range p.Lines {
			line := planLine{l.Letters, l.Type, l.Group, l.Eligible, l.Refused}
			if line.Refused == nil {
				line.Refused = map[replay.Verdict]int{}
			}
			if err := list.add(line, l.Letters, l.Eligible, l.Type, l.Group, cause(l.Reason, l.Code)); err != nil {
				return err
			}
		}
	}
	if err := list.end(s.err, "no letters"); err != nil {
		return err
	}
	printRefused(s.err, p)
	printCost(s.err, p, c.StopAt)
	fmt.Fprintf(s.err, "%s would be replayed. Nothing was done. To do it:\n  %s\n", letters(p.Eligible), c.command(p))
	return nil
}

// printRefused says which letters stay, and why.
func printRefused(out io.Writer, p replay.Plan) {
	for _, v := range replay.Verdicts() {
		r, ok := p.Refused[v]
		if !ok {
			continue
		}
		ids := make([]string, len(r.Examples))
		for i, id := range r.Examples {
			ids[i] = strconv.FormatUint(id, 10)
		}
		more := ""
		if r.Letters > len(ids) {
			more = " …"
		}
		fmt.Fprintf(out, "%d stay (%s%s): %s", r.Letters, strings.Join(ids, " "), more, v.Means())
		if !r.Ready.IsZero() {
			fmt.Fprintf(out, " (%s)", span(r.Ready.Sub(p.At)))
		}
		fmt.Fprintln(out)
	}
}

// printCost says what the replay takes.
func printCost(out io.Writer, p replay.Plan, stopAt float64) {
	for _, l := range p.Lanes {
		fmt.Fprintf(out, "%s: %s", l.Type, counted(uint64(l.Calls), "vendor call")) //nolint:gosec // a count
		switch {
		case l.Limit > 0:
			fmt.Fprintf(out, " at %.3g of %d a second", l.Pace, l.Limit)
		case l.Known:
			fmt.Fprint(out, ", no limit")
		default:
			fmt.Fprint(out, "; no worker is there to tell its pace")
		}
		fmt.Fprintf(out, "; the lane is %s\n", l.State)
		if l.Alone == 0 {
			continue
		}
		fmt.Fprintf(out, "  done in %s (%s)", span(roundUp(l.Alone)), p.At.Add(l.Alone).UTC().Format("15:04 UTC"))
		if roundUp(l.Beside) > roundUp(l.Alone) {
			fmt.Fprintf(out, ", or in %s beside live events, with a share of %.0f%%", span(roundUp(l.Beside)), 100*l.Share)
		}
		fmt.Fprintln(out)
	}
	if p.Eligible > 6 {
		fmt.Fprintf(out, "It begins with 1 letter, then 5, and stops when more than %.0f%% fail again.\n", 100*stopAt)
	}
}

func roundUp(d time.Duration) time.Duration { return max(d, time.Second) }

// command is the one that carries the plan out.
func (c *dlqReplayCmd) command(p replay.Plan) string {
	words := append([]string{"worker dlq replay"}, c.orders(p)...)
	if c.Why != "" {
		words = append(words, "--why", shellQuote(c.Why))
	}
	return strings.Join(append(words, "--yes"), " ")
}

// orders is which letters are meant, and how they are to be replayed.
func (c *dlqReplayCmd) orders(p replay.Plan) []string {
	words := c.frozen(p.Selection.First, p.Selection.Last).words()
	if c.Rate > 0 {
		words = append(words, "--rate", fmt.Sprint(c.Rate))
	}
	if c.StopAt != defaultStopAt {
		words = append(words, "--stop-at", fmt.Sprint(c.StopAt))
	}
	if c.Force {
		words = append(words, "--force")
	}
	return words
}

const defaultStopAt = 0.2

func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
