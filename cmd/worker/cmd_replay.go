package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/time/rate"

	"essworker/internal/dlq"
)

type dlqReplayCmd struct {
	client
	dlq.Filter
	IDs    []uint64 `arg:"" optional:"" name:"ID" help:"Letters to replay, by id."`
	All    bool     `help:"Replay every letter there is."`
	Rate   float64  `default:"0" help:"Events put back per second; 0 is as fast as possible. Vendor calls keep to their quota either way." placeholder:"N"`
	DryRun bool     `help:"Print what would be replayed and do nothing."`
	Yes    bool     `short:"y" help:"Replay more than one letter without stopping at the plan."`
	Wait   bool     `help:"Wait for what becomes of the events: their results, or new letters."`
	JSON   bool     `help:"One JSON object a line for each letter."`
}

// Run replays one letter at once. For more it prints a plan and the command that
// runs it, unless it was told --yes.
func (c *dlqReplayCmd) Run(ctx context.Context, s streams) error {
	if err := c.usage(); err != nil {
		return exit{exitUsage, err}
	}
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	letters, missing, err := c.choose(ctx, box)
	if err != nil {
		return err
	}
	for _, id := range missing {
		fmt.Fprintf(s.err, "worker: no letter %d\n", id)
	}
	switch {
	case len(letters) == 0:
		return exit{exitNoMatch, errors.New("no letter matches: worker dlq ls lists what there is")}
	case c.DryRun, len(letters) > 1 && !c.Yes && len(c.IDs) == 0:
		return c.plan(s, letters)
	}
	return c.replay(ctx, s, box, letters, missing)
}

func (c *dlqReplayCmd) usage() error {
	filtered := !c.Empty() || c.Limit > 0
	switch {
	case len(c.IDs) > 0 && (filtered || c.All):
		return errors.New("name letters by id, or select them with filters or --all, not both")
	case len(c.IDs) == 0 && !filtered && !c.All:
		return errors.New("name letters by id, or select them with a filter such as --group, or --all")
	case c.Rate < 0:
		return fmt.Errorf("--rate: must be 0 (as fast as possible) or more, not %v", c.Rate)
	}
	return nil
}

// choose gives the letters to replay, and the ids that are no letters.
func (c *dlqReplayCmd) choose(ctx context.Context, box *dlq.Box) (letters []dlq.Letter, missing []uint64, err error) {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(c.IDs))) {
		l, err := box.Get(ctx, id)
		switch {
		case errors.Is(err, dlq.ErrNoLetter):
			missing = append(missing, id)
		case err != nil:
			return nil, nil, err
		default:
			letters = append(letters, l)
		}
	}
	if len(c.IDs) > 0 {
		return letters, missing, nil
	}
	for l, err := range box.Letters(ctx, c.Filter) {
		if err != nil {
			return nil, nil, err
		}
		letters = append(letters, l)
	}
	return letters, nil, nil
}

// plan says what a replay would do and how to have it done.
func (c *dlqReplayCmd) plan(s streams, letters []dlq.Letter) error {
	counts := map[[2]string]int{}
	for _, l := range letters {
		counts[[2]string{l.Type, l.Group}]++
	}
	list := newListing(s.out, c.JSON, column{"letters", 0}, column{"type", 0}, column{"group", 0})
	for _, k := range slices.SortedFunc(maps.Keys(counts), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		line := struct {
			Letters int    `json:"letters"`
			Type    string `json:"type"`
			Group   string `json:"group"`
		}{counts[k], k[0], k[1]}
		if err := list.add(line, line.Letters, line.Type, line.Group); err != nil {
			return err
		}
	}
	if err := list.end(s.err, "no letters"); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "%d letters would be replayed. Nothing was done. To do it:\n  %s\n", len(letters), c.command())
	return nil
}

