package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/schollz/progressbar/v3"

	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/internal/mask"
	"essworker/internal/natsconn"
	"essworker/internal/roles"
)

type publishCmd struct {
	client
	Args   []string `arg:"" optional:"" name:"TYPE [FILE]" help:"The event type, and a file of data; - or none is standard input. With --event only the file."`
	Event  bool     `help:"Take whole CloudEvents (structured JSON) of any type instead of data."`
	ID     string   `help:"The event's id; the default is a new one. For one event only." placeholder:"ID"`
	Source string   `default:"/worker-cli" help:"The event's source." placeholder:"URI"`
	JSON   bool     `help:"One JSON object a line for each event stored."`
}

// Help is shown behind the flags.
func (publishCmd) Help() string {
	return `Data is JSON, one object or one a line (NDJSON).

Types: ` + strings.Join(handlers.Types(), ", ") + `

  worker publish employee.onboarded onboarded.json
  jq -c .people[] staff.json | worker publish employee.onboarded
  worker publish --event events.ndjson`
}

// window is how many events may be on their way to the server at a time.
const window = 256

// Run publishes each event as soon as it is read and checked, and reports them in
// that order.
func (c *publishCmd) Run(ctx context.Context, s streams) error {
	typ, file, err := c.what()
	if err != nil {
		return exit{exitUsage, err}
	}
	in, err := open(file, s.in)
	if err != nil {
		return exit{exitUsage, err}
	}
	defer in.Close()
	nc, js, err := dial(ctx, c.NATS, roles.Publisher)
	if err != nil {
		return err
	}
	defer nc.Close()
	if file == "-" && isTerminal(s.in) {
		fmt.Fprintln(s.err, "reading events from the terminal: Ctrl-D ends them")
	}
	p := publisher{cmd: c, js: js, streams: s, checks: map[string]func([]byte) (event.Job, error){}}
	for _, r := range handlers.Routes(nil, handlers.Defaults{Operator: "any", AppID: "any"}) {
		p.checks[r.Type] = r.Prepare
	}
	if !c.JSON && isTerminal(s.err) && isTerminal(s.out) {
		p.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(s.err), progressbar.OptionSetDescription("publishing"),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("events"),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return p.all(ctx, typ, in)
}

// what tells type and file apart.
func (c *publishCmd) what() (typ, file string, err error) {
	args := c.Args
	if !c.Event {
		if len(args) == 0 {
			return "", "", fmt.Errorf("TYPE is missing: one of %s", strings.Join(handlers.Types(), ", "))
		}
		typ, args = args[0], args[1:]
		if !slices.Contains(handlers.Types(), typ) {
			return "", "", noType(typ)
		}
	} else if c.ID != "" {
		return "", "", errors.New("--id: whole CloudEvents bring their own")
	}
	switch len(args) {
	case 0:
		return typ, "-", nil
	case 1:
		return typ, args[0], nil
	}
	return "", "", fmt.Errorf("one file at most, not %q", args)
}

func noType(typ string) error {
	return fmt.Errorf("%q is no event type: use one of %s", mask.Name(typ), strings.Join(handlers.Types(), ", "))
}

func open(file string, in io.Reader) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(in), nil
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a directory", file)
	}
	return os.Open(file) //nolint:gosec // the user names the file
}

type publisher struct {
	streams

	cmd    *publishCmd
	js     jetstream.JetStream
	checks map[string]func([]byte) (event.Job, error)
	bar    *progressbar.ProgressBar
	queue  []pending
	stored int
	failed int
}

// pending is an event on its way.
type pending struct {
	line  int // of the input
	event event.Event
	ack   jetstream.PubAckFuture
}

func (p *publisher) all(ctx context.Context, typ string, in io.Reader) error {
	input := newValues(in)
	for n := 1; ; n++ {
		raw, line, err := input.next()
		switch {
		case errors.Is(err, io.EOF):
			return p.finish(ctx)
		case err != nil && !errors.Is(err, errNotJSON):
			return errors.Join(p.finish(ctx), fmt.Errorf("read the input: %w", err))
		case p.cmd.ID != "" && n > 1:
			return errors.Join(exit{exitUsage, errors.New("--id: there is more than one event; only the first was published")}, p.finish(ctx))
		}
		if err == nil {
			err = p.send(typ, line, raw)
		}
		if err != nil {
			p.fail(line, "not stored", err)
		}
		if errors.Is(err, errLost) {
			return p.finish(ctx)
		}
		for len(p.queue) >= window {
			p.settle(ctx)
		}
	}
}

// errLost says that no more events can be sent.
var errLost = errors.New("the connection to the server is lost, and nothing behind this line was read")

