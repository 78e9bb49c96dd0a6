package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"essworker/internal/dlq"
	"essworker/internal/mask"
	"essworker/internal/patch"
)

// editStages is how many letters are edited together, one stage after the other; the last
// goes on. What they cost while nobody knows whether the patch is right is one call.
var editStages = [...]int{1, 5, 20}

// fewDrafts is how many edits a plan shows, and how many letters it says to stay, and why.
const fewDrafts = 5

// plan shows what a patch makes of several letters, and how to have it done.
func (e *editing) plan(ctx context.Context, ids []uint64, sel picked) error {
	fit, stay := 0, 0
	for _, id := range ids {
		d, err := e.draft(ctx, id)
		switch {
		case err == nil:
			if fit++; fit <= fewDrafts {
				e.show(d)
			}
		case ctx.Err() != nil:
			return err
		default:
			if stay++; stay <= fewDrafts {
				e.stays(id, err)
			}
		}
	}
	if fit == 0 {
		return fmt.Errorf("none of %s can be edited so", letters(len(ids)))
	}
	if stay > 0 {
		fmt.Fprintf(e.s.err, "%s would stay\n", letters(stay))
	}
	words := append([]string{"worker dlq edit"}, sel.words()...)
	words = append(words, "--patch", shellQuote(e.cmd.Patch), "--why", shellQuote(e.cmd.Why))
	if e.cmd.Force {
		words = append(words, "--force")
	}
	fmt.Fprintf(e.s.err, "%s would be put back edited. Nothing was done. To do it:\n  %s --yes\n", letters(fit), strings.Join(words, " "))
	return nil
}

// stays says why a letter is not edited.
func (e *editing) stays(id uint64, why error) {
	text := mask.Text(why.Error())
	if !strings.HasPrefix(text, fmt.Sprintf("letter %d: ", id)) {
		text = fmt.Sprintf("letter %d: %s", id, text)
	}
	e.say("worker: " + text)
}

// say prints a line in place of the bar, which comes again by itself.
func (e *editing) say(line string) {
	if e.bar != nil {
		_ = e.bar.Clear() // what cannot be cleared stands above the line
	}
	fmt.Fprintln(e.s.err, line)
}

// many edits several letters, which is one change on record.
func (e *editing) many(ctx context.Context, ids []uint64, sel picked) error {
	ctx, stop := quietSignals(ctx)
	defer stop()
	e.bar = newBar(e.s, len(ids), "editing")
	act := e.action(sel.what(), len(ids), patch.Changes([]byte("{}"), e.change))
	return e.trail.Do(ctx, act, func(ctx context.Context) error { return e.stages(ctx, ids) })
}

// stages edits letters in stages, and stops when one of them fails again: the patch is not
// what mends the cause. Interrupted, it leaves the rest alone.
func (e *editing) stages(ctx context.Context, ids []uint64) error {
	defer func() { _ = e.bar.Finish() }()
	left, stored, stayed := ids, 0, 0
	for stage := 0; len(left) > 0 && ctx.Err() == nil; stage++ {
		var sent []dlq.Letter
		var lines []editLine
		for len(left) > 0 && len(sent) < editStages[min(stage, len(editStages)-1)] && ctx.Err() == nil {
			id := left[0]
			left = left[1:]
			_ = e.bar.Add(1) // a bar that cannot be drawn is no reason to stop
			line, l, err := e.put(context.WithoutCancel(ctx), id)
			if err != nil {
				stayed++
				e.stays(id, err)
				continue
			}
			sent, lines = append(sent, l), append(lines, line)
		}
		stored += len(sent)
		if stage < len(editStages)-1 && len(sent) > 0 {
			e.say(letters(stored) + " put back; waiting for what becomes of it (Ctrl-C leaves the rest)")
		}
		failed, err := e.outcomes(ctx, sent, lines)
		if err != nil || failed > 0 {
			return e.stopped(ctx, stored, failed, len(left), err)
		}
	}
	_ = e.bar.Finish()
	if !e.cmd.JSON && stored > 0 {
		fmt.Fprintf(e.s.out, "%s put back edited and succeeded\n", letters(stored))
	}
	switch {
	case ctx.Err() != nil:
		return e.stopped(ctx, stored, 0, len(left), nil)
	case stayed > 0:
		return exit{exitPartly, fmt.Errorf("%d of %d were not edited", stayed, len(ids))}
	}
	return nil
}

// put edits one letter and puts it back.
func (e *editing) put(ctx context.Context, id uint64) (editLine, dlq.Letter, error) {
	d, err := e.draft(ctx, id)
	if err != nil {
		return editLine{}, d.Letter, err
	}
	line, err := e.putBack(ctx, d)
	return line, d.Letter, err
}

// outcomes waits for what becomes of edits and tells it, and how many have failed.
func (e *editing) outcomes(ctx context.Context, sent []dlq.Letter, lines []editLine) (failed int, err error) {
	failures, err := e.box.EditsEnd(ctx, resultsOf, sent...)
	if err != nil {
		return 0, err
	}
	for _, line := range lines {
		line.Outcome = "succeeded"
		if f, bad := failures[line.ID]; bad {
			line.Outcome = "failed"
			e.say(fmt.Sprintf("worker: letter %d: failed again, now letter %d: %s: %s", line.ID, f.DeadLetter.ID, f.Reason, mask.Text(cause(f.Code, f.Message))))
		}
		if e.cmd.JSON {
			if err := printJSON(e.s.out, line); err != nil {
				return 0, err
			}
		}
	}
	return len(failures), nil
}

// stopped says how far the editing of several letters came.
func (e *editing) stopped(ctx context.Context, stored, failed, left int, err error) error {
	switch {
	case failed > 0:
		err = fmt.Errorf("stopped: %d of the edited events failed again", failed)
	case ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	return exit{exitPartly, fmt.Errorf("%w; %s put back, %d left alone", err, letters(stored), left)}
}

// resultsOf are the types of an event type's results.
func resultsOf(typ string) (success, failure string) {
	r := routeOf(typ)
	return r.Success, r.Failure
}
