package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"essworker/internal/audit"
	"essworker/internal/dlq"
	"essworker/internal/mask"
)

type dlqExportCmd struct {
	client
	picked
	Reveal bool   `help:"The letters are written whole, with personal data; without this nothing is."`
	Why    string `help:"Why they are needed; kept in the audit records." placeholder:"TEXT"`
}

// Help says what is written.
func (dlqExportCmd) Help() string {
	return `One JSON object a line: everything a letter holds, to the byte, for worker dlq
import, here or in another deployment. The letters stay.`
}

// Run writes letters to standard output.
func (c *dlqExportCmd) Run(ctx context.Context, s streams) error {
	c.Why = strings.TrimSpace(c.Why)
	switch {
	case !c.Reveal:
		return exit{exitUsage, errors.New("an export holds personal data, or it could not be imported: say --reveal and --why")}
	case c.Why == "":
		return exit{exitUsage, errors.New("--why: say why; it is kept in the audit records")}
	}
	if err := c.usage(); err != nil {
		return exit{exitUsage, err}
	}
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	ids, missing, err := c.find(ctx, s, box)
	if err != nil {
		return err
	}
	act := audit.Action{Name: "letters.export", What: c.frozen(ids[0], ids[len(ids)-1]).what(), Count: len(ids), Why: c.Why}
	return audit.Open(ctx, nc, box.JetStream(), c.Names).Do(ctx, act, func(ctx context.Context) error {
		return c.write(ctx, s, box, ids, missing)
	})
}

func (c *dlqExportCmd) write(ctx context.Context, s streams, box *dlq.Box, ids []uint64, missing int) error {
	bar := newBar(s, len(ids), "exporting")
	out := bufio.NewWriter(s.out)
	for _, id := range ids {
		e, err := box.Export(ctx, id)
		_ = bar.Add(1)
		if errors.Is(err, dlq.ErrNoLetter) { // replayed or discarded meanwhile
			missing++
			continue
		}
		if err != nil {
			return err
		}
		if err := printJSON(out, e); err != nil {
			return fmt.Errorf("write letter %d: %w", id, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write letters: %w", err)
	}
	_ = bar.Finish()
	fmt.Fprintf(s.err, "%s exported\n", letters(len(ids)))
	if missing > 0 {
		return exit{exitPartly, fmt.Errorf("%d were not there", missing)}
	}
	return nil
}

type dlqImportCmd struct {
	client
	File string `arg:"" help:"What dlq export has written; - is standard input."`
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
	act := audit.Action{Name: "letters.import", What: "letters of " + name, Why: cmp.Or(strings.TrimSpace(c.Why), "not said")}
	return audit.Open(ctx, nc, box.JetStream(), c.Names).Do(ctx, act, func(ctx context.Context) error { return c.read(ctx, s, in, im) })
}

func (c *dlqImportCmd) read(ctx context.Context, s streams, in io.Reader, im *dlq.Importer) error {
	ctx, stop := quietSignals(ctx)
	defer stop()
	bar := newBar(s, -1, "importing")
	counts := map[dlq.Landed]int{}
	failed, all := 0, 0
	for lines := newValues(in); ctx.Err() == nil; all++ {
		text, at, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		var e dlq.Exported
		line := importLine{}
		if err == nil {
			err = json.Unmarshal(text, &e)
		} else if !errors.Is(err, errNotJSON) {
			return fmt.Errorf("read letters: %w", err)
		}
		if err == nil {
			var what dlq.Landed
			line.ID = e.ID
			line.Now, what, err = im.Import(context.WithoutCancel(ctx), e)
			line.Outcome = string(what)
			if err == nil {
				counts[what]++
			}
		}
		if err != nil {
			failed++
			line.Outcome = "failed"
			fmt.Fprintf(s.err, "worker: line %d: %s\n", at, mask.Text(err.Error()))
		}
		_ = bar.Add(1)
		if c.JSON {
			if err := printJSON(s.out, line); err != nil {
				return err
			}
		}
	}
	_ = bar.Finish()
	if err := c.sum(s, counts); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return exit{exitPartly, errors.New("interrupted: import the same again, what is there is left out")}
	case failed > 0:
		return exit{exitPartly, fmt.Errorf("%d of %d failed", failed, all)}
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
