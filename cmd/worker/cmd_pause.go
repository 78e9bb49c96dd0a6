package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/audit"
	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
	"essworker/internal/mask"
	"essworker/internal/roles"
	"essworker/internal/topology"
)

// stopping is what pause and resume have in common.
type stopping struct {
	client
	Lane string `arg:"" optional:"" name:"LANE" help:"An event type or its consumer; its beginning will do."`
	All  bool   `help:"Every lane."`
	Why  string `required:"" help:"Why; worker status shows it, and the audit records keep it." placeholder:"TEXT"`
}

type pauseCmd struct {
	stopping
	For time.Duration `help:"For so long, for example 1h; without it until somebody resumes the lane." placeholder:"DURATION"`
}

type resumeCmd struct{ stopping }

// Help says what a pause does.
func (pauseCmd) Help() string {
	return `Events in hand are finished, new ones wait in their stream; publishers notice
nothing. A pause costs no event an attempt and outlives restarts and worker setup.`
}

// Run stops lanes.
func (c *pauseCmd) Run(ctx context.Context, s streams) error {
	if c.For < 0 {
		return exit{exitUsage, fmt.Errorf("--for: must be more than zero, for example 1h, not %v", c.For)}
	}
	return c.each(ctx, s, func(ctx context.Context, l laneStop) error { return c.pause(ctx, s, l) })
}

// Run lets lanes go on.
func (c *resumeCmd) Run(ctx context.Context, s streams) error {
	return c.each(ctx, s, func(ctx context.Context, l laneStop) error { return c.resume(ctx, s, l) })
}

// laneStop is one lane, how it stands, and what is needed to change that.
type laneStop struct {
	typ    string
	info   *jetstream.ConsumerInfo
	paused bool
	until  time.Time
	note   fleet.Pause // zero without one that is about this pause
	js     jetstream.JetStream
	office *fleet.Office
	trail  *audit.Trail
}

// was is how the lane stood, and who wanted it so.
func (l laneStop) was() string {
	if !l.paused {
		return "running"
	}
	text := "paused " + untilText(l.until)
	if l.note != (fleet.Pause{}) {
		text += fmt.Sprintf(", by %s %s: %s", l.note.By, ago(l.note.At), l.note.Why)
	}
	return text
}

// each goes through the lanes that were named. It tries them all.
func (c *stopping) each(ctx context.Context, s streams, do func(context.Context, laneStop) error) error {
	routes, err := c.lanes()
	if err != nil {
		return err
	}
	nc, js, err := dial(ctx, c.NATS, roles.Operator)
	if err != nil {
		return err
	}
	defer nc.Close()
	lanes, err := c.read(ctx, nc, js, routes)
	if err != nil {
		return notSetUp(err)
	}
	failed := 0
	for _, l := range lanes {
		if err := do(ctx, l); err != nil {
			if len(lanes) == 1 {
				return err
			}
			failed++
			fmt.Fprintf(s.err, "worker: %s: %s\n", l.typ, mask.Text(err.Error()))
		}
	}
	if failed > 0 {
		return exit{exitPartly, fmt.Errorf("%d of %d lanes failed", failed, len(lanes))}
	}
	return nil
}

func (c *stopping) lanes() ([]event.Route, error) {
	c.Why = mask.Text(strings.TrimSpace(c.Why))
	switch {
	case c.Why == "":
		return nil, exit{exitUsage, errors.New("--why: say why; worker status shows it")}
	case c.All == (c.Lane != ""):
		return nil, exit{exitUsage, errors.New("name a lane, or --all")}
	case c.All:
		return handlers.Routes(nil, handlers.Defaults{}), nil
	}
	return meant(c.Lane, "lane", typeOf)
}

func typeOf(r event.Route) string { return r.Type }

// read tells how lanes stand.
func (c *stopping) read(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, routes []event.Route) ([]laneStop, error) {
	office, trail := fleet.OpenOffice(nc, js, c.FleetBucket()), audit.Open(ctx, nc, js, c.Names)
	var lanes []laneStop
	for _, r := range routes {
		consumer, err := js.Consumer(ctx, c.EventsStream(), topology.Consumer(r.Type))
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, fmt.Errorf("lane %s is not set up: run worker setup first", r.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("read lane %s: %w", r.Type, err)
		}
		l := laneStop{typ: r.Type, info: consumer.CachedInfo(), js: js, office: office, trail: trail}
		l.until, l.paused = topology.Paused(l.info)
		lanes = append(lanes, l)
	}
	v, err := office.Look(ctx, time.Now())
	if err != nil {
		return nil, fmt.Errorf("read the fleet's records: %w", err)
	}
	for i, l := range lanes {
		if note := v.Pauses[l.typ]; l.paused && note.Until.Equal(l.until) {
			lanes[i].note = note
		}
	}
	return lanes, nil
}

func (c *pauseCmd) pause(ctx context.Context, s streams, l laneStop) error {
	var until time.Time
	if c.For > 0 {
		until = l.info.TimeStamp.Add(c.For) // by the server's clock
	}
	act := audit.Action{Name: "pause", What: l.typ, Before: l.was(), After: "paused " + untilText(until), Why: c.Why}
	err := l.trail.Do(ctx, act, func(ctx context.Context) (err error) {
		if until, err = topology.Pause(ctx, l.js, c.Names, l.typ, until); err != nil {
			return err
		}
		note := fleet.Pause{Why: c.Why, By: l.trail.Who().String(), Until: until}
		if err := l.office.NotePause(ctx, l.typ, note); err != nil {
			return fmt.Errorf("%s is paused, but worker status will not show why: %w", l.typ, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: %s -> %s\n", l.typ, l.was(), act.After)
	return nil
}

func (c *resumeCmd) resume(ctx context.Context, s streams, l laneStop) error {
	if !l.paused {
		fmt.Fprintf(s.err, "%s is not paused\n", l.typ)
		return nil
	}
	act := audit.Action{Name: "resume", What: l.typ, Before: l.was(), After: "running", Why: c.Why}
	err := l.trail.Do(ctx, act, func(ctx context.Context) error {
		if err := topology.Resume(ctx, l.js, c.Names, l.typ); err != nil {
			return err
		}
		return l.office.NotePause(ctx, l.typ, fleet.Pause{})
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: %s -> %s\n", l.typ, l.was(), act.After)
	return nil
}

// untilText is when a pause ends.
func untilText(until time.Time) string {
	if until.IsZero() {
		return "until resumed"
	}
	return "until " + until.UTC().Format("2006-01-02 15:04:05 UTC")
}
