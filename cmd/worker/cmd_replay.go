package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"essworker/internal/audit"
	"essworker/internal/handlers"
	"essworker/internal/replay"
	"essworker/internal/roles"
)

type dlqReplayCmd struct {
	client
	picked
	Rate   float64 `default:"0" help:"Letters a second at most; 0 is as fast as the lanes take them. Vendor calls keep to their quota either way." placeholder:"N"`
	StopAt float64 `default:"0.2" help:"Stop when more than this part fails again; 1 is never." placeholder:"RATIO"`
	Force  bool    `help:"Also letters that were replayed too often or a short while ago, or whose outcome at the vendor is unknown."`
	Why    string  `help:"Why; the audit records keep it. --force asks for it." placeholder:"TEXT"`
	DryRun bool    `help:"Print the plan and do nothing."`
	Each   bool    `help:"Print the plan letter by letter."`
	Yes    bool    `short:"y" help:"Run it: more than one letter by filter stops at the plan without this."`
	Wait   bool    `help:"Wait for what becomes of the events: their results, or new letters."`
	JSON   bool    `help:"One JSON object a line: of the plan by group, of a replay by letter."`

	ids []uint64
}

// Help says what a replay does.
func (dlqReplayCmd) Help() string {
	return `A plan says which letters would be replayed and which not, and why; what that
costs; and the command that does it. A replay of more than six letters is a job: a
canary of one letter, then five, then ever more, until so many fail again that the
cause is not mended. Letters whose lane stands still wait for it, the others go on.
It leaves room for live events, and goes on without this terminal: see worker dlq
watch.`
}

// Run plans a replay, and carries it out if it is of one letter, of letters named by id,
// or was told --yes.
func (c *dlqReplayCmd) Run(ctx context.Context, s streams) error {
	if err := c.usage(); err != nil {
		return exit{exitUsage, err}
	}
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.nc.Close()
	orders := replay.Orders{Force: c.Force, Rate: c.Rate, StopAt: c.StopAt, By: d.trail.Who().String(), Why: c.Why}
	var each *listing
	if c.Each {
		each = newListing(s.out, c.JSON, column{"letter", 0}, column{"type", 0}, column{"group", 0}, column{"event", 14}, column{"verdict", 0})
	}
	plan, err := d.office.Plan(ctx, c.choice(), orders, eachLetter(each))
	if err != nil {
		return err
	}
	for _, id := range plan.Missing {
		fmt.Fprintf(s.err, "worker: no letter %d\n", id)
	}
	switch {
	case plan.Letters == 0:
		return exit{exitNoMatch, errors.New("no letter matches: worker dlq ls lists what there is")}
	case c.DryRun, c.Each, plan.Letters > 1 && !c.Yes && len(c.ids) == 0:
		return c.show(s, plan, each)
	}
	printRefused(s.err, plan)
	if plan.Eligible == 0 {
		return fmt.Errorf("none of %s can be replayed", counted(uint64(plan.Letters), "letter")) //nolint:gosec // a count
	}
	return c.start(ctx, s, d, plan, orders)
}

func (c *dlqReplayCmd) usage() error {
	if err := c.picked.usage(); err != nil {
		return err
	}
	for _, word := range c.Which {
		if id, err := letterID(word); err == nil {
			c.ids = append(c.ids, id)
		}
	}
	switch {
	case len(c.ids) != len(c.Which) && len(c.Which) > 1:
		return errors.New("name letters by id, or one group")
	case c.Each && c.Yes && !c.DryRun:
		return errors.New("--each prints a plan: leave out --yes")
	}
	return replay.Orders{Force: c.Force, Rate: c.Rate, StopAt: c.StopAt, Why: strings.TrimSpace(c.Why)}.Validate()
}

// choice is which letters are meant.
func (c *dlqReplayCmd) choice() replay.Choice {
	choice := replay.Choice{IDs: c.ids, Filter: c.Filter, From: c.From, UpTo: c.UpTo}
	if len(c.Which) > len(c.ids) {
		choice.Filter.Group = c.Which[0]
	}
	return choice
}

// desk is what the commands about replays work with.
type desk struct {
	nc     *nats.Conn
	office *replay.Office
	trail  *audit.Trail
}

func (c client) desk(ctx context.Context) (desk, error) {
	nc, js, err := dial(ctx, c.NATS, roles.Operator)
	if err != nil {
		return desk{}, err
	}
	office, err := replay.Open(ctx, nc, js, c.Names, handlers.Routes(nil, handlers.Defaults{}))
	if err != nil {
		nc.Close()
		return desk{}, notSetUp(err)
	}
	return desk{nc, office, audit.Open(ctx, nc, js, c.Names)}, nil
}
