// Command peers puts the same load through three workers that do the same job, one after
// the other, and prints a table of how they compare: essworker as it is deployed, a loop
// written by hand on the NATS client, and Watermill with its router and middlewares.
//
//	cd bench && go run ./peers --rounds 3
//
// Its one rule: everybody meets the same conditions. Each trial has a fresh NATS server, a
// fresh simulator and a fresh worker, each a process of its own; the workers take turns,
// in another order each round; what is compared is the ratio to the hand-written loop
// within a round, and what is printed the median of the rounds.
//
// It is a module of its own, so that what only the comparison needs is no part of the
// worker's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// contestants are the workers compared, the measure of all first.
var contestants = []string{byHand, ours, watermillName}

const (
	byHand        = "loop"
	ours          = "essworker"
	watermillName = "watermill"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1) //nolint:forbidigo // main ends the process
	}
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) > 0 && args[0] == "be" { // we are one of the contestants
		return be(ctx, args[1:], out)
	}
	p, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if p.dir, err = os.MkdirTemp(p.dir, "essworker-peers-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(p.dir) }() //nolint:gosec // the system clears its temporary folder in the end
	if p.worker, err = build(ctx, p.dir, errOut); err != nil {
		return err
	}
	results, err := p.all(ctx, errOut)
	if err != nil {
		return err
	}
	return tables(out, p, results)
}

// build makes the worker with its own module's versions of everything, not with ours.
func build(ctx context.Context, dir string, errOut io.Writer) (path string, err error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "essworker")
	list.Stderr = errOut
	home, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("find the worker's module (run this in the folder bench): %w", err)
	}
	path = filepath.Join(dir, "worker")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "./cmd/worker") //nolint:gosec // into our own folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")                                         // as the image has it
	cmd.Dir, cmd.Stderr = strings.TrimSpace(string(home)), errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the worker: %w", err)
	}
	return path, nil
}

// plan is what is to be measured.
type plan struct {
	rounds      int
	backlogs    []int    // throughput: so many events waiting
	rate        float64  // latency: events a second
	seconds     int      // latency: for so long
	syncs       []string // the server's: default, always
	only        []string // the contestants
	concurrency int
	dir         string // for stores and logs
	worker      string // path of our program
}

func parse(args []string, errOut io.Writer) (*plan, error) {
	p := &plan{}
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.IntVar(&p.rounds, "rounds", 3, "how often each is measured")
	backlogs := flags.String("events", "20000,200000", "throughput: how many events are waiting, one trial each")
	flags.Float64Var(&p.rate, "rate", 50, "latency: events a second; 0 leaves it out")
	flags.IntVar(&p.seconds, "seconds", 20, "latency: for how long")
	syncs := flags.String("sync", "default,always", "when the NATS server syncs")
	only := flags.String("only", strings.Join(contestants, ","), "who is measured; the ratios are to the first")
	flags.IntVar(&p.concurrency, "concurrency", 64, "calls in flight")
	flags.StringVar(&p.dir, "dir", "", "where the server stores, a folder on the disk to be measured (default: the system's temporary one)")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	for text := range strings.SplitSeq(*backlogs, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-events: %q is no number of events", text)
		}
		p.backlogs = append(p.backlogs, n)
	}
	p.syncs, p.only = strings.Split(*syncs, ","), strings.Split(*only, ",")
	for _, s := range p.syncs {
		if s != "default" && s != "always" {
			return nil, fmt.Errorf("-sync: must be default or always, not %q", s)
		}
	}
	for _, c := range p.only {
		if !slices.Contains(contestants, c) {
			return nil, fmt.Errorf("-only: there is no %q: use %s", c, strings.Join(contestants, ","))
		}
	}
	if p.rounds < 1 || p.concurrency < 1 || p.seconds < 1 || p.rate < 0 {
		return nil, errors.New("-rounds, -concurrency and -seconds must be at least 1, -rate at least 0")
	}
	return p, nil
}

// be is this program as a contestant: its name and where everything is.
func be(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 4 {
		return errors.New("be: takes NAME NATS-URL VENDOR-URL CONCURRENCY")
	}
	concurrency, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	j := job{nats: args[1], vendor: newVendor(args[2], concurrency), concurrency: concurrency}
	switch args[0] {
	case byHand:
		return j.loop(ctx, out)
	case watermillName:
		return j.watermill(ctx, out)
	}
	return fmt.Errorf("be: there is no %q", args[0])
}
