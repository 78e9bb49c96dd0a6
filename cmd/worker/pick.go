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
	From  uint64   `nonempty:"" help:"Of those selected, the letters from this id on." placeholder:"ID"`
	UpTo  uint64   `nonempty:"" help:"Of those selected, the letters up to this id: a plan's command has it, so that what comes later stays out." placeholder:"ID"`
}

// none reports whether nothing is selected.
func (p picked) none() bool {
	return len(p.Which) == 0 && p.Empty() && p.Limit == 0 && p.From == 0 && p.UpTo == 0 && !p.All
}

// usage refuses a selection that is none, or two.
func (p picked) usage() error {
	filtered := !p.Empty() || p.Limit > 0
	switch {
	case len(p.Which) > 0 && (filtered || p.All):
		return errors.New("name letters by id or group, or select them with filters or --all, not both")
	case p.none():
		return errors.New("name letters by id or group, or select them with a filter such as --code, or --all")
	}
	for _, word := range p.Which {
		if _, err := letterID(word); err != nil && !dlq.IsGroup(word) {
			return err
		}
	}
	if (p.From > 0 || p.UpTo > 0) && !p.broad() {
		return errors.New("--from and --up-to are for groups and filters; these letters are named by id")
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

// find gives the letters that are meant, oldest first. It says what was named and is not
// there, and how many that were; that there is nothing at all is an error.
func (p picked) find(ctx context.Context, s streams, from shelf) (ids []uint64, missing int, err error) {
	noun, list := "letter", "worker dlq ls"
	if _, away := from.(*dlq.Discarded); away {
		noun, list = "discarded letter", "worker dlq ls --discarded"
	}
	if len(p.Which) == 0 {
		ids, err = p.selected(ctx, from, p.Filter)
	}
	for _, word := range p.Which {
		var some []uint64
		if dlq.IsGroup(word) {
			some, err = p.selected(ctx, from, dlq.Filter{Group: word})
			word = "of group " + word
		} else {
			some, err = named(ctx, from, word)
		}
		if err != nil {
			break
		}
		if len(some) == 0 {
			missing++
			fmt.Fprintf(s.err, "worker: no %s %s\n", noun, word)
		}
		ids = append(ids, some...)
	}
	if err == nil && len(ids) == 0 {
		err = exit{exitNoMatch, fmt.Errorf("no %s matches: %s lists what there is", noun, list)}
	}
	slices.Sort(ids)
	return slices.Compact(ids), missing, err
}

// named gives the letter of an id, if there is one.
func named(ctx context.Context, from shelf, word string) ([]uint64, error) {
	id, err := letterID(word)
	if err != nil {
		return nil, err
	}
	switch _, err := from.Get(ctx, id); {
	case errors.Is(err, dlq.ErrNoLetter):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []uint64{id}, nil
}

// selected gives the letters of a filter within the range of ids.
func (p picked) selected(ctx context.Context, from shelf, f dlq.Filter) ([]uint64, error) {
	if p.From == 0 && p.UpTo == 0 {
		return from.IDs(ctx, f)
	}
	limit := f.Limit
	f.Limit = 0 // the newest are those within the range
	ids, err := from.IDs(ctx, f)
	ids = slices.DeleteFunc(ids, func(id uint64) bool { return id < p.From || p.UpTo > 0 && id > p.UpTo })
	if limit > 0 {
		ids = ids[max(0, len(ids)-limit):]
	}
	return ids, err
}

// frozen is the selection as it came out, from its first letter to its last: what comes
// later stays out of it.
func (p picked) frozen(first, last uint64) picked {
	if !p.broad() {
		return p
	}
	if p.Limit > 0 {
		p.From, p.Limit = first, 0
	}
	p.UpTo = last
	return p
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
	if p.From > 0 {
		add("from", strconv.FormatUint(p.From, 10))
	}
	if p.UpTo > 0 {
		add("up-to", strconv.FormatUint(p.UpTo, 10))
	}
	return words
}

// what is the selection for an audit record.
func (p picked) what() string { return lettersNamed(p.words()) }

// lettersNamed is how an audit record names letters.
func lettersNamed(words []string) string {
	return "letters " + mask.Cut(mask.Text(strings.Join(words, " ")), 512)
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
