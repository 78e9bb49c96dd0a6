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
	nc, js, err := dial(ctx, c.NATS, "_INBOX_pub")
	if err != nil {
		return err
	}
	defer nc.Close()
	p := publisher{cmd: c, js: js, streams: s, checks: map[string]func([]byte) (event.Job, error){}}
	for _, r := range handlers.Routes(nil, handlers.Defaults{Operator: "any", AppID: "any"}) {
		p.checks[r.Type] = r.Prepare
	}
	if !c.JSON && isTerminal(s.err) {
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
			return "", "", fmt.Errorf("%q is no event type: use one of %s", typ, strings.Join(handlers.Types(), ", "))
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

func open(file string, in io.Reader) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(in), nil
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
	place int // in the input, from 1
	event event.Event
	ack   jetstream.PubAckFuture
}

func (p *publisher) all(ctx context.Context, typ string, in io.Reader) error {
	dec := json.NewDecoder(in)
	for place := 1; ; place++ {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil { // nothing behind it can be read
			p.fail(place, fmt.Errorf("not JSON: %w", err))
			break
		}
		if p.cmd.ID != "" && place == 2 {
			return errors.Join(p.finish(), exit{exitUsage, errors.New("--id: there is more than one event")})
		}
		if err := p.send(ctx, typ, place, raw); err != nil {
			p.fail(place, err)
		}
		for len(p.queue) >= window {
			p.settle()
		}
	}
	return p.finish()
}

// send checks one event and starts it on its way.
func (p *publisher) send(ctx context.Context, typ string, place int, raw json.RawMessage) error {
	var e event.Event
	var header nats.Header
	var body []byte
	var err error
	if p.cmd.Event {
		header = nats.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}
		body = raw
		if e, err = readWhole(header, raw); err != nil {
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
	check, ok := p.checks[e.Type()]
	if !ok {
		return fmt.Errorf("%q is no event type: use one of %s", e.Type(), strings.Join(handlers.Types(), ", "))
	}
	if _, err := check(e.Data()); err != nil {
		return err
	}
	header.Set(jetstream.MsgIDHeader, e.Source()+"|"+e.ID())
	msg := &nats.Msg{Subject: p.cmd.EventSubject(e.Type()), Header: header, Data: body}
	ack, err := p.js.PublishMsgAsync(msg, jetstream.WithStallWait(stallWait))
	if err != nil {
		return err
	}
	p.queue = append(p.queue, pending{place, e, ack})
	return context.Cause(ctx)
}

// stallWait is how long a publish may wait for room on a busy connection.
const stallWait = 10 * time.Second

// readWhole reads a structured CloudEvent, which names its own type.
func readWhole(header nats.Header, raw []byte) (event.Event, error) {
	var named struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &named); err != nil {
		return event.Event{}, errors.New("not a CloudEvent: not a JSON object")
	}
	return event.Parse(named.Type, header, raw)
}

// settle waits for the oldest event on its way.
func (p *publisher) settle() {
	first := p.queue[0]
	p.queue = p.queue[1:]
	select {
	case ack := <-first.ack.Ok():
		p.stored++
		if p.bar != nil {
			_ = p.bar.Add(1) // a bar that cannot be drawn is no reason to stop
		}
		p.print(first.event, ack)
	case err := <-first.ack.Err():
		if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
			err = fmt.Errorf("no stream takes %q: run worker setup first", p.cmd.EventSubject(first.event.Type()))
		}
		p.fail(first.place, err)
	}
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
		}{e.ID(), e.Source(), e.Type(), subject, ack.Stream, ack.Sequence, ack.Duplicate})
		return
	}
	if p.bar == nil {
		note := ""
		if ack.Duplicate {
			note = " (a duplicate: it was stored before)"
		}
		fmt.Fprintf(p.out, "%s %s stored as %s/%d%s\n", e.Type(), e.ID(), ack.Stream, ack.Sequence, note)
	}
}

func (p *publisher) fail(place int, err error) {
	p.failed++
	fmt.Fprintf(p.err, "worker: event %d is not stored: %v\n", place, err)
}

// finish waits for what is on its way and gives the exit code.
func (p *publisher) finish() error {
	for len(p.queue) > 0 {
		p.settle()
	}
	if p.bar != nil {
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
