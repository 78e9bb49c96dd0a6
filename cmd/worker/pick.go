package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"essworker/internal/dlq"
	"essworker/internal/mask"
)

// picked is how a command names the letters it acts on: by id, by group, or by filter.
type picked struct {
	dlq.Filter
	Which []string `arg:"" optional:"" name:"ID" help:"Letters by id; the id of a group stands for all of its letters."`
	All   bool     `help:"Every letter there is."`
}

// usage refuses a selection that is none, or two.
func (p picked) usage() error {
	filtered := !p.Empty() || p.Limit > 0
	switch {
	case len(p.Which) > 0 && (filtered || p.All):
		return errors.New("name letters by id or group, or select them with filters or --all, not both")
	case len(p.Which) == 0 && !filtered && !p.All:
		return errors.New("name letters by id or group, or select them with a filter such as --code, or --all")
	}
	for _, word := range p.Which {
		if _, err := letterID(word); err != nil && !dlq.IsGroup(word) {
			return err
		}
	}
	return nil
}

// letterID reads the id of a letter.
func letterID(word string) (uint64, error) {
	id, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is neither the id of a letter, a number, nor that of a group, six letters and digits", word)
	}
	return id, nil
}

// broad reports whether it may stand for more letters than were counted out.
func (p picked) broad() bool {
	return len(p.Which) == 0 || slices.ContainsFunc(p.Which, dlq.IsGroup)
}

// shelf is what letters are picked from.
type shelf interface {
	IDs(ctx context.Context, f dlq.Filter) ([]uint64, error)
	Get(ctx context.Context, id uint64) (dlq.Letter, error)
}

// ids gives the letters that are meant, and what was named and is not there.
func (p picked) ids(ctx context.Context, from shelf) (ids []uint64, missing []string, err error) {
	if len(p.Which) == 0 {
		ids, err = from.IDs(ctx, p.Filter)
		return ids, nil, err
	}
	for _, word := range p.Which {
		if dlq.IsGroup(word) {
			members, err := from.IDs(ctx, dlq.Filter{Group: word})
			if err != nil {
				return nil, nil, err
			}
			if len(members) == 0 {
				missing = append(missing, "group "+word)
			}
			ids = append(ids, members...)
			continue
		}
		id, err := letterID(word)
		if err == nil {
			_, err = from.Get(ctx, id)
		}
		switch {
		case errors.Is(err, dlq.ErrNoLetter):
			missing = append(missing, "letter "+word)
		case err != nil:
			return nil, nil, err
		default:
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), missing, nil
}

// words is the selection as it was given, for records and for the command that repeats it.
func (p picked) words() []string {
	words := slices.Clone(p.Which)
	add := func(flag, value string) {
		if value != "" {
			words = append(words, "--"+flag, shellQuote(value))
		}
	}
	add("reason", p.Reason)
	add("type", p.Type)
	add("code", p.Code)
	add("group", p.Group)
	add("event-id", p.EventID)
	if !p.Since.IsZero() {
		add("since", p.Since.UTC().Format(time.RFC3339Nano))
	}
	if !p.Until.IsZero() {
		add("until", p.Until.UTC().Format(time.RFC3339Nano))
	}
	if p.Limit > 0 {
		add("limit", strconv.Itoa(p.Limit))
	}
	if p.All {
		words = append(words, "--all")
	}
	return words
}

// what is the selection for an audit record.
func (p picked) what() string { return lettersNamed(p.words()) }

// lettersNamed is how an audit record names letters.
func lettersNamed(words []string) string {
	return "letters " + mask.Cut(mask.Text(strings.Join(words, " ")), 512)
}

// tellMissing says what was named and is not there; it is an error if nothing else was.
func tellMissing(s streams, missing []string, found int) error {
	for _, m := range missing {
		fmt.Fprintf(s.err, "worker: no %s\n", m)
	}
	if found == 0 {
		return exit{exitNoMatch, errors.New("no letter matches: worker dlq ls lists what there is")}
	}
	return nil
}

// atOnce is how many letters are worked on at a time: the server syncs each to its disk.
const atOnce = 16

// each does something about many letters, with a bar on a terminal. It tries them all,
// says what failed, and gives how many did. Interrupted, it leaves the rest alone.
func each(ctx context.Context, s streams, what string, ids []uint64, do func(ctx context.Context, id uint64) error) (failed int) {
	bar := newBar(s, len(ids), what)
	ctx, stop := quietSignals(ctx)
	defer stop()
	errs := make([]error, len(ids))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, id := range ids {
		if ctx.Err() != nil {
			fmt.Fprintf(s.err, "worker: interrupted: %d letters stay where they are\n", len(ids)-i)
			failed += len(ids) - i
			break
		}
		g.Go(func() error {
			errs[i] = do(context.WithoutCancel(ctx), id) // what was begun is finished
			_ = bar.Add(1)                               // a bar that cannot be drawn is no reason to stop
			return nil
		})
	}
	_ = g.Wait() // the errors are kept one by one
	_ = bar.Finish()
	for _, err := range errs {
		if err != nil {
			failed++
			fmt.Fprintln(s.err, "worker:", mask.Text(err.Error()))
		}
	}
	return failed
}

// newBar is the bar of long work, seen on a terminal only.
func newBar(s streams, n int, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions(n, progressbar.OptionSetWriter(s.err), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(s.err) && n != 1))
}

// letters is "1 letter" or "17 letters".
func letters(n int) string {
	if n == 1 {
		return "1 letter"
	}
	return strconv.Itoa(n) + " letters"
}
