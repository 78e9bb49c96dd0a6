package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"essworker/internal/audit"
	"essworker/internal/dlq"
	"essworker/internal/mask"
	"essworker/internal/patch"
	"essworker/internal/replay"
	"essworker/schemas"
)

type dlqEditCmd struct {
	client
	ID    string `arg:"" name:"ID" help:"The letter's id; with --patch also a group's, for all of its letters."`
	Patch string `help:"Change the data by a JSON merge patch (RFC 7386) instead of an editor; - is standard input." placeholder:"FILE"`
	UpTo  uint64 `nonempty:"" help:"Of a group, the letters up to this id: a plan's command has it, so that what comes later stays out." placeholder:"ID"`
	Why   string `required:"" help:"Why; kept in the audit records with the names of the fields that changed." placeholder:"TEXT"`
	Force bool   `help:"Also a letter that was replayed too often or a short while ago, or whose outcome at the vendor is unknown."`
	Yes   bool   `short:"y" help:"Do not ask before the edited event is put back, nor stop at the plan of a group."`
	JSON  bool   `help:"One JSON object a line for each letter."`
}

// Help says what an edit is.
func (dlqEditCmd) Help() string {
	return `The event's data opens in $VISUAL or $EDITOR, personal data too, is checked
against its schema and put back as an event of its own: with a new id, the old
one as causationid, and everything else as it was. The letter leaves once that
is stored. Of a group, --patch edits one letter, then five, then twenty at a
time, waits each time for what becomes of them, and stops when one fails again.`
}

// errUnchanged says that an edit has changed nothing.
var errUnchanged = errors.New("nothing was changed: worker dlq replay puts the event back as it is")

// Run edits letters one by one.
func (c *dlqEditCmd) Run(ctx context.Context, s streams) error {
	c.Why = strings.TrimSpace(c.Why)
	picked := picked{Which: []string{c.ID}, UpTo: c.UpTo}
	if err := picked.usage(); err != nil {
		return exit{exitUsage, err}
	}
	if c.Why == "" {
		return exit{exitUsage, errors.New("--why: say why; it is kept in the audit records")}
	}
	change, err := c.readPatch(s)
	if err != nil {
		return exit{exitUsage, err}
	}
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	ids, _, err := picked.find(ctx, s, box)
	if err != nil {
		return err
	}
	if len(ids) > 1 && change == nil {
		return exit{exitUsage, fmt.Errorf("group %s has %d letters: --patch changes them all, an editor one", c.ID, len(ids))}
	}
	office, err := c.office(ctx, box)
	if err != nil {
		return err
	}
	e := &editing{s: s, cmd: c, box: box, office: office, trail: audit.Open(ctx, nc, box.JetStream(), c.Names), change: change, answers: bufio.NewReader(s.in)}
	switch {
	case len(ids) == 1:
		return e.one(ctx, ids[0])
	case change == nil:
		return exit{exitUsage, fmt.Errorf("group %s has %d letters: --patch changes them all, an editor one", c.ID, len(ids))}
	case !c.Yes:
		return e.plan(ctx, ids, picked.frozen(ids[0], ids[len(ids)-1]))
	}
	return e.many(ctx, ids, picked.frozen(ids[0], ids[len(ids)-1]))
}

// readPatch gives the merge patch; nil if an editor is meant.
func (c *dlqEditCmd) readPatch(s streams) (change []byte, err error) {
	switch c.Patch {
	case "":
		return nil, nil
	case "-":
		change, err = io.ReadAll(s.in)
	default:
		change, err = os.ReadFile(c.Patch)
	}
	if err == nil && !json.Valid(change) {
		err = fmt.Errorf("--patch: %s is not JSON", c.Patch)
	}
	return change, err
}

// editing is the editing of some letters.
type editing struct {
	s       streams
	cmd     *dlqEditCmd
	box     *dlq.Box
	office  *replay.Office
	trail   *audit.Trail
	change  []byte
	answers *bufio.Reader
	bar     *progressbar.ProgressBar // of several letters
}

// editLine is one line of dlq edit --json.
type editLine struct {
	ID      uint64   `json:"id"`
	Event   string   `json:"eventId"` // of the edited event
	Cause   string   `json:"causationid"`
	Seq     uint64   `json:"seq"`
	Fields  []string `json:"fields"`
	Outcome string   `json:"outcome,omitempty"` // of several letters, whose outcomes are waited for: succeeded or failed
}

func (e *editing) one(ctx context.Context, id uint64) error {
	d, err := e.draft(ctx, id)
	if err != nil {
		return err
	}
	e.show(d)
	switch {
	case e.cmd.Yes:
	case !isTerminal(e.s.in) || e.cmd.Patch == "-":
		fmt.Fprintln(e.s.err, "1 letter would be put back edited. Nothing was done. The same with --yes does it")
		return nil
	case !e.ask(fmt.Sprintf("Put the edited event back and remove letter %d? [y/N] ", id), "y"):
		return errors.New("nothing was done")
	}
	line, err := e.store(ctx, d)
	if err != nil {
		return err
	}
	if e.cmd.JSON {
		return printJSON(e.s.out, line)
	}
	_, err = fmt.Fprintf(e.s.out, "letter %d: put back as event %s\n", id, line.Event)
	return err
}

