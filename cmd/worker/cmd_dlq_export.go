package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"essworker/internal/audit"
	"essworker/internal/dlq"
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
import, here or in another deployment. The letters stay. Without a filter all
letters are written.`
}

// Run writes letters to standard output.
func (c *dlqExportCmd) Run(ctx context.Context, s streams) error {
	c.Why = strings.TrimSpace(c.Why)
	switch {
	case !c.Reveal:
		return exit{exitUsage, errors.New("an export holds personal data, or it could not be imported: say --reveal and --why")}
	case c.Why == "":
		return exit{exitUsage, errors.New("--why: say why; it is kept in the audit records")}
	case c.none(): // it takes nothing away
		c.All = true
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
	written := 0
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
		written++
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write letters: %w", err)
	}
	_ = bar.Finish()
	fmt.Fprintf(s.err, "%s exported\n", letters(written))
	if missing > 0 {
		return exit{exitPartly, fmt.Errorf("%d were not there", missing)}
	}
	return nil
}
