package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/handlers"
	"essworker/internal/mask"
	"essworker/internal/roles"
	"essworker/schemas"
)

type resultsCmd struct {
	client
	Follow bool     `short:"f" help:"Go on with new results until interrupted."`
	Event  string   `help:"Only results of the event with this id." placeholder:"ID"`
	Type   string   `help:"Only results of this type, for example employee.bound." placeholder:"TYPE"`
	Since  dlq.When `help:"Stored at or after: a duration ago (2h) or a time (RFC 3339)." placeholder:"WHEN"`
	Limit  int      `default:"50" help:"At most so many, the newest; 0 is all." placeholder:"N"`
	Reveal bool     `help:"Print links and numbers of people too, which are masked otherwise."`
	JSON   bool     `help:"One JSON object a line."`
}

// result is one line of the listing.
type result struct {
	ID              string          `json:"id"`
	Type            string          `json:"type"`
	Source          string          `json:"source"`
	Subject         string          `json:"subject"`
	Time            string          `json:"time"`
	CausationID     string          `json:"causationid"`
	CausationSource string          `json:"causationsource"`
	CorrelationID   string          `json:"correlationid"`
	Data            json.RawMessage `json:"data"`
}

// Run prints results, newest last.
func (c *resultsCmd) Run(ctx context.Context, s streams) error {
	switch types := resultTypes(); {
	case c.Limit < 0:
		return exit{exitUsage, fmt.Errorf("--limit: must be 0 (all) or more, not %d", c.Limit)}
	case c.Type != "" && !slices.Contains(types, c.Type):
		return exit{exitUsage, fmt.Errorf("--type: %q is no result type: use one of %s", c.Type, strings.Join(types, ", "))}
	}
	nc, js, err := dial(ctx, c.NATS, roles.Operator)
	if err != nil {
		return err
	}
	defer nc.Close()
	stream, err := js.Stream(ctx, c.ResultsStream())
	if err != nil {
		return notSetUp(fmt.Errorf("open stream %q: %w", c.ResultsStream(), err))
	}
	state := stream.CachedInfo().State
	last := state.LastSeq
	if err := c.printOld(ctx, js, s, state); err != nil || !c.Follow {
		return err
	}
	for r, err := range c.read(ctx, js, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: last + 1,
	}, 0) {
		if err != nil {
			return err
		}
		if err := c.printNew(s.out, r); err != nil {
			return err
		}
	}
	return nil
}

// printOld prints what was there at the start.
func (c *resultsCmd) printOld(ctx context.Context, js jetstream.JetStream, s streams, state jetstream.StreamState) error {
	var newest []result
	older := uint64(0)
	if state.Msgs > 0 {
		cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
		limit := uint64(c.Limit) //nolint:gosec // never negative
		switch {
		case !c.Since.IsZero():
			cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &c.Since.Time
		case c.Event == "" && c.Type == "" && 0 < limit && limit < state.Msgs: // what is older need not be read
			cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, state.LastSeq-limit+1
			older = state.Msgs - limit
		}
		for r, err := range c.read(ctx, js, cfg, state.LastSeq) {
			if err != nil {
				return err
			}
			newest = append(newest, r)
			if c.Limit > 0 && len(newest) > c.Limit {
				newest = slices.Delete(newest, 0, 1)
				older++
			}
		}
	}
	list := newListing(s.out, c.JSON, column{"time", 0}, column{"type", 0}, column{"subject", 14}, column{"event", 14}, column{"what", 0})
	for _, r := range newest {
		if err := list.add(r, shortTime(r.Time), r.Type, r.Subject, r.CausationID, summary(r.Data)); err != nil {
			return err
		}
	}
	if err := list.end(s.err, "no results"); err != nil {
		return err
	}
	if older > 0 {
		fmt.Fprintf(s.err, "%d older results are not shown: --limit 0 shows all\n", older)
	}
	return nil
}

func (c *resultsCmd) printNew(out io.Writer, r result) error {
	if c.JSON {
		return printJSON(out, r)
	}
	line := fmt.Sprintf("%s  %s  %s  %s  %s", shortTime(r.Time), r.Type, r.Subject, r.CausationID, summary(r.Data))
	_, err := fmt.Fprintln(out, printable(line))
	return err
}

