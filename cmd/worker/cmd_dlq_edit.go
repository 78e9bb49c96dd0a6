package main

import (
	"bufio"
	"bytes"
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

	"essworker/internal/audit"
	"essworker/internal/dlq"
	"essworker/internal/mask"
	"essworker/internal/patch"
	"essworker/internal/replay"
	"essworker/schemas"
)

type dlqEditCmd struct {
	client
	ID    string `arg:"" help:"The letter's id; with --patch also a group's, for all of its letters."`
	Patch string `help:"Change the data by a JSON merge patch (RFC 7386) instead of an editor; - is standard input." placeholder:"FILE"`
	UpTo  uint64 `nonempty:"" help:"Of a group, the letters up to this id: a plan's command has it, so that what comes later stays out." placeholder:"ID"`
	Why   string `required:"" help:"Why; kept in the audit records with the names of the fields that changed." placeholder:"TEXT"`
	Force bool   `help:"Also a letter that was replayed too often or a short while ago, or whose outcome at the vendor is unknown."`
	Yes   bool   `short:"y" help:"Do not ask before the edited event is put back."`
	JSON  bool   `help:"One JSON object a line for each letter."`
}

// Help says what an edit is.
func (dlqEditCmd) Help() string {
	return `The event's data opens in $VISUAL or $EDITOR, personal data too, is checked against its
schema and put back as an event of its own: with a new id, the old one as causationid,
and everything else as it was. The letter leaves once that is stored.`
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
	e := &editing{s: s, cmd: c, office: office, box: box, trail: audit.Open(ctx, nc, box.JetStream(), c.Names), change: change, answers: bufio.NewReader(s.in)}
	failed := 0
	for _, id := range ids {
		err := e.one(ctx, id)
		if err != nil && len(ids) == 1 {
			return err
		}
		if err != nil {
			failed++
			fmt.Fprintf(s.err, "worker: letter %d: %s\n", id, mask.Text(err.Error()))
		}
	}
	if failed > 0 {
		return exit{exitPartly, fmt.Errorf("%d of %d failed", failed, len(ids))}
	}
	if e.planned > 0 {
		fmt.Fprintf(s.err, "%s would be put back edited. Nothing was done. The same with --yes does it\n", letters(e.planned))
	}
	return nil
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
	planned int
}

// editLine is one line of dlq edit --json.
type editLine struct {
	ID     uint64   `json:"id"`
	Event  string   `json:"eventId"` // of the edited event
	Cause  string   `json:"causationid"`
	Seq    uint64   `json:"seq"`
	Fields []string `json:"fields"`
}

func (e *editing) one(ctx context.Context, id uint64) error {
	l, err := e.box.Get(ctx, id)
	if err != nil {
		return err
	}
	done, err := e.box.Succeeded(ctx, successOf, l)
	if err != nil {
		return err
	}
	if by := done[id]; by != "" {
		return fmt.Errorf("event %s has succeeded already: worker dlq discard %d puts the letter away", mask.Text(by), id)
	}
	if err := e.free(ctx, id); err != nil {
		return err
	}
	if v := replay.Prudent(l, time.Now()); v != replay.Eligible && !e.cmd.Force {
		return fmt.Errorf("letter %d: %s", id, v.Means())
	}
	before, err := dlq.Editable(l)
	if err != nil {
		return err
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
		return err
	}
	changes := patch.Changes(before, after)
	if len(changes) == 0 || after == nil {
		return errUnchanged
	}
	e.show(l, after, changes)
	if ok, err := e.agreed(id); !ok || err != nil {
		return err
	}
	return e.store(ctx, l, after, changes)
}

// free reports an error if a replay job may be putting the letter back just now.
func (e *editing) free(ctx context.Context, id uint64) error {
	jobs, err := e.office.Busy(ctx, "")
	if err == nil && jobs[id] != "" {
		err = underway(jobs[id], id)
	}
	return err
}

func (e *editing) store(ctx context.Context, l dlq.Letter, after []byte, changes []patch.Change) error {
	line := editLine{ID: l.ID, Event: dlq.EditID(l), Cause: mask.Text(l.EventID)}
	for _, c := range changes {
		line.Fields = append(line.Fields, fieldName(c))
	}
	if err := e.free(ctx, l.ID); err != nil { // an editor may have been open for long
		return err
	}
	act := audit.Action{
		Name: "letters.edit", What: "letter " + strconv.FormatUint(l.ID, 10), Why: e.cmd.Why,
		After: mask.Cut("changed "+strings.Join(line.Fields, ", "), 512),
	}
	err := e.trail.Do(ctx, act, func(ctx context.Context) error {
		r, err := e.box.Edit(ctx, l.ID, after)
		line.Seq = r.Seq
		return err
	})
	if err != nil {
		return err
	}
	if e.cmd.JSON {
		return printJSON(e.s.out, line)
	}
	_, err = fmt.Fprintf(e.s.out, "letter %d: put back as event %s\n", l.ID, line.Event)
	return err
}

// fieldName is a changed field as it may be shown: a name may be anybody's text.
func fieldName(c patch.Change) string {
	if c.Field == "" {
		return "all of it"
	}
	return mask.Cut(mask.Text(c.Field), 64)
}

// show prints what is different, personal data masked.
func (e *editing) show(l dlq.Letter, after []byte, changes []patch.Change) {
	personal := slices.Concat(schemas.Personal(l.Type, after), schemas.Personal(l.Type, l.Data))
	if before, err := dlq.Editable(l); err == nil {
		personal = slices.Concat(personal, schemas.Personal(l.Type, before))
	}
	fmt.Fprintf(e.s.err, "letter %d, %s %s:\n", l.ID, l.Type, mask.Text(l.EventID))
	for _, c := range changes {
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

// agreed asks, on a terminal. Elsewhere --yes must have said it.
func (e *editing) agreed(id uint64) (bool, error) {
	if e.cmd.Yes {
		return true, nil
	}
	if !isTerminal(e.s.in) || e.cmd.Patch == "-" {
		e.planned++
		return false, nil
	}
	if !e.ask(fmt.Sprintf("Put the edited event back and remove letter %d? [y/N] ", id), "y") {
		return false, errors.New("nothing was done")
	}
	return true, nil
}

// ask reports whether the answer begins with the given letter.
func (e *editing) ask(question, yes string) bool {
	fmt.Fprint(e.s.err, question)
	answer, _ := e.answers.ReadString('\n') // the end of the input is an answer too
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), yes)
}

// editor has the data edited until it fits its schema, or the operator gives up.
func (e *editing) editor(ctx context.Context, l dlq.Letter, before []byte) ([]byte, error) {
	text := []byte(indent(string(before)) + "\n")
	for {
		edited, err := edit(ctx, e.s, text)
		if err != nil {
			return nil, err
		}
		after := bytes.TrimSpace(edited)
		var b bytes.Buffer
		if json.Compact(&b, after) == nil {
			after = b.Bytes()
		}
		if len(patch.Changes(before, after)) == 0 {
			return nil, errUnchanged
		}
		_, wrong := dlq.Amended(l, after)
		if wrong == nil {
			return after, nil
		}
		if !isTerminal(e.s.in) {
			return nil, wrong
		}
		fmt.Fprintln(e.s.err, "worker:", mask.Text(wrong.Error()))
		if e.ask("Edit again? [Y/n] ", "n") {
			return nil, errors.New("nothing was done")
		}
		text = edited
	}
}
