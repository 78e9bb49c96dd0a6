package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"essworker/internal/audit"
	"essworker/internal/dlq"
)

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
