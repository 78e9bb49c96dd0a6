package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"essworker/internal/audit"
	"essworker/internal/mask"
	"essworker/internal/replay"
	"essworker/internal/status"
)

// replayLine is one line of dlq replay --json.
type replayLine struct {
	ID        uint64 `json:"id"`
	EventID   string `json:"eventId"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Outcome   string `json:"outcome"` // of replay without --wait: stored
	Error     string `json:"error,omitempty"`
}

// replayLineOf is what became of a letter: of its event too, if outcomes are asked for.
func replayLineOf(sent replay.Sent, outcomes bool) replayLine {
	line := replayLine{ID: sent.ID, EventID: sent.EventID, Seq: sent.Seq, Duplicate: sent.Twice, Outcome: "stored", Error: sent.Error}
	switch {
	case sent.Refused != "":
		line.Outcome, line.Error = "not replayed", sent.Refused.Means()
	case sent.Outcome == replay.Gone:
		line.Outcome, line.Error = "not replayed", "no such letter any more"
	case sent.Outcome == replay.NotStored:
		line.Outcome = "not replayed"
	case outcomes && sent.Outcome == "":
		line.Outcome = "under way"
	case outcomes:
		line.Outcome = string(sent.Outcome)
	}
	return line
}

// start makes the plan a job and stays with it until its events are stored, or with
// --wait until their outcomes are known. Where no worker takes the job, this command
// runs it, as any worker would.
func (c *dlqReplayCmd) start(ctx context.Context, s streams, d desk, plan replay.Plan, orders replay.Orders) error {
	job := replay.Draft(plan, orders)
	act := audit.Action{Name: "letters.replay", What: lettersNamed(c.orders(plan)), Count: plan.Eligible, After: job.ID, Why: c.Why}
	if err := d.trail.Do(ctx, act, func(ctx context.Context) error { return d.office.Create(ctx, job) }); err != nil {
		return unclear(err, job.ID)
	}
	ctx, stop := quietSignals(ctx)
	defer stop()
	work, leave := context.WithCancel(ctx)
	left := make(chan struct{})
	go func() {
		defer close(left)
		stand(work, d, job)
	}()
	defer func() { leave(); <-left }()
	job, err := c.await(ctx, s, d, job)
	if err != nil {
		return err
	}
	if c.Wait {
		fmt.Fprintf(s.err, "%s stored\n", counted(uint64(job.Seen.Stored), "event")) //nolint:gosec // a count
	}
	return c.tell(ctx, s, d, job, len(plan.Missing))
}

// stand runs a job that no worker takes.
func stand(ctx context.Context, d desk, job replay.Job) {
	runner := replay.Runner{Office: d.office, Name: "cli " + workerName(), Log: slog.New(slog.DiscardHandler)}
	wait := takeWait
	if job.Small() {
		wait = 0
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if j, err := d.office.Get(ctx, job.ID); err == nil && j.Over() {
			return
		}
		_ = runner.Run(ctx, job.ID) // what was cut off is taken up again, here or elsewhere
		wait = takeWait
	}
}

// takeWait is how long a command waits for a worker to take its job.
const takeWait = 2 * time.Second

func (c *dlqReplayCmd) tell(ctx context.Context, s streams, d desk, job replay.Job, missing int) error {
	seen := job.Seen
	failed := missing + seen.Trouble
	if c.Wait {
		failed += seen.Failed + seen.Unknown
	}
	if len(c.ids) > 0 {
		failed += job.Dealt() - seen.Stored - seen.Trouble
	}
	if c.JSON || job.Dealt() <= mostLines {
		if err := printLetters(ctx, s, d, job, c.JSON, c.Wait); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.out, "%s\nworker dlq jobs %s lists its letters\n", sentence(job), job.ID)
	}
	switch {
	case job.State == replay.Stopped, job.State == replay.Cancelled:
		say(s.err, sentence(job))
		printNext(s.err, job)
		return exit{exitPartly, fmt.Errorf("job %s is %s", job.ID, job.State)}
	case failed > 0:
		return exit{exitPartly, fmt.Errorf("%d of %d failed", failed, job.Letters+missing)}
	}
	return nil
}

// mostLines is how many letters are printed one by one.
const mostLines = 50

func printLetters(ctx context.Context, s streams, d desk, job replay.Job, asJSON, outcomes bool) error {
	list := newListing(s.out, asJSON, column{"letter", 0}, column{"event", 32}, column{"stored as", 0}, column{"outcome", 0})
	for sent, err := range d.office.Report(ctx, job) {
		if err != nil {
			return err
		}
		line := replayLineOf(sent, outcomes)
		outcome := line.Outcome
		if line.Error != "" {
			outcome += ": " + line.Error
		}
		if err := list.add(line, line.ID, line.EventID, line.Seq, outcome); err != nil {
			return err
		}
	}
	return list.end(s.err, "nothing was replayed")
}

// await stays with a job until its events are stored, or with --wait until it is over.
// Where the job can only wait it leaves, and says so.
func (c *dlqReplayCmd) await(ctx context.Context, s streams, d desk, job replay.Job) (replay.Job, error) {
	interval := 50 * time.Millisecond
	line := newProgress(s.err)
	defer line.clear()
	told := map[string]bool{"": true} // notes
	for {
		if !told[job.Note] && !job.Over() {
			told[job.Note] = true
			line.clear()
			say(s.err, fmt.Sprintf("worker: job %s is %s: %s", job.ID, job.State, printable(job.Note)))
		}
		enough := job.Stored()
		if c.Wait {
			enough = job.Over()
		}
		if enough {
			return job, nil
		}
		if job.State == replay.Holding && !c.Wait && strings.HasSuffix(job.Note, string(status.NoWorker)) {
			return job, leave(job, "waits for a worker")
		}
		if !rest(ctx, interval) {
			return job, leave(job, "goes on without this terminal")
		}
		var err error
		if job, err = again(ctx, d, job); err != nil && ctx.Err() == nil {
			line.clear()
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