// read gives results up to sequence last, or for ever if that is 0.
func (c *resultsCmd) read(ctx context.Context, js jetstream.JetStream, cfg jetstream.OrderedConsumerConfig, last uint64) iter.Seq2[result, error] {
	return func(yield func(result, error) bool) {
		what := ">"
		if c.Type != "" {
			what = c.Type + ".*"
		}
		cfg.FilterSubjects = []string{strings.TrimSuffix(c.ResultSubject(what, ""), ".")}
		cons, err := js.OrderedConsumer(ctx, c.ResultsStream(), cfg)
		if err != nil {
			yield(result{}, fmt.Errorf("read results: %w", err))
			return
		}
		if last > 0 && cons.CachedInfo().NumPending == 0 {
			return
		}
		msgs, err := cons.Messages()
		if err != nil {
			yield(result{}, fmt.Errorf("read results: %w", err))
			return
		}
		defer msgs.Stop()
		for {
			msg, err := msgs.Next(jetstream.NextContext(ctx))
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(result{}, fmt.Errorf("read results: %w", err))
				return
			}
			meta, err := msg.Metadata()
			if err != nil {
				yield(result{}, fmt.Errorf("read results: %w", err))
				return
			}
			if last > 0 && meta.Sequence.Stream > last {
				return
			}
			if r := c.result(msg.Headers(), msg.Data()); c.Event == "" || r.CausationID == c.Event {
				if !yield(r, nil) {
					return
				}
			}
			if last > 0 && (meta.NumPending == 0 || meta.Sequence.Stream == last) {
				return
			}
		}
	}
}

// result reads a result event as the worker wrote it. What is personal in it is
// masked unless it was asked for.
func (c *resultsCmd) result(h nats.Header, data []byte) result {
	attr := func(name string) string { return dlq.Decode(h.Get("ce-" + name)) }
	r := result{
		ID: attr("id"), Type: attr("type"), Source: attr("source"), Subject: attr("subject"), Time: attr("time"),
		CausationID: attr("causationid"), CausationSource: attr("causationsource"), CorrelationID: attr("correlationid"),
	}
	if json.Valid(data) {
		r.Data = data
	}
	if c.Reveal {
		return r
	}
	r.Data = []byte(maskedJSON(r.Data, schemas.Personal(r.Type, r.Data)))
	for _, text := range []*string{&r.Subject, &r.CausationID, &r.CausationSource, &r.CorrelationID} {
		*text = mask.Text(*text) // what a publisher has chosen
	}
	return r
}

// resultTypes lists the types of all results.
func resultTypes() []string {
	var types []string
	for _, r := range handlers.Routes(nil, handlers.Defaults{}) {
		types = append(types, r.Success, r.Failure)
	}
	return types
}

// summary is a result's data in a few words.
func summary(data []byte) string {
	var d struct {
		AlreadyBound bool      `json:"alreadyBound"`
		Granted      []string  `json:"granted"`
		Already      []string  `json:"alreadyGranted"`
		ExpiresAt    time.Time `json:"expiresAt"`
		Verification *struct{} `json:"operatorVerification"`
		Reason       string    `json:"reason"`
		Code         string    `json:"code"`
		Message      string    `json:"message"`
		DeadLetter   struct {
			ID uint64 `json:"id"`
		} `json:"deadLetter"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return "unreadable"
	}
	switch {
	case d.Reason != "":
		return strings.TrimSpace(fmt.Sprintf("%s, letter %d: %s %s", d.Reason, d.DeadLetter.ID, d.Code, d.Message))
	case !d.ExpiresAt.IsZero():
		return "a link until " + d.ExpiresAt.UTC().Format("2006-01-02 15:04")
	case d.Verification != nil:
		return "waits for the operator's face check"
	case d.Granted != nil:
		return fmt.Sprintf("%d granted, %d already", len(d.Granted), len(d.Already))
	case d.AlreadyBound:
		return "bound already"
	}
	return "bound"
}

// shortTime is a moment in the local zone: the time if it is today's, else the day.
func shortTime(s string) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return "-"
	}
	t = t.Local()
	if t.Format(time.DateOnly) == time.Now().Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateOnly)
}
