package main

import (
	"context"
	"fmt"

	"essworker/internal/audit"
	"essworker/internal/handlers"
	"essworker/internal/mask"
	"essworker/internal/reconcile"
	"essworker/internal/roles"
)

type dlqCheckCmd struct {
	client
	Fix    bool   `help:"Mend what can be mended."`
	Source string `default:"/essworker" env:"WORKER_SOURCE" help:"CloudEvents source of the results that --fix publishes." placeholder:"URI"`
	JSON   bool   `help:"One JSON object a line for each finding."`
}

// Help says what is compared.
func (dlqCheckCmd) Help() string {
	return `It finds failure results whose letter is gone without a trace, letters whose event has
succeeded, letters without their failure result, and events handed out long ago that
have their result. What looks odd is looked at twice: work goes on meanwhile.`
}

// findingLine is one line of dlq check --json.
type findingLine struct {
	reconcile.Finding
	Text  string `json:"text"`
	Fixed bool   `json:"fixed"`
}

// Run compares, and mends if it is told to.
func (c *dlqCheckCmd) Run(ctx context.Context, s streams) error {
	nc, js, err := dial(ctx, c.NATS, roles.Operator)
	if err != nil {
		return err
	}
	defer nc.Close()
	checker, err := reconcile.Open(ctx, js, c.Names, handlers.Routes(nil, handlers.Defaults{}), c.Source)
	if err != nil {
		return notSetUp(err)
	}
	found, err := checker.Check(ctx)
	if err != nil {
		return err
	}
	trail := audit.Open(ctx, nc, js, c.Names)
	left, mendable := 0, 0
	for _, f := range found {
		line := findingLine{f, stranded(f), false}
		if c.Fix && f.Mends != "" {
			act := audit.Action{Name: "letters.mend", What: subjectOf(f), Why: "worker dlq check --fix: " + line.Text}
			if err := trail.Do(ctx, act, func(ctx context.Context) error { return checker.Mend(ctx, f) }); err != nil {
				fmt.Fprintln(s.err, "worker:", mask.Text(err.Error()))
			} else {
				line.Fixed = true
			}
		}
		if !line.Fixed {
			left++
		}
		if !line.Fixed && f.Mends != "" {
			mendable++
		}
		if err := c.print(s, line); err != nil {
			return err
		}
	}
	return verdictOf(s, len(found), left, mendable, c.Fix)
}

func (c *dlqCheckCmd) print(s streams, line findingLine) error {
	if c.JSON {
		return printJSON(s.out, line)
	}
	text := line.Text
	switch {
	case line.Fixed:
		text += ": mended"
	case line.Mends != "":
		text += "; --fix " + line.Mends
	}
	_, err := fmt.Fprintln(s.out, hang(s.out, "", "  ", text))
	return err
}

// subjectOf is what a finding is about.
func subjectOf(f reconcile.Finding) string {
	if f.Kind == reconcile.EventDone {
		return fmt.Sprintf("event %d", f.Seq)
	}
	return fmt.Sprintf("letter %d", f.Letter)
}

// stranded is a finding in words.
func stranded(f reconcile.Finding) string {
	about := fmt.Sprintf("%s %s from %s", f.Type, f.Event, f.Source)
	if f.Event == "" {
		about = f.Type + " that could not be read"
	}
	switch f.Kind {
	case reconcile.LetterGone:
		return fmt.Sprintf("letter %d is gone and nothing tells what became of it (%s): look for it in dlq log and in exports", f.Letter, about)
	case reconcile.LetterDone:
		if f.By != f.Event {
			return fmt.Sprintf("letter %d is about %s, whose edit %s has succeeded", f.Letter, about, f.By)
		}
		return fmt.Sprintf("letter %d is about %s, which has succeeded", f.Letter, about)
	case reconcile.NoResult:
		return fmt.Sprintf("letter %d has no failure result (%s)", f.Letter, about)
	case reconcile.EventDone:
		return fmt.Sprintf("event %d has its result and was not acknowledged (%s)", f.Seq, about)
	}
	return string(f.Kind)
}

// verdictOf sums up: a note, or the error if something is left.
func verdictOf(s streams, found, left, mendable int, fix bool) error {
	switch {
	case found == 0:
		fmt.Fprintln(s.err, "nothing is stranded")
	case left == 0:
		fmt.Fprintf(s.err, "%d stranded, all mended\n", found)
	case mendable > 0 && !fix:
		return exit{exitPartly, fmt.Errorf("%d stranded; --fix mends %d of them", found, mendable)}
	default:
		return exit{exitPartly, fmt.Errorf("%d stranded, %d of them left", found, left)}
	}
	return nil
}
