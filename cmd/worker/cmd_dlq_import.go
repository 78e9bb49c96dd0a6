package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"

	"essworker/internal/audit"
	"essworker/internal/dlq"
	"essworker/internal/mask"
)

type dlqImportCmd struct {
	client
	File string `arg:"" name:"FILE" help:"What dlq export has written; - is standard input."`
	Why  string `help:"Why; kept in the audit records." placeholder:"TEXT"`
	JSON bool   `help:"One JSON object a line for each letter."`
}

// Help says what is left out.
func (dlqImportCmd) Help() string {
	return `Repeated, it stores nothing twice: what is a letter here, was discarded here, or has
been replayed or succeeded here, is left out. Letters get ids of their own.`
}

// importLine is one line of dlq import --json.
type importLine struct {
	ID      uint64 `json:"id"`      // where it was exported
	Now     uint64 `json:"now"`     // here; 0 if it is no letter
	Outcome string `json:"outcome"` // imported, or why not
}

// Run stores exported letters.
func (c *dlqImportCmd) Run(ctx context.Context, s streams) error {
	in, name := s.in, "standard input"
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return exit{exitUsage, err}
		}
		defer func() { _ = f.Close() }() // it was only read
		in, name = f, c.File
	}
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	im, err := box.NewImporter(ctx, successOf)
	if err != nil {
		return err
	}
	trail := audit.Open(ctx, nc, box.JetStream(), c.Names)
	ctx, stop := quietSignals(ctx)
	defer stop()
	r := importing{s: s, im: im, json: c.JSON, bar: newBar(s, -1, "importing"), counts: map[dlq.Landed]int{}}
	var ended error
	for lines := newValues(in); ctx.Err() == nil && ended == nil; {
		var some []exported
		if some, ended = r.read(lines); len(some) == 0 {
			break
		}
		act := audit.Action{
			Name: "letters.import", What: fmt.Sprintf("letters of %s from line %d", name, some[0].at), Count: len(some), Why: cmp.Or(strings.TrimSpace(c.Why), "not said"),
		}
		recorded := false
		err = trail.Do(ctx, act, func(ctx context.Context) error {
			recorded = true
			return r.store(ctx, some)
		})
		if err != nil && (!recorded || r.broken != nil) {
			return err
		}
	}
	_ = r.bar.Finish()
	if err := c.sum(s, r.counts); err != nil {
		return err
	}
	switch {
	case ended != nil && !errors.Is(ended, io.EOF):
		return fmt.Errorf("read letters: %w", ended)
	case ctx.Err() != nil:
		return exit{exitPartly, errors.New("interrupted: import the same again, what is there is left out")}
	case r.failed > 0:
		return exit{exitPartly, fmt.Errorf("%d of %d failed", r.failed, r.all)}
	}
	return nil
}

// importChunk is how many letters are read ahead, so that the record which is made before
// they are stored says how many.
const importChunk = 10_000

// importing is the import of some letters after the other.
type importing struct {
	s           streams
	im          *dlq.Importer
	json        bool
	bar         *progressbar.ProgressBar
	counts      map[dlq.Landed]int
	failed, all int
	broken      error // of standard output
}

// exported is a letter as it was read, or why it could not be.
type exported struct {
	dlq.Exported

	at  int // line
	err error
}

// read gives the next letters, and the reader's error, io.EOF at the end.
func (r *importing) read(lines *values) (some []exported, err error) {
	for len(some) < importChunk {
		text, at, err := lines.next()
		e := exported{at: at, err: err}
		switch {
		case err == nil:
			e.err = json.Unmarshal(text, &e.Exported)
		case !errors.Is(err, errNotJSON):
			return some, err
		}
		some = append(some, e)
	}
	return some, nil
}

// store stores letters one by one, and goes on where one fails.
func (r *importing) store(ctx context.Context, some []exported) error {
	failed := 0
	for _, e := range some {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		r.all++
		line := importLine{ID: e.ID}
		if e.err == nil {
			var what dlq.Landed
			line.Now, what, e.err = r.im.Import(context.WithoutCancel(ctx), e.Exported)
			line.Outcome = string(what)
			if e.err == nil {
				r.counts[what]++
			}
		}
		if e.err != nil {
			failed++
			line.Outcome = "failed"
			fmt.Fprintf(r.s.err, "worker: line %d: %s\n", e.at, mask.Text(e.err.Error()))
		}
		_ = r.bar.Add(1) // a bar that cannot be drawn is no reason to stop
		if r.json {
			if r.broken = printJSON(r.s.out, line); r.broken != nil {
				return r.broken
			}
		}
	}
	r.failed += failed
	if failed > 0 {
		return fmt.Errorf("%d of %d failed", failed, len(some))
	}
	return nil
}

// sum tells how many letters came and how many were left out.
func (c *dlqImportCmd) sum(s streams, counts map[dlq.Landed]int) error {
	out := s.out
	if c.JSON {
		out = s.err
	}
	left := []dlq.Landed{dlq.LandedLetter, dlq.LandedDiscarded, dlq.LandedReplayed, dlq.LandedDone}
	left = slices.DeleteFunc(left, func(l dlq.Landed) bool { return counts[l] == 0 })
	parts := []string{letters(counts[dlq.LandedNew]) + " imported"}
	for _, l := range left {
		parts = append(parts, fmt.Sprintf("%d %s", counts[l], l))
	}
	_, err := fmt.Fprintln(out, strings.Join(parts, ", "))
	return err
}
