package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/roles"
	"essworker/internal/topology"
)

type setupCmd struct {
	NATS     natsconn.Config `embed:"" group:"NATS"`
	Topology topology.Config `embed:"" group:"Streams"`
	DryRun   bool            `help:"Print what would change and change nothing."`
	// A subscriber's own user may make no consumer, see worker roles.
	Subscriber []string `placeholder:"NAME" help:"Make a durable consumer of the results too, for a service to read by; several with commas between them."`
}

// Validate names the first flag that cannot work.
func (c *setupCmd) Validate() error {
	for _, name := range c.Subscriber {
		if err := (roles.Deployment{Names: c.Topology.Names, Subscriber: name}).Validate(); err != nil {
			return err
		}
	}
	return nil
}

// Run makes or updates streams, consumers and bucket, and prints each change.
func (c *setupCmd) Run(ctx context.Context, s streams) error {
	nc, js, err := dial(ctx, c.NATS, roles.Provisioner)
	if err != nil {
		return err
	}
	defer nc.Close()
	changes := 0
	say := func(why error) { fmt.Fprintln(s.err, "note: waiting for JetStream:", why) }
	err = whenLed(ctx, say, func() error {
		done, err := c.step(ctx, js)
		changes += len(done.Changes)
		for _, change := range done.Changes {
			fmt.Fprintln(s.out, change)
		}
		for _, w := range done.Warnings {
			fmt.Fprintln(s.err, "note:", w)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case changes == 0:
		fmt.Fprintln(s.err, "everything is in place: nothing to change")
	case c.DryRun:
		fmt.Fprintf(s.err, "%d changes, none made: run worker setup without --dry-run\n", changes)
	}
	return nil
}

// step makes, or only tells, what is not as declared.
func (c *setupCmd) step(ctx context.Context, js jetstream.JetStream) (topology.Report, error) {
	step := topology.Apply
	if c.DryRun {
		step = topology.Plan
	}
	done, err := step(ctx, js, c.Topology, handlers.Types())
	for _, name := range c.Subscriber {
		if err == nil {
			var made []topology.Change
			made, err = topology.Subscribe(ctx, js, c.Topology.Names, name, c.DryRun)
			done.Changes = append(done.Changes, made...)
		}
	}
	return done, err
}
