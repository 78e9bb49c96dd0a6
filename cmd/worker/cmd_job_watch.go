package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"essworker/internal/mask"
	"essworker/internal/replay"
)

type dlqWatchCmd struct {
	client
	Job      string        `arg:"" optional:"" name:"JOB" help:"The replay, as worker dlq jobs lists it; without one, the newest that goes on."`
	Interval time.Duration `default:"500ms" help:"How often to look." placeholder:"DURATION"`
	JSON     bool          `help:"One JSON object a line, each time something has changed."`
}

// Run shows a replay until it is over or this is interrupted; the replay itself does not
// mind who looks.
func (c *dlqWatchCmd) Run(ctx context.Context, s streams) error {
	if c.Interval < shortestInterval {
		return exit{exitUsage, fmt.Errorf("--interval: must be %v or more, not %v", shortestInterval, c.Interval)}
	}
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.nc.Close()
	job, err := c.choose(ctx, d)
	if err != nil {
		return err
	}
	ctx, stop := quietSignals(ctx)
	defer stop()
	show := c.follow
	if !c.JSON && isTerminal(s.out) && os.Getenv("TERM") != "dumb" {
		show = c.redraw
	}
	return show(ctx, s, d, job)
}

func (c *dlqWatchCmd) choose(ctx context.Context, d desk) (replay.Job, error) {
	if c.Job != "" {
		job, err := d.office.Get(ctx, c.Job)
		return job, noJob(err)
	}
	jobs, err := d.office.List(ctx)
	if err != nil {
		return replay.Job{}, err
	}
	for _, j := range jobs {
		if !j.Over() {
			return j, nil
		}
	}
	if len(jobs) > 0 {
		return jobs[0], nil
	}
	return replay.Job{}, exit{exitNoMatch, errors.New("there are no replays: worker dlq replay begins one")}
}

// follow prints a line each time something has changed.
func (c *dlqWatchCmd) follow(ctx context.Context, s streams, d desk, job replay.Job) error {
	var last string
	for {
		if line := sentence(job); line != last {
			last = line
			var err error
			if c.JSON {
				err = printJSON(s.out, jobLineOf(job))
			} else {
				_, err = fmt.Fprintln(s.out, line)
			}
			if err != nil {
				return err
			}
		}
		if job.Over() {
			printNext(s.err, job)
			return nil
		}
		if !rest(ctx, c.Interval) {
			return nil
		}
		var trouble error
		if job, trouble = again(ctx, d, job); trouble != nil {
			fmt.Fprintln(s.err, "worker:", mask.Text(trouble.Error()))
		}
	}
}

// rest waits, and reports whether to look again then: not if ctx has ended.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// again looks once more; if that fails, the job is as it was.
func again(ctx context.Context, d desk, job replay.Job) (replay.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	now, err := d.office.Get(ctx, job.ID)
	if err != nil {
		return job, err
	}
	return now, nil
}

// redraw draws the job over itself until it is over.
func (c *dlqWatchCmd) redraw(ctx context.Context, s streams, d desk, job replay.Job) error {
	pace := speed{}
	drawn := 0
	var trouble error
	for {
		pace.saw(job)
		lines := painter(colourful(s.out)).job(job, pace, windowOf(s.out).width)
		if trouble != nil {
			lines = append(lines, text.Snip("! "+printable(mask.Text(trouble.Error())), windowOf(s.out).width, "…"))
		}
		var b strings.Builder
		if drawn > 0 {
			fmt.Fprintf(&b, "\x1b[%dA", drawn)
		}
		for _, line := range lines {
			b.WriteString("\r" + clearLine + line + "\n")
		}
		b.WriteString(clearRest)
		if _, err := s.out.Write([]byte(b.String())); err != nil {
			return err
		}
		drawn = len(lines)
		if job.Over() || !rest(ctx, c.Interval) {
			return nil
		}
		job, trouble = again(ctx, d, job)
	}
}