// command is the one that carries the plan out.
func (c *dlqReplayCmd) command() string {
	words := []string{"worker dlq replay"}
	for _, id := range c.IDs {
		words = append(words, strconv.FormatUint(id, 10))
	}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, "--"+flag, shellQuote(value))
		}
	}
	add("reason", c.Reason)
	add("type", c.Type)
	add("code", c.Code)
	add("group", c.Group)
	add("event-id", c.EventID)
	for flag, when := range map[string]dlq.When{"since": c.Since, "until": c.Until} {
		if !when.IsZero() {
			add(flag, when.UTC().Format(time.RFC3339))
		}
	}
	if c.Limit > 0 {
		add("limit", strconv.Itoa(c.Limit))
	}
	if c.All {
		words = append(words, "--all")
	}
	if c.Rate > 0 {
		add("rate", fmt.Sprint(c.Rate))
	}
	return strings.Join(append(words, "--yes"), " ")
}

func shellQuote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// replayLine is one line of dlq replay --json.
type replayLine struct {
	ID        uint64 `json:"id"`
	EventID   string `json:"eventId"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Outcome   string `json:"outcome"` // with --wait: succeeded or failed; else stored
	Error     string `json:"error,omitempty"`
}

func (c *dlqReplayCmd) replay(ctx context.Context, s streams, box *dlq.Box, letters []dlq.Letter, missing []uint64) error {
	bar := progressbar.NewOptions(len(letters), progressbar.OptionSetWriter(s.err), progressbar.OptionSetDescription("replaying"),
		progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(s.err) && len(letters) > 1))
	ctx, stop := quietSignals(ctx) // what was done so far is told
	defer stop()
	pace := rate.NewLimiter(rate.Inf, 1)
	if c.Rate > 0 {
		pace.SetLimit(rate.Limit(c.Rate))
	}
	failed := len(missing)
	stored := make([]replayLine, 0, len(letters))
	for i, l := range letters {
		if err := pace.Wait(ctx); err != nil {
			left := len(letters) - i
			fmt.Fprintf(s.err, "worker: interrupted: %d letters stay where they are\n", left)
			failed += left
			break
		}
		line := replayLine{ID: l.ID, EventID: l.EventID, Outcome: "stored"}
		done, err := box.Replay(ctx, l.ID)
		if err != nil {
			failed++
			line.Outcome, line.Error = "not replayed", err.Error()
			fmt.Fprintln(s.err, "worker:", err)
		}
		line.Seq, line.Duplicate = done.Seq, done.Duplicate
		stored = append(stored, line)
		_ = bar.Add(1) // a bar that cannot be drawn is no reason to stop
	}
	_ = bar.Finish()
	if c.Wait {
		failed += c.await(ctx, s, box, stored, letters)
	}
	return c.tell(s, stored, failed, len(letters)+len(missing))
}

// await fills in what became of the replayed events and counts those that failed again.
func (c *dlqReplayCmd) await(ctx context.Context, s streams, box *dlq.Box, stored []replayLine, letters []dlq.Letter) (failed int) {
	fmt.Fprintf(s.err, "%d events stored; waiting for what becomes of them\n", len(stored))
	for i := range stored {
		line := &stored[i]
		if line.Error != "" {
			continue
		}
		ok, err := box.Outcome(ctx, line.Seq, letters[i], successOf(letters[i].Type))
		switch {
		case err != nil:
			line.Outcome, line.Error = "unknown", err.Error()
			failed++
		case ok:
			line.Outcome = "succeeded"
		default:
			line.Outcome = "failed"
			failed++
		}
	}
	return failed
}

func (c *dlqReplayCmd) tell(s streams, stored []replayLine, failed, all int) error {
	list := newListing(s.out, c.JSON, column{"letter", 0}, column{"event", 32}, column{"stored as", 0}, column{"outcome", 0})
	for _, line := range stored {
		if err := list.add(line, line.ID, line.EventID, line.Seq, line.Outcome); err != nil {
			return err
		}
	}
	if err := list.end(s.err, "nothing was replayed"); err != nil {
		return err
	}
	if failed > 0 {
		return exit{exitPartly, fmt.Errorf("%d of %d failed", failed, all)}
	}
	return nil
}
