package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

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
