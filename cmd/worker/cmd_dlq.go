package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/dlq"
	"essworker/internal/essapi"
	"essworker/internal/handlers"
	"essworker/internal/mask"
	"essworker/schemas"
)

type dlqCmd struct {
	Groups dlqGroupsCmd `cmd:"" help:"Letters by cause: what broke, how often, when."`
	Ls     dlqLsCmd     `cmd:"" help:"Letters, oldest first."`
	Show   dlqShowCmd   `cmd:"" help:"One letter, with everything known about it."`
	Replay dlqReplayCmd `cmd:"" help:"Put letters' events back into their stream."`
}

type dlqLsCmd struct {
	client
	dlq.Filter
	JSON bool `help:"One JSON object a line."`
}

// letterLine is one line of dlq ls --json, as the contract has it.
type letterLine struct {
	ID        uint64    `json:"id"`
	Reason    string    `json:"reason"`
	Type      string    `json:"type"`
	Code      string    `json:"code"`
	Message   string    `json:"message"`
	RequestID string    `json:"requestId"`
	Attempts  int       `json:"attempts"`
	FailedAt  time.Time `json:"failedAt"`
	EventID   string    `json:"eventId"`
	Source    string    `json:"source"`
	Replays   int       `json:"replays"`
	Origin    *uint64   `json:"origin"` // null on a first letter
	Group     string    `json:"group"`
	Subject   string    `json:"subject"`
}

func lineOf(l dlq.Letter) letterLine {
	line := letterLine{
		l.ID, string(l.Reason), l.Type, l.Code, l.Message, l.RequestID, l.Attempts, l.FailedAt,
		mask.Text(l.EventID), l.Source, l.Replays, nil, l.Group, l.Subject,
	}
	if l.Origin > 0 {
		line.Origin = &l.Origin
	}
	return line
}

// Run lists letters.
func (c *dlqLsCmd) Run(ctx context.Context, s streams) error {
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	list := newListing(s.out, c.JSON, column{"id", 0}, column{"failed", 8}, column{"type", 0}, column{"reason", 0},
		column{"group", 0}, column{"event", 14}, column{"cause", 0})
	for l, err := range box.Letters(ctx, c.Filter) {
		if err != nil {
			return err
		}
		if err := list.add(lineOf(l), l.ID, ago(l.FailedAt), l.Type, l.Reason, l.Group, l.EventID, cause(l.Code, l.Message)); err != nil {
			return err
		}
	}
	return list.end(s.err, "no letters")
}

type dlqGroupsCmd struct {
	client
	dlq.Filter
	JSON bool `help:"One JSON object a line."`
}

// groupLine is one line of dlq groups --json.
type groupLine struct {
	Group   string    `json:"group"`
	Reason  string    `json:"reason"`
	Type    string    `json:"type"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Count   int       `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Replays int       `json:"replayed"`
}

// Run lists causes, the most frequent first.
func (c *dlqGroupsCmd) Run(ctx context.Context, s streams) error {
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	groups, err := box.Groups(ctx, c.Filter, dlq.ByCause)
	if err != nil {
		return err
	}
	list := newListing(s.out, c.JSON, column{"group", 0}, column{"count", 0}, column{"last", 8}, column{"type", 0},
		column{"reason", 0}, column{"cause", 0})
	for _, g := range groups {
		line := groupLine{g.ID, g.Reason, g.Type, g.Code, g.Message, g.Count, g.First, g.Last, g.Again}
		if err := list.add(line, g.ID, g.Count, ago(g.Last), g.Type, g.Reason, cause(g.Code, g.Message)); err != nil {
			return err
		}
	}
	return list.end(s.err, "no letters")
}

func cause(code, message string) string { return strings.TrimSpace(code + " " + message) }

type dlqShowCmd struct {
	client
	ID   uint64 `arg:"" help:"The letter's id, as dlq ls prints it."`
	JSON bool   `help:"One JSON object."`
}

// Run prints one letter with personal data masked.
func (c *dlqShowCmd) Run(ctx context.Context, s streams) error {
	nc, box, err := c.box(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	l, err := box.Get(ctx, c.ID)
	if errors.Is(err, dlq.ErrNoLetter) {
		return exit{exitNoMatch, fmt.Errorf("no letter %d: it was replayed or never there; worker dlq ls lists what is", c.ID)}
	}
	if err != nil {
		return err
	}
	personal := schemas.Personal(l.Type, l.Data)
	data := maskedData(l)
	if c.JSON {
		return printJSON(s.out, struct {
			letterLine
			Deliveries int         `json:"deliveries"`
			FirstSeen  time.Time   `json:"firstSeen"`
			Stream     string      `json:"stream"`
			StreamSeq  uint64      `json:"streamSeq"`
			Worker     string      `json:"worker"`
			Header     nats.Header `json:"headers"`
			Data       string      `json:"data"`
		}{lineOf(l), l.Deliveries, l.FirstSeen, l.Stream, l.StreamSeq, l.Worker, masked(l.Header, personal), data})
	}
	return show(s.out, l, masked(l.Header, personal), data)
}

func masked(h nats.Header, personal []string) nats.Header {
	out := make(nats.Header, len(h))
	for name, values := range h {
		for _, v := range values {
			out[name] = append(out[name], mask.Text(dlq.Decode(v), personal...))
		}
	}
	return out
}

func show(out io.Writer, l dlq.Letter, header nats.Header, data string) error {
	w := &lines{out: out}
	w.field("letter", "%d, group %s", l.ID, l.Group)
	w.field("why", "%s: %s", l.Reason, cause(l.Code, l.Message))
	w.field("mend", "%s", mend(l))
	w.field("request id", "%s", l.RequestID)
	w.field("event", "%s %s from %s", l.Type, l.EventID, l.Source)
	w.field("accepted", "%s as %s/%d on %s", l.FirstSeen.Local().Format(time.DateTime), l.Stream, l.StreamSeq, l.Subject)
	w.field("failed", "%s; vendor calls %d, deliveries %d", l.FailedAt.Local().Format(time.DateTime), l.Attempts, l.Deliveries)
	if l.Replays > 0 {
		w.field("replayed", "%d times; its first letter was %d", l.Replays, l.Origin)
	}
	w.field("by", "%s", l.Worker)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		w.field("header", "%s: %s", name, strings.Join(header[name], ", "))
	}
	w.field("data", "%s", indent(data))
	w.field("replay", "worker dlq replay %d", l.ID)
	return w.err
}

// mend is the advice for a letter's code.
func mend(l dlq.Letter) string {
	for _, r := range handlers.Routes(nil, handlers.Defaults{}) {
		if r.Type == l.Type {
			return essapi.Mend(r.Action, l.Code)
		}
	}
	return ""
}

// lines prints named fields below each other.
type lines struct {
	out io.Writer
	err error
}

func (w *lines) field(name, format string, args ...any) {
	if text := printable(fmt.Sprintf(format, args...)); w.err == nil && text != "" {
		_, w.err = fmt.Fprintf(w.out, "%-11s %s\n", name, strings.ReplaceAll(text, "\n", "\n            "))
	}
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
