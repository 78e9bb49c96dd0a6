package main

import (
	"context"
	"fmt"
	"strings"

	"essworker/internal/audit"
	"essworker/internal/dlq"
	"essworker/internal/roles"
)

type dlqLogCmd struct {
	client
	Since dlq.When `help:"Done at or after: a duration ago (2h) or a time (RFC 3339)." placeholder:"WHEN"`
	Until dlq.When `help:"Done before: a duration ago (2h) or a time (RFC 3339)." placeholder:"WHEN"`
	Limit int      `default:"50" help:"At most so many, the newest; 0 is all." placeholder:"N"`
	JSON  bool     `help:"One JSON object a line."`
}

// Help says what is on record.
func (dlqLogCmd) Help() string {
	return `What operators did to this deployment, newest last: letters, groups, limits and
pauses. A change that failed has a second record that says so.`
}

// Run lists what operators did.
func (c *dlqLogCmd) Run(ctx context.Context, s streams) error {
	if c.Limit < 0 {
		return exit{exitUsage, fmt.Errorf("--limit: must be 0 (all) or more, not %d", c.Limit)}
	}
	nc, js, err := dial(ctx, c.NATS, roles.Operator)
	if err != nil {
		return err
	}
	defer nc.Close()
	records, err := audit.Records(ctx, nc, js, c.Names, audit.Query{Since: c.Since.Time, Until: c.Until.Time, Limit: c.Limit})
	if err != nil {
		return notSetUp(err)
	}
	list := newListing(s.out, c.JSON, column{"when", 0}, column{"who", 14}, column{"did", 14}, column{"to", 20}, column{"why", 0})
	for _, r := range records {
		if err := list.add(r, r.Time.Local().Format("01-02 15:04"), r.Who, strings.TrimPrefix(r.Name, "letters."), did(r), because(r)); err != nil {
			return err
		}
	}
	return list.end(s.err, "nothing is on record")
}

// did is what a record is about.
func did(r audit.Record) string {
	if r.Count > 1 { // where a narrow column still has it
		return strings.Replace(r.What, "letters ", fmt.Sprintf("letters (%d) ", r.Count), 1)
	}
	return r.What
}

func because(r audit.Record) string {
	switch {
	case r.Failed != "":
		return "failed: " + r.Failed
	case r.After != "":
		return strings.TrimSuffix(r.After+": "+r.Why, ": ")
	}
	return r.Why
}
