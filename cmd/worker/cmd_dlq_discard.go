package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"essworker/internal/audit"
	"essworker/internal/dlq"
)

type dlqDiscardCmd struct {
	client
	picked
	Why  string `required:"" help:"Why; kept in the audit records." placeholder:"TEXT"`
	Yes  bool   `short:"y" help:"Discard what a group or a filter stands for without stopping at the plan."`
	JSON bool   `help:"One JSON object a line for each letter."`
}

// Help says where letters go.
func (dlqDiscardCmd) Help() string {
	return `The letters go to the discarded ones, which are kept for 30 days: worker dlq ls
--discarded lists them, worker dlq restore brings them back.`
}

// Run puts letters away.
func (c *dlqDiscardCmd) Run(ctx context.Context, s streams) error {
	if c.Why = strings.TrimSpace(c.Why); c.Why == "" {
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
	away, err := dlq.OpenDiscarded(ctx, box.JetStream(), c.Names)
	if err != nil {
		return notSetUp(err)
	}
	ids, missing, err := c.find(ctx, s, box)
	if err != nil {
		return err
	}
	sel := c.frozen(ids[0], ids[len(ids)-1])
	ids, busy, err := c.free(ctx, s, box, ids)
	if err != nil {
		return err
	}
	if c.broad() && len(ids) > 1 && !c.Yes {
		planned(s, letters(len(ids))+" would be discarded", "discard", sel, c.Why)
		return nil
	}
	moves := &moves{s: s, json: c.JSON, verb: "discarded", total: len(ids) + busy + missing, failed: busy + missing}
	act := audit.Action{Name: "letters.discard", What: sel.what(), Count: len(ids), Why: c.Why}
	return audit.Open(ctx, nc, box.JetStream(), c.Names).Do(ctx, act, func(ctx context.Context) error {
		return moves.run(ctx, ids, func(ctx context.Context, id uint64) (uint64, error) { return box.Discard(ctx, id, away) })
	})
}

type dlqRestoreCmd struct {
	client
	picked
	Why  string `help:"Why; kept in the audit records." placeholder:"TEXT"`
	Yes  bool   `short:"y" help:"Restore what a group or a filter stands for without stopping at the plan."`
	JSON bool   `help:"One JSON object a line for each letter."`
}

// Help says whose ids are meant.
func (dlqRestoreCmd) Help() string {
	return `Discarded letters have ids of their own: worker dlq ls --discarded lists them.
Restored, a letter has another one again.`
}

// Run brings discarded letters back.
func (c *dlqRestoreCmd) Run(ctx context.Context, s streams) error {
	if err := c.usage(); err != nil {
		return exit{exitUsage, err}
	}
	c.Why = strings.TrimSpace(c.Why)
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	away, err := dlq.OpenDiscarded(ctx, box.JetStream(), c.Names)
	if err != nil {
		return notSetUp(err)
	}
	ids, missing, err := c.find(ctx, s, away)
	if err != nil {
		return err
	}
	sel := c.frozen(ids[0], ids[len(ids)-1])
	if c.broad() && len(ids) > 1 && !c.Yes {
		planned(s, letters(len(ids))+" would be restored", "restore", sel, c.Why)
		return nil
	}
	moves := &moves{s: s, json: c.JSON, verb: "restored", total: len(ids) + missing, failed: missing}
	act := audit.Action{Name: "letters.restore", What: "discarded " + sel.what(), Count: len(ids), Why: cmp.Or(c.Why, "not said")}
	return audit.Open(ctx, nc, box.JetStream(), c.Names).Do(ctx, act, func(ctx context.Context) error {
		return moves.run(ctx, ids, func(ctx context.Context, id uint64) (uint64, error) { return away.Restore(ctx, id, box) })
	})
}

// planned says what a command would do, and prints the one that does it, to these letters.
func planned(s streams, what, command string, sel picked, why string) {
	words := append([]string{"worker dlq", command}, sel.words()...)
	if why != "" {
		words = append(words, "--why", shellQuote(why))
	}
	fmt.Fprintf(s.err, "%s. Nothing was done. To do it:\n  %s --yes\n", what, strings.Join(words, " "))
}

// moves carries letters from one shelf to the other and tells where they are now.
type moves struct {
	s             streams
	json          bool
	verb          string
	total, failed int
}

// moveLine is a line of dlq discard and restore --json.
type moveLine struct {
	ID  uint64 `json:"id"`  // as it was named
	Now uint64 `json:"now"` // its id where it is now
}

func (m *moves) run(ctx context.Context, ids []uint64, move func(context.Context, uint64) (uint64, error)) error {
	var mu sync.Mutex
	now := map[uint64]uint64{}
	m.failed += each(ctx, m.s, m.verb, ids, func(ctx context.Context, id uint64) error {
		to, err := move(ctx, id)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			now[id] = to
		}
		return err
	})
	for _, id := range ids {
		to, ok := now[id]
		switch {
		case !ok:
		case m.json:
			if err := printJSON(m.s.out, moveLine{id, to}); err != nil {
				return err
			}
		case len(ids) <= fewMoves:
			fmt.Fprintf(m.s.out, "letter %d %s: now %d\n", id, m.verb, to)
		}
	}
	if !m.json && len(now) > fewMoves {
		fmt.Fprintf(m.s.out, "%s %s\n", letters(len(now)), m.verb)
	}
	if m.failed > 0 {
		return exit{exitPartly, fmt.Errorf("%d of %d failed", m.failed, m.total)}
	}
	return nil
}

// fewMoves is up to how many letters are told one by one.
const fewMoves = 20
