package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"essworker/internal/dlq"
	"essworker/internal/mask"
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
	fmt.Fprintln(e.s.err, "worker:", text)
}

// many edits letters in stages, and stops when one of them fails again: the patch is not
// what mends the cause. Interrupted, it leaves the rest alone.
func (e *editing) many(ctx context.Context, ids []uint64) error {
	ctx, stop := quietSignals(ctx)
	defer stop()
	bar := newBar(e.s, len(ids), "editing")
	left, stored, stayed := ids, 0, 0
	for stage := 0; len(left) > 0 && ctx.Err() == nil; stage++ {
		var sent []dlq.Letter
		var lines []editLine
		for len(left) > 0 && len(sent) < editStages[min(stage, len(editStages)-1)] && ctx.Err() == nil {
			id := left[0]
			left = left[1:]
			_ = bar.Add(1)
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
			fmt.Fprintf(e.s.err, "%s put back; waiting for what becomes of it\n", letters(stored))
		}
		failed, err := e.outcomes(ctx, sent, lines)
		if err != nil || failed > 0 {
			_ = bar.Finish()
			return e.stopped(ctx, stored, failed, len(left), err)
		}
	}
	_ = bar.Finish()
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
	line, err := e.store(ctx, d)
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
			fmt.Fprintf(e.s.err, "worker: letter %d: failed again, now letter %d: %s: %s\n", line.ID, f.DeadLetter.ID, f.Reason, mask.Text(cause(f.Code, f.Message)))
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
