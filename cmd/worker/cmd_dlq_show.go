package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"essworker/internal/audit"
	"essworker/internal/dlq"
	"essworker/internal/essapi"
	"essworker/internal/mask"
)

type dlqShowCmd struct {
	client
	ID        string `arg:"" name:"ID" help:"The letter's id, as dlq ls prints it, or a group's, as dlq groups does."`
	Discarded bool   `help:"A discarded letter, by its id of dlq ls --discarded."`
	Reveal    bool   `help:"Print the data and headers whole, personal data too; needs --why."`
	Why       string `help:"Why the data is needed; kept in the audit records." placeholder:"TEXT"`
	JSON      bool   `help:"One JSON object."`
}

// Help says what there is to see.
func (dlqShowCmd) Help() string {
	return `Why its event failed and what usually mends that, what happened to it and what
was done about it, the event itself with personal data masked, and the commands
that come next.`
}

// Run prints one letter, or one group.
func (c *dlqShowCmd) Run(ctx context.Context, s streams) error {
	c.Why = strings.TrimSpace(c.Why)
	group := dlq.IsGroup(c.ID)
	id, err := letterID(c.ID)
	switch {
	case err != nil && !group:
		return exit{exitUsage, err}
	case group && (c.Reveal || c.Discarded):
		return exit{exitUsage, errors.New("--reveal, --discarded: one letter at a time")}
	case c.Reveal && c.Why == "":
		return exit{exitUsage, errors.New("--reveal: say --why; it is kept in the audit records")}
	}
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	if group {
		return c.group(ctx, s, box)
	}
	l, err := c.get(ctx, box, id)
	if err != nil {
		return err
	}
	if !c.Reveal {
		return c.letter(ctx, s, nc, box, l)
	}
	act := audit.Action{Name: "letters.reveal", What: "letter " + c.ID, Why: c.Why}
	if c.Discarded {
		act.What = "discarded " + act.What
	}
	return audit.Open(ctx, nc, box.JetStream(), c.Names).Do(ctx, act, func(ctx context.Context) error { return c.letter(ctx, s, nc, box, l) })
}

func (c *dlqShowCmd) get(ctx context.Context, box *dlq.Box, id uint64) (l dlq.Letter, err error) {
	if !c.Discarded {
		l, err = box.Get(ctx, id)
		if errors.Is(err, dlq.ErrNoLetter) {
			err = exit{exitNoMatch, fmt.Errorf("no letter %d: it was replayed, discarded or never there; worker dlq ls lists what is, and worker dlq log what was done", id)}
		}
		return l, err
	}
	away, err := dlq.OpenDiscarded(ctx, box.JetStream(), c.Names)
	if err != nil {
		return l, notSetUp(err)
	}
	l, err = away.Get(ctx, id)
	if errors.Is(err, dlq.ErrNoLetter) {
		err = exit{exitNoMatch, fmt.Errorf("no discarded letter %d: worker dlq ls --discarded lists what there is", id)}
	}
	return l, err
}

func (c *dlqShowCmd) letter(ctx context.Context, s streams, nc *nats.Conn, box *dlq.Box, l dlq.Letter) error {
	v := letterView{Letter: l, away: c.Discarded}
	v.header, v.data = masked(l)
	done, err := box.Succeeded(ctx, successOf, l)
	if err != nil {
		return err
	}
	v.succeeded = done[l.ID]
	office, err := c.office(ctx, box)
	if err != nil {
		return err
	}
	if v.past, err = office.Past(ctx, l); err != nil {
		return err
	}
	if !v.away {
		if v.verdict, v.job, err = office.Verdict(ctx, l); err != nil {
			return err
		}
	}
	// Whoever may read letters need not be one who may read the records.
	records, err := audit.Records(ctx, nc, box.JetStream(), c.Names, audit.Query{Limit: recordsSearched})
	if err != nil {
		fmt.Fprintln(s.err, "worker: what operators did is not shown:", mask.Text(err.Error()))
	}
	v.records = slices.DeleteFunc(records, func(r audit.Record) bool { return !v.tells(r) })
	if c.Reveal {
		v.header, v.data = l.Header, string(l.Data)
		if !utf8.ValidString(v.data) {
			v.data = "base64: " + base64.StdEncoding.EncodeToString(l.Data)
		}
	}
	if c.JSON {
		return v.json(s.out)
	}
	return v.print(s.out)
}

// recordsSearched is how many of the newest records are searched for a letter.
const recordsSearched = 1000

// at is a moment on the operator's clock.
func at(t time.Time) string { return t.Local().Format(time.DateTime) }

func (c *dlqShowCmd) group(ctx context.Context, s streams, box *dlq.Box) error {
	groups, err := box.Groups(ctx, dlq.Filter{Group: c.ID}, dlq.ByCause)
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		return exit{exitNoMatch, fmt.Errorf("no letter is of group %s: worker dlq groups lists what there is", c.ID)}
	}
	mended, err := c.mendedByGroup(ctx, box)
	if err != nil {
		return err
	}
	g := groups[0]
	advice := mend(g.Type, g.Code)
	if c.JSON {
		return printJSON(s.out, struct {
			groupLine
			Mend   string   `json:"mend"`
			Newest []uint64 `json:"newest"`
		}{groupLineOf(g, mended[g.ID]), advice, g.Newest})
	}
	if err := printGroup(s.out, g, mended[g.ID]); err != nil {
		return err
	}
	w := &lines{out: s.out}
	fmt.Fprintln(s.out)
	w.field("why", "%s", cause(g.Code, g.Message))
	w.field("mend", "%s", advice)
	w.field("newest", "%s", strings.Trim(fmt.Sprint(g.Newest), "[]"))
	w.field("next", "%s", strings.Join([]string{
		fmt.Sprintf("worker dlq show %d  # the newest of them", g.Newest[len(g.Newest)-1]),
		"worker dlq ack " + c.ID + " --why TEXT  # you see to it",
		"worker dlq replay " + c.ID + "  # the plan",
		"worker dlq edit " + c.ID + " --patch FILE --why TEXT",
		"worker dlq discard " + c.ID + " --why TEXT",
	}, "\n"))
	return w.err
}

// mend is the advice for a code.
func mend(typ, code string) string {
	if action := routeOf(typ).Action; action != "" {
		return essapi.Mend(action, code)
	}
	return ""
}

// fieldMargin stands before the second and further lines of a field.
const fieldMargin = "            "

// lines prints named fields below each other, broken to the width of the screen.
type lines struct {
	out io.Writer
	err error
}

func (w *lines) field(name, format string, args ...any) {
	value := printable(fmt.Sprintf(format, args...))
	if w.err != nil || value == "" {
		return
	}
	var parts []string
	for line := range strings.SplitSeq(value, "\n") {
		if !strings.HasPrefix(line, " ") && name != "data" { // what is laid out stays so
			line = hang(w.out, "", fieldMargin, line)
		}
		parts = append(parts, line)
	}
	_, w.err = fmt.Fprintf(w.out, "%-11s %s\n", name, strings.Join(parts, "\n"+fieldMargin))
}

// indent lays JSON out on lines; what is not JSON stays as it is.
func indent(data string) string {
	var b strings.Builder
	var v json.RawMessage
	if json.Unmarshal([]byte(data), &v) != nil {
		return data
	}
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return data
	}
	return strings.TrimSpace(b.String())
}