// draft is a letter whose event has other data, which fits.
type draft struct {
	dlq.Letter

	after   []byte
	changes []patch.Change
}

// draft edits a letter without putting it back. The error says why it may not be edited.
func (e *editing) draft(ctx context.Context, id uint64) (draft, error) {
	l, before, err := e.editable(ctx, id)
	if err != nil {
		return draft{}, err
	}
	var after []byte
	if e.change != nil {
		after, err = patch.Merge(before, e.change)
		if err == nil {
			_, err = dlq.Amended(l, after)
		}
	} else {
		// The editor shows all of it, whatever is made of that.
		act := audit.Action{Name: "letters.reveal", What: "letter " + strconv.FormatUint(id, 10), Why: e.cmd.Why}
		err = e.trail.Do(ctx, act, func(ctx context.Context) (err error) {
			after, err = e.editor(ctx, l, before)
			if errors.Is(err, errUnchanged) {
				return nil // seen is seen
			}
			return err
		})
	}
	if err != nil {
		return draft{}, err
	}
	changes := patch.Changes(before, after)
	if len(changes) == 0 || after == nil {
		return draft{}, errUnchanged
	}
	return draft{l, after, changes}, nil
}

// editable gives a letter and its event's data, if it may be edited.
func (e *editing) editable(ctx context.Context, id uint64) (l dlq.Letter, data []byte, err error) {
	if l, err = e.box.Get(ctx, id); err != nil {
		return l, nil, err
	}
	done, err := e.box.Succeeded(ctx, successOf, l)
	if err != nil {
		return l, nil, err
	}
	if by := done[id]; by != "" {
		return l, nil, fmt.Errorf("event %s has succeeded already: worker dlq discard %d puts the letter away", mask.Text(by), id)
	}
	if err := e.free(ctx, id); err != nil {
		return l, nil, err
	}
	if v := replay.Prudent(l, time.Now()); v != replay.Eligible && !e.cmd.Force {
		return l, nil, fmt.Errorf("letter %d: %s", id, v.Means())
	}
	data, err = dlq.Editable(l)
	return l, data, err
}

// free reports an error if a replay job may be putting the letter back just now.
func (e *editing) free(ctx context.Context, id uint64) error {
	jobs, err := e.office.Busy(ctx, "")
	if err == nil && jobs[id] != "" {
		err = underway(jobs[id], id)
	}
	return err
}

// store puts an edited event back, and records it.
func (e *editing) store(ctx context.Context, d draft) (line editLine, err error) {
	if err := e.free(ctx, d.ID); err != nil { // an editor may have been open for long
		return line, err
	}
	act := e.action("letter "+strconv.FormatUint(d.ID, 10), 0, d.changes)
	return line, e.trail.Do(ctx, act, func(ctx context.Context) error {
		line, err = e.putBack(ctx, d)
		return err
	})
}

// action is what is recorded: which fields, never values.
func (e *editing) action(what string, count int, changes []patch.Change) audit.Action {
	return audit.Action{
		Name: "letters.edit", What: what, Count: count, Why: e.cmd.Why,
		After: mask.Cut("changed "+strings.Join(fieldNames(changes), ", "), 512),
	}
}

// putBack stores an edited event in the place of its letter.
func (e *editing) putBack(ctx context.Context, d draft) (editLine, error) {
	r, err := e.box.Edit(ctx, d.ID, d.after)
	return editLine{ID: d.ID, Event: dlq.EditID(d.Letter), Cause: mask.Text(d.EventID), Seq: r.Seq, Fields: fieldNames(d.changes)}, err
}

func fieldNames(changes []patch.Change) (names []string) {
	for _, c := range changes {
		names = append(names, fieldName(c))
	}
	return names
}

// fieldName is a changed field as it may be shown: a name may be anybody's text.
func fieldName(c patch.Change) string {
	if c.Field == "" {
		return "all of it"
	}
	return mask.Name(c.Field)
}

// show prints what is different, personal data masked.
func (e *editing) show(d draft) {
	personal := slices.Concat(schemas.Personal(d.Type, d.after), schemas.Personal(d.Type, d.Data))
	if before, err := dlq.Editable(d.Letter); err == nil {
		personal = slices.Concat(personal, schemas.Personal(d.Type, before))
	}
	fmt.Fprintf(e.s.err, "letter %d, %s %s:\n", d.ID, d.Type, mask.Text(d.EventID))
	for _, c := range d.changes {
		for _, side := range [...]struct{ sign, value string }{{"-", c.Before}, {"+", c.After}} {
			if side.value != "" {
				fmt.Fprintf(e.s.err, "  %s %s: %s\n", side.sign, fieldName(c), printable(mask.Cut(maskedValue(side.value, personal), 200)))
			}
		}
	}
}

// maskedValue is a value before or after an edit. What is no JSON cannot be told to be personal.
func maskedValue(value string, personal []string) string {
	if !json.Valid([]byte(value)) {
		return fmt.Sprintf("%d bytes that are not JSON", len(value))
	}
	return maskedJSON([]byte(value), personal)
}
