package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
	"essworker/internal/roles"
	"essworker/internal/status"
)

type statusCmd struct {
	client
	Watch    bool          `short:"w" help:"Look again and again, until interrupted."`
	Interval time.Duration `default:"1s" help:"How often --watch looks." placeholder:"DURATION"`
	JSON     bool          `help:"One JSON object a line."`
}

// Help explains the columns, and the lines of --json.
func (statusCmd) Help() string {
	return `The columns of the table:

    WAITING  events that wait for their turn
    CALLS    calls under way, as the workers said up to ten seconds ago
    RETRY    events that come again later; the three together are exact
    OLDEST   age of the oldest event that is not settled
    QUOTA    calls of the last minute, about, as a part of the limit
    EMPTY    when the backlog will be gone, as things are
    STATE    what to look at first; the lines under the table say why

With --json each line has a "kind": "lane", "worker", "letters", or what is shut:
"breaker", "credential", "action", "tenant". Durations are in seconds.`
}

// Run prints how the deployment stands, once or until interrupted.
func (c *statusCmd) Run(ctx context.Context, s streams) error {
	if c.Interval < shortestInterval {
		return exit{exitUsage, fmt.Errorf("--interval: must be %v or more, not %v", shortestInterval, c.Interval)}
	}
	nc, js, err := dial(ctx, c.NATS, roles.Operator)
	if err != nil {
		return err
	}
	defer nc.Close()
	reader := status.NewReader(nc, js, c.Names, handlers.Routes(nil, handlers.Defaults{}))
	snap, err := reader.Look(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("nothing is set up under the prefix %q: worker setup does it, and so does worker run; or check --nats-url and --prefix", c.Prefix)
	}
	if err != nil {
		return err
	}
	switch {
	case c.Watch:
		return c.watch(ctx, s, reader, snap)
	case c.JSON:
		return printSnapshot(s.out, snap)
	}
	return printLines(s.out, frame(snap, screenSize{width: width(s.out)}, colourful(s.out)))
}

func printLines(out io.Writer, lines []string) error {
	_, err := io.WriteString(out, strings.Join(lines, "\n")+"\n")
	return err
}

// The lines of status --json. Times are the server's.
type (
	laneStatus struct {
		Kind        string                  `json:"kind"` // "lane"
		At          time.Time               `json:"at"`
		Lane        string                  `json:"lane"`
		Consumer    string                  `json:"consumer"`
		Action      string                  `json:"action"`
		State       status.State            `json:"state"`
		Backlog     uint64                  `json:"backlog"`
		Waiting     uint64                  `json:"waiting"` // backlog is waiting, calls and retry together
		Calls       uint64                  `json:"calls"`
		Retry       uint64                  `json:"retry"`
		Oldest      *time.Time              `json:"oldest"`       // null without a backlog
		Empty       *float64                `json:"emptySeconds"` // null is unknown, or never
		Limit       *int                    `json:"limit"`        // calls per second; 0 is none; null if no worker is there to tell
		Pace        *float64                `json:"pace"`         // calls per second at present; null without a limit
		Used        int                     `json:"usedLastMinute"`
		Workers     int                     `json:"workers"`
		Letters     map[fault.Reason]uint64 `json:"letters"`
		PausedUntil *time.Time              `json:"pausedUntil,omitempty"` // absent if until resumed
		PausedBy    string                  `json:"pausedBy,omitempty"`
		PausedWhy   string                  `json:"pausedWhy,omitempty"`
	}
	workerStatus struct {
		Kind string    `json:"kind"` // "worker"
		At   time.Time `json:"at"`
		fleet.Presence

		Seen time.Time `json:"seen"`
	}
	lettersStatus struct {
		Kind   string     `json:"kind"` // "letters"
		At     time.Time  `json:"at"`
		Count  uint64     `json:"count"`
		Oldest *time.Time `json:"oldest"` // null without letters
		// Untouched is when the oldest letter failed that was never replayed; null without one.
		Untouched *time.Time `json:"untouched"`
	}
	shutStatus struct {
		fleet.Bar

		At time.Time `json:"at"`
	}
)

func printSnapshot(out io.Writer, snap status.Snapshot) error {
	for _, l := range snap.Lanes {
		if err := printJSON(out, newLaneStatus(snap.At, l)); err != nil {
			return err
		}
	}
	for _, b := range snap.Shut {
		if err := printJSON(out, shutStatus{b, snap.At}); err != nil {
			return err
		}
	}
	for _, w := range snap.Workers {
		if err := printJSON(out, workerStatus{"worker", snap.At, w, w.Seen}); err != nil {
			return err
		}
	}
	return printJSON(out, lettersStatus{"letters", snap.At, snap.Letters.Count, given(snap.Letters.Oldest), given(snap.Letters.Untouched)})
}

func newLaneStatus(at time.Time, l status.Lane) laneStatus {
	line := laneStatus{
		Kind: "lane", At: at, Lane: l.Type, Consumer: l.Consumer, Action: l.Action, State: l.State,
		Backlog: l.Backlog(), Waiting: l.Waiting, Calls: l.Calls, Retry: l.Retry, Oldest: given(l.Oldest),
		Used: rounded(l.Quota.Used), Workers: l.Workers, Letters: l.Letters,
	}
	if l.Empty >= 0 {
		line.Empty = new(l.Empty.Seconds())
	}
	if l.Quota.Known {
		line.Limit = &l.Quota.Limit
	}
	if l.Quota.Pace > 0 {
		line.Pace = &l.Quota.Pace
	}
	if l.State == status.Paused {
		line.PausedUntil = given(l.Pause.Until)
		if note := l.Pause.Note; note != nil {
			line.PausedBy, line.PausedWhy = note.By, note.Why
		}
	}
	return line
}

// given is nil for the zero time.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
