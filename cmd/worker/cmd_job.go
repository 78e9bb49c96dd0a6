package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"essworker/internal/audit"
	"essworker/internal/replay"
)

// jobLine is a replay with --json.
type jobLine struct {
	ID          string                 `json:"id"`
	State       replay.State           `json:"state"`
	Note        string                 `json:"note,omitempty"`
	Created     time.Time              `json:"created"`
	Started     *time.Time             `json:"started"`
	Finished    *time.Time             `json:"finished"`
	By          string                 `json:"by"`
	Why         string                 `json:"why,omitempty"`
	Letters     int                    `json:"letters"`
	Eligible    int                    `json:"eligible"`
	Stored      int                    `json:"stored"`
	Succeeded   int                    `json:"succeeded"`
	Failed      int                    `json:"failed"`
	Unknown     int                    `json:"unknown"`
	Underway    int                    `json:"underway"`
	Gone        int                    `json:"gone"`
	NotReplayed int                    `json:"notReplayed"`
	Refused     map[replay.Verdict]int `json:"refused"`
	Causes      []replay.Cause         `json:"causes"`
	Rate        float64                `json:"rate"`
	StopAt      float64                `json:"stopAt"`
	Force       bool                   `json:"force"`
	Runner      string                 `json:"runner,omitempty"`
}

func jobLineOf(j replay.Job) jobLine {
	line := jobLine{
		j.ID, j.State, j.Note, j.Created, given(j.Started), given(j.Finished), j.Orders.By, j.Orders.Why, j.Letters, j.Eligible,
		j.Seen.Stored, j.Seen.Succeeded, j.Seen.Failed, j.Seen.Unknown, j.Underway(), j.Seen.Gone, j.Seen.Trouble,
		j.Seen.Refused, j.Seen.Causes, j.Orders.Rate, j.Orders.StopAt, j.Orders.Force, j.Runner,
	}
	if line.Refused == nil {
		line.Refused = map[replay.Verdict]int{}
	}
	if line.Causes == nil {
		line.Causes = []replay.Cause{}
	}
	return line
}

type dlqJobsCmd struct {
	client
	Job  string `arg:"" optional:"" name:"JOB" help:"The letters of this one: what became of each."`
	JSON bool   `help:"One JSON object a line."`
}

// Run lists replays, the newest first, or the letters of one.
func (c *dlqJobsCmd) Run(ctx context.Context, s streams) error {
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.nc.Close()
	if c.Job != "" {
		job, err := d.office.Get(ctx, c.Job)
		if err != nil {
			return noJob(err)
		}
		if err := printLetters(ctx, s, d, job, c.JSON, true); err != nil {
			return err
		}
		say(s.err, sentence(job))
		printNext(s.err, job)
		return nil
	}
	jobs, err := d.office.List(ctx)
	if err != nil {
		return notSetUp(err)
	}
	list := newListing(s.out, c.JSON, column{"job", 0}, column{"state", 0}, column{"begun", 8}, column{"letters", 0},
		column{"succeeded", 0}, column{"failed", 0}, column{"by", 16}, column{"note", 0})
	for _, j := range jobs {
		if err := list.add(jobLineOf(j), j.ID, j.State, ago(j.Created), j.Letters, j.Seen.Succeeded, j.Seen.Failed, j.Orders.By, cmp.Or(j.Note, j.Orders.Why)); err != nil {
			return err
		}
	}
	return list.end(s.err, "no replays")
}

func noJob(err error) error {
	if errors.Is(err, replay.ErrNoJob) {
		return exit{exitNoMatch, fmt.Errorf("%w: worker dlq jobs lists what there is", err)}
	}
	return err
}

// unclear says how to learn what nobody has answered.
func unclear(err error, job string) error {
	if errors.Is(err, replay.ErrUnclear) {
		return fmt.Errorf("%w; see worker dlq watch %s", err, job)
	}
	return err
}

// jobChange is what pause, resume and cancel of a replay have in common.
type jobChange struct {
	client
	Job string `arg:"" name:"JOB" help:"The replay, as worker dlq jobs lists it."`
	Why string `required:"" help:"Why; worker dlq watch shows it, and the audit records keep it." placeholder:"TEXT"`
}

func (c jobChange) change(ctx context.Context, s streams, name string, do func(o *replay.Office, by string) (replay.Job, error)) error {
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.nc.Close()
	was, err := d.office.Get(ctx, c.Job)
	if err != nil {
		return noJob(err)
	}
	var job replay.Job
	act := audit.Action{Name: "job." + name, What: c.Job, Count: was.Letters - was.Dealt(), Before: string(was.State), After: name, Why: c.Why}
	err = d.trail.Do(ctx, act, func(context.Context) (err error) {
		job, err = do(d.office, d.trail.Who().String())
		return err
	})
	if err != nil {
		return unclear(err, c.Job)
	}
	fmt.Fprintln(s.out, sentence(job))
	return nil
}

type (
	dlqPauseCmd  struct{ jobChange }
	dlqResumeCmd struct{ jobChange }
	dlqCancelCmd struct{ jobChange }
)

// Run stops a replay where it stands; what is under way is seen through.
func (c *dlqPauseCmd) Run(ctx context.Context, s streams) error {
	return c.change(ctx, s, "pause", func(o *replay.Office, by string) (replay.Job, error) { return o.Pause(ctx, c.Job, by, c.Why) })
}

// Run lets a replay go on, beginning with a canary again.
func (c *dlqResumeCmd) Run(ctx context.Context, s streams) error {
	return c.change(ctx, s, "resume", func(o *replay.Office, by string) (replay.Job, error) { return o.Resume(ctx, c.Job, by, c.Why) })
}

// Run ends a replay.
func (c *dlqCancelCmd) Run(ctx context.Context, s streams) error {
	return c.change(ctx, s, "cancel", func(o *replay.Office, by string) (replay.Job, error) { return o.Cancel(ctx, c.Job, by, c.Why) })
}
