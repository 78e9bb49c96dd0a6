package main

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"

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

type versionCmd struct{}

// Run prints the version and what it was built with.
func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintf(s.out, "worker %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version is the module's, or the commit's of a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var commit, modified string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+changes"
			}
		}
	}
	if commit == "" {
		return "devel"
	}
	return commit + modified
}

type readyCmd struct {
	Addr string `name:"http-addr" default:"127.0.0.1:8080" env:"WORKER_HTTP_ADDR" help:"Where the worker answers."`
}

// Run is a health check for containers that have no other program in them.
func (c *readyCmd) Run(ctx context.Context) error { return telemetry.AskReady(ctx, c.Addr) }
