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
	"essworker/internal/status"
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
		if job.Over() || !rest(ctx, c.Interval) {
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

// speed is how fast a job goes, over the last half minute.
type speed struct {
	at   []time.Time
	done []int
}

func (p *speed) saw(j replay.Job) {
	now := time.Now()
	p.at, p.done = append(p.at, now), append(p.done, settledOf(j))
	for len(p.at) > 2 && now.Sub(p.at[0]) > 30*time.Second {
		p.at, p.done = p.at[1:], p.done[1:]
	}
}

// perSecond is 0 if nothing is known yet.
func (p *speed) perSecond() float64 {
	last := len(p.at) - 1
	if passed := p.at[last].Sub(p.at[0]).Seconds(); passed > 0 {
		return float64(p.done[last]-p.done[0]) / passed
	}
	return 0
}

// settledOf is how many of the letters are through, one way or another.
func settledOf(j replay.Job) int { return j.Dealt() - j.Underway() }

// job is a replay as lines that fit the width.
func (p painter) job(j replay.Job, pace speed, width int) []string {
	colour := text.FgGreen
	switch j.State {
	case replay.Stopped:
		colour = text.FgRed
	case replay.Holding, replay.Paused, replay.Cancelled, replay.Waiting:
		colour = text.FgYellow
	case replay.Canary, replay.Running, replay.Done:
	}
	done := settledOf(j)
	lines := []string{fmt.Sprintf("%s  %s  %s", j.ID, p.paint(colour, string(j.State)), p.orders(j))}
	tail := fmt.Sprintf(" %d of %d", done, j.Letters)
	if !j.Over() {
		if rate := pace.perSecond(); rate > 0 {
			tail += fmt.Sprintf(", %.3g/s, %s left", rate, span(time.Duration(float64(j.Letters-done)/rate*float64(time.Second))))
		}
	} else if !j.Started.IsZero() {
		tail += ", in " + span(j.Finished.Sub(j.Started))
	}
	lines = append(lines, meter(done, j.Letters, min(40, max(10, width-len(tail)-2)))+tail)
	lines = append(lines, results(j))
	if j.Note != "" {
		lines = append(lines, wrap(printable(j.Note), width)...)
	}
	for i, c := range j.Seen.Causes {
		if i == mostShown {
			lines = append(lines, fmt.Sprintf("  … and %d more causes", len(j.Seen.Causes)-i))
			break
		}
		lines = append(lines, printable(fmt.Sprintf("  %d failed again: %s %s, group %s, %s", c.Count, c.Reason, c.Code, c.Group, c.Type)))
	}
	for i, line := range lines[1:] {
		lines[i+1] = text.Snip(line, width, "…")
	}
	return lines
}

// mostShown is how many causes a screen has room for.
const mostShown = 5

func (p painter) orders(j replay.Job) string {
	by := j.Orders.By + ", " + ago(j.Created)
	if j.Orders.Why != "" {
		by += ": " + j.Orders.Why
	}
	return text.Snip(printable(by), 50, "…")
}

// meter is so much of the whole, in plain characters.
func meter(done, whole, width int) string {
	n := width
	if whole > 0 {
		n = min(width, done*width/whole)
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}

// results counts what became of a job's letters.
func results(j replay.Job) string {
	parts := []string{fmt.Sprintf("%d succeeded", j.Seen.Succeeded)}
	refused := 0
	for _, n := range j.Seen.Refused {
		refused += n
	}
	for _, c := range []struct {
		n    int
		what string
	}{
		{j.Seen.Failed, "failed again"},
		{j.Underway(), "under way"},
		{j.Seen.Unknown, "left no trace"},
		{refused, "not eligible"},
		{j.Seen.Gone, "gone before"},
		{j.Seen.Trouble, "not stored"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

// sentence is a replay in one line.
func sentence(j replay.Job) string {
	state := string(j.State)
	if asked := j.Asked(); asked != "" {
		state += ", to be " + string(asked)
	}
	line := fmt.Sprintf("%s %s: %d of %d letters, %s", j.ID, state, settledOf(j), j.Letters, results(j))
	if j.Note != "" {
		line += "; " + printable(j.Note)
	}
	return line
}

// await stays with a job until its events are stored, or with --wait until it is over.
// Where the job can only wait it leaves, and says so.
func (c *dlqReplayCmd) await(ctx context.Context, s streams, d desk, job replay.Job) (replay.Job, error) {
	interval := 50 * time.Millisecond
	line := newProgress(s.err)
	defer line.clear()
	var told replay.State
	for {
		enough := job.Stored()
		if c.Wait {
			enough = job.Over()
		}
		if enough {
			return job, nil
		}
		if job.State != told && job.State == replay.Holding {
			fmt.Fprintf(s.err, "worker: job %s holds: %s; it goes on by itself\n", job.ID, printable(job.Note))
			if !c.Wait && strings.HasSuffix(job.Note, string(status.NoWorker)) {
				return job, leave(job, "waits for a worker")
			}
		}
		told = job.State
		if !rest(ctx, interval) {
			return job, leave(job, "goes on without this terminal")
		}
		var err error
		if job, err = again(ctx, d, job); err != nil && ctx.Err() == nil {
			fmt.Fprintln(s.err, "worker:", mask.Text(err.Error()))
		}
		line.show(job.ID+" "+string(job.State), settledOf(job), job.Letters)
		interval = min(interval*11/10, 500*time.Millisecond)
	}
}

// leave is how a command ends whose job does not.
func leave(job replay.Job, how string) error {
	return exit{exitPartly, fmt.Errorf("%d of %d letters are replayed; job %s %s: worker dlq watch %s", job.Seen.Stored, job.Letters, job.ID, how, job.ID)}
}
