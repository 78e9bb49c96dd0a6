package main

import (
	"context"
	"fmt"
	"reflect"

	"github.com/alecthomas/kong"

	"essworker/internal/telemetry"
)

type configCmd struct {
	settings
	JSON bool `help:"One JSON object a line."`
}

// Run prints the settings in force, where each comes from, and no secret.
func (c *configCmd) Run(k *kong.Context, src *sources, s streams) error {
	list := newListing(s.out, c.JSON, column{"setting", 0}, column{"value", 48}, column{"from", 0})
	for _, set := range settingsInForce(k, src) {
		if err := list.add(set, set.Name, set.Value, set.From); err != nil {
			return err
		}
	}
	if err := list.end(s.err, "no settings"); err != nil {
		return err
	}
	if err := validate(reflect.ValueOf(c).Elem()); err != nil {
		fmt.Fprintf(s.err, "\nworker run would refuse them:\n%v\n", err)
	}
	return nil
}

type readyCmd struct {
	Addr string `name:"http-addr" default:"127.0.0.1:8080" env:"WORKER_HTTP_ADDR" help:"Where the worker answers."`
}

// Run is a health check for containers that have no other program in them.
func (c *readyCmd) Run(ctx context.Context) error { return telemetry.AskReady(ctx, c.Addr) }
