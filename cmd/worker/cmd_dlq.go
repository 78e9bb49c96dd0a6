package main

import (
	"context"
	"strings"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/internal/mask"
)

type dlqCmd struct {
	Groups dlqGroupsCmd `cmd:"" help:"Letters by cause: what broke, how often, when."`
	Ls     dlqLsCmd     `cmd:"" help:"Letters, oldest first."`
	Show   dlqShowCmd   `cmd:"" help:"One letter, with everything known about it."`
	Replay dlqReplayCmd `cmd:"" help:"Plan a replay of letters; with --yes, run it as a job."`
	Jobs   dlqJobsCmd   `cmd:"" help:"Replays: how far each is, and what became of its letters."`
	Watch  dlqWatchCmd  `cmd:"" help:"Look at a replay until it is over."`
	Pause  dlqPauseCmd  `cmd:"" help:"Stop a replay where it stands."`
	Resume dlqResumeCmd `cmd:"" help:"Let a replay go on that is paused or has stopped."`
	Cancel dlqCancelCmd `cmd:"" help:"End a replay; the letters it has not come to stay."`

	Edit    dlqEditCmd    `cmd:"" help:"Mend an event's data and put it back."`
	Discard dlqDiscardCmd `cmd:"" help:"Put letters away that need no replay."`
	Restore dlqRestoreCmd `cmd:"" help:"Bring discarded letters back."`
	Export  dlqExportCmd  `cmd:"" help:"Write letters, whole, to standard output."`
	Import  dlqImportCmd  `cmd:"" help:"Read exported letters, each once."`
	Ack     dlqAckCmd     `cmd:"" help:"Say that somebody sees to a group."`
	Ignore  dlqIgnoreCmd  `cmd:"" help:"Say that nobody needs to see to a group."`
	Reopen  dlqReopenCmd  `cmd:"" help:"Take back what was said about a group."`
	Log     dlqLogCmd     `cmd:"" help:"What operators did, when and why."`
	Check   dlqCheckCmd   `cmd:"" help:"Compare events, results and letters; --fix mends what is stranded."`
}

type dlqLsCmd struct {
	client
	dlq.Filter
	Discarded bool `help:"Letters that were discarded; their ids are for dlq restore."`
	JSON      bool `help:"One JSON object a line."`
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
		mask.Text(l.EventID), mask.Text(l.Source), l.Replays, nil, l.Group, l.Subject,
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
	found := box.Letters(ctx, c.Filter)
	if c.Discarded {
		away, err := dlq.OpenDiscarded(ctx, box.JetStream(), c.Names)
		if err != nil {
			return notSetUp(err)
		}
		found = away.Letters(ctx, c.Filter)
	}
	list := newListing(s.out, c.JSON, column{"id", 0}, column{"failed", 8}, column{"type", 0}, column{"reason", 0},
		column{"group", 0}, column{"event", 14}, column{"cause", 0})
	for l, err := range found {
		if err != nil {
			return err
		}
		line := lineOf(l)
		if err := list.add(line, l.ID, ago(l.FailedAt), l.Type, l.Reason, l.Group, line.EventID, cause(l.Code, l.Message)); err != nil {
			return err
		}
	}
	return list.end(s.err, "no letters")
}

func cause(code, message string) string { return strings.TrimSpace(code + " " + message) }

// successOf is the success result of an event type.
func successOf(typ string) string { return routeOf(typ).Success }

// routeOf is what becomes of an event type; that of one that nobody handles is empty.
func routeOf(typ string) event.Route {
	for _, r := range handlers.Routes(nil, handlers.Defaults{}) {
		if r.Type == typ {
			return r
		}
	}
	return event.Route{}
}