// send checks one event and starts it on its way.
func (p *publisher) send(typ string, line int, raw json.RawMessage) error {
	var e event.Event
	var header nats.Header
	var body []byte
	var err error
	if p.cmd.Event {
		header = nats.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}
		body = raw
		if e, err = p.readWhole(header, raw); err != nil {
			return err
		}
	} else {
		id := p.cmd.ID
		if id == "" {
			id = nuid.Next()
		}
		e = event.New(typ, p.cmd.Source, id, raw)
		e.SetTime(time.Now().UTC())
		if header, body, err = event.Write(e); err != nil {
			return err
		}
		if _, err := event.Parse(typ, header, body); err != nil {
			return err
		}
	}
	if _, err := p.checks[e.Type()](e.Data()); err != nil {
		return err
	}
	header.Set(jetstream.MsgIDHeader, e.Source()+"|"+e.ID())
	msg := &nats.Msg{Subject: p.cmd.EventSubject(e.Type()), Header: header, Data: body}
	ack, err := p.js.PublishMsgAsync(msg, jetstream.WithStallWait(stallWait))
	switch {
	case err == nil:
		p.queue = append(p.queue, pending{line, e, ack})
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return err
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

// stallWait is how long a publish may wait for room on a busy connection.
const stallWait = 10 * time.Second

// readWhole reads a structured CloudEvent, which names its own type.
func (p *publisher) readWhole(header nats.Header, raw []byte) (event.Event, error) {
	var named struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &named); err != nil {
		return event.Event{}, errors.New("not a CloudEvent: not a JSON object")
	}
	if _, ok := p.checks[named.Type]; !ok {
		return event.Event{}, noType(named.Type)
	}
	return event.Parse(named.Type, header, raw)
}

// settle waits for the oldest event on its way.
func (p *publisher) settle(ctx context.Context) {
	first := p.queue[0]
	p.queue = p.queue[1:]
	select {
	case ack := <-first.ack.Ok():
		p.stored++
		p.print(first.event, ack)
	case err := <-first.ack.Err():
		what := "not stored"
		if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
			err = fmt.Errorf("no stream takes %q: run worker setup first", p.cmd.EventSubject(first.event.Type()))
		} else if _, refused := errors.AsType[*jetstream.APIError](err); !refused {
			what = unconfirmed(first.event)
		}
		p.fail(first.line, what, err)
	case <-ctx.Done(): // the server has denied something, and answers no more than that
		err, what := context.Cause(ctx), unconfirmed(first.event)
		if d, ok := errors.AsType[*natsconn.DeniedError](err); ok && d.Subject == p.cmd.EventSubject(first.event.Type()) {
			what = "not stored"
		}
		p.fail(first.line, what, err)
	}
}

func unconfirmed(e event.Event) string {
	return fmt.Sprintf("not confirmed; it may be stored as %s from %s", e.ID(), e.Source())
}

func (p *publisher) print(e event.Event, ack *jetstream.PubAck) {
	subject := p.cmd.EventSubject(e.Type())
	if p.cmd.JSON {
		_ = printJSON(p.out, struct {
			ID        string `json:"id"`
			Source    string `json:"source"`
			Type      string `json:"type"`
			Subject   string `json:"subject"`
			Stream    string `json:"stream"`
			Seq       uint64 `json:"seq"`
			Duplicate bool   `json:"duplicate"`
		}{mask.Text(e.ID()), mask.Text(e.Source()), e.Type(), subject, ack.Stream, ack.Sequence, ack.Duplicate})
		return
	}
	if p.bar != nil && p.stored > listed {
		_ = p.bar.Set(p.stored) // a bar that cannot be drawn is no reason to stop
		return
	}
	note := ""
	if ack.Duplicate {
		note = " (a duplicate: it was stored before)"
	}
	fmt.Fprintf(p.out, "%s %s stored as %s/%d%s\n", e.Type(), mask.Text(e.ID()), ack.Stream, ack.Sequence, note)
}

// listed is how many events a terminal shows one by one before they become a bar.
const listed = 10

func (p *publisher) fail(line int, what string, err error) {
	p.failed++
	fmt.Fprintf(p.err, "worker: line %d: %s\n", line, mask.Text(fmt.Sprintf("%s: %v", what, err)))
}

// finish waits for what is on its way and gives the exit code.
func (p *publisher) finish(ctx context.Context) error {
	for len(p.queue) > 0 {
		p.settle(ctx)
	}
	if p.bar != nil && p.stored > listed {
		_ = p.bar.Finish()
		fmt.Fprintf(p.out, "%d events stored\n", p.stored)
	}
	switch {
	case p.failed == 0 && p.stored == 0:
		return errors.New("nothing was published: the input is empty")
	case p.stored == 0:
		return errors.New("nothing was stored")
	case p.failed > 0:
		return exit{exitPartly, fmt.Errorf("%d events stored, %d not", p.stored, p.failed)}
	}
	return nil
}
