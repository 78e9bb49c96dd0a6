package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/nats-io/nats.go"

	"essworker/internal/doctor"
	"essworker/internal/essapi"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/roles"
	"essworker/internal/topology"
)

type doctorCmd struct {
	NATS     natsconn.Config   `embed:"" group:"NATS"`
	Topology topology.Config   `embed:"" group:"Streams"`
	Vendor   vendorAsFound     `embed:"" group:"Vendor"`
	Defaults handlers.Defaults `embed:"" group:"Vendor"`
	NoVendor bool              `help:"Leave the vendor out. Else each action is called once, about nobody, which uses one call of its quota."`
	Monitor  []*url.URL        `env:"NATS_MONITOR" help:"Monitoring of the NATS servers, as in http://host:8222: tells how they sync." placeholder:"URL"`
	Timeout  time.Duration     `default:"5s" help:"Longest wait for one answer." placeholder:"DURATION"`
	JSON     bool              `help:"One JSON object a line."`
}

// vendorAsFound are the vendor's settings without their Validate: that a key is
// missing is what the doctor is asked for, not wrong usage.
type vendorAsFound essapi.Config

// Validate names the first flag that cannot work.
func (c *doctorCmd) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout: must be more than zero, for example 5s")
	}
	for _, u := range c.Monitor {
		if err := doctor.CheckMonitor(u); err != nil {
			return fmt.Errorf("--monitor: %w", err)
		}
	}
	return nil
}

// Run examines everything and prints a verdict a line. It changes nothing.
func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	ctx, stop := quietSignals(ctx)
	defer stop()
	d := doctor.Doctor{
		Connect: c.connect, Topology: c.Topology, Routes: handlers.Routes(nil, c.Defaults), Monitors: c.Monitor, Patience: c.Timeout,
	}
	if !c.NoVendor {
		d.Vendor = &doctor.Vendor{Config: essapi.Config(c.Vendor), Operator: c.Defaults.Operator, AppID: c.Defaults.AppID}
	}
	seen := map[doctor.Verdict]int{}
	var failed error
	d.Examine(ctx, func(f doctor.Finding) {
		seen[f.Verdict]++
		failed = cmp.Or(failed, printFinding(s.out, f, c.JSON))
	})
	if failed != nil || ctx.Err() != nil {
		return cmp.Or(failed, context.Cause(ctx))
	}
	return verdict(s.err, seen)
}

// connect is how the worker connects, but for its patience.
func (c *doctorCmd) connect(ctx context.Context) (*nats.Conn, error) {
	return natsconn.Connect(ctx, c.NATS, natsconn.Options{
		Name: "essworker doctor " + workerName(), InboxPrefix: inboxOf(c.NATS, roles.Worker), Log: slog.New(slog.DiscardHandler), NoRetry: true,
	})
}

// verdict sums up: a note, or the error if something is bad.
func verdict(note io.Writer, seen map[doctor.Verdict]int) error {
	sum := fmt.Sprintf("%d ok, %d to look at, %d bad", seen[doctor.OK], seen[doctor.Warn], seen[doctor.Bad])
	if seen[doctor.Bad] > 0 {
		return errors.New(sum)
	}
	_, err := fmt.Fprintln(note, sum)
	return err
}

// What stands before the text of a finding and before its advice.
const (
	findingMargin = "      "
	adviceMargin  = findingMargin + "   "
)

// printFinding prints as much as there is: advice that is cut off helps nobody.
func printFinding(out io.Writer, f doctor.Finding, asJSON bool) error {
	if asJSON {
		return printJSON(out, f)
	}
	block := hang(out, fmt.Sprintf("%-*s", len(findingMargin), f.Verdict), findingMargin, f.Check+": "+f.Found)
	if f.Advice != "" {
		block += "\n" + hang(out, findingMargin+"-> ", adviceMargin, f.Advice)
	}
	_, err := fmt.Fprintln(out, block)
	return err
}

// hang breaks a text to the width of the terminal: behind head the first line, behind
// margin, which is as wide, the others.
func hang(out io.Writer, head, margin, s string) string {
	room := max(minLast, min(width(out), widest)-len(margin))
	lines := strings.Split(text.WrapSoft(printable(s), room), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return head + strings.Join(lines, "\n"+margin)
}
