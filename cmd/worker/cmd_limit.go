package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/audit"
	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
	"essworker/internal/mask"
	"essworker/internal/roles"
	"essworker/internal/status"
	"essworker/internal/topology"
)

type limitCmd struct {
	client
	Action string `arg:"" optional:"" name:"ACTION" help:"A vendor action, or an event type that calls it; its beginning will do."`
	Calls  string `arg:"" optional:"" name:"N" help:"Calls per second of the whole fleet; none is no limit."`
	Reset  bool   `help:"Go back to the workers' own WORKER_RATE."`
	Why    string `help:"Why; kept with the limit and in the audit records." placeholder:"TEXT"`
	JSON   bool   `help:"One JSON object a line."`
}

// Help says what a limit does.
func (limitCmd) Help() string {
	return `Without N it lists limits and what is used of them. A limit holds for the whole
fleet within a second, in place of WORKER_RATE, until it is set again or reset.`
}

// noLimit is the word for it: 0, which a setting has for the same, reads like a stop.
const noLimit = "none"

// workersRate is where a limit comes from that nobody has set.
const workersRate = "WORKER_RATE"

// Run lists limits, or sets one.
func (c *limitCmd) Run(ctx context.Context, s streams) error {
	rate, err := c.usage()
	if err != nil {
		return exit{exitUsage, err}
	}
	action := ""
	if c.Action != "" {
		routes, err := meant(c.Action, "vendor action", fleet.ActionOf)
		if err != nil {
			return err
		}
		action = fleet.ActionOf(routes[0])
	}
	nc, js, err := dial(ctx, c.NATS, roles.Operator)
	if err != nil {
		return err
	}
	defer nc.Close()
	actions, err := status.NewReader(nc, js, c.Names, handlers.Routes(nil, handlers.Defaults{})).Usage(ctx)
	if err != nil {
		return notSetUp(err)
	}
	actions = slices.DeleteFunc(actions, func(a status.Action) bool { return action != "" && a.Name != action })
	if c.Calls == "" && !c.Reset {
		return c.list(s, actions)
	}
	change := limitChange{Action: action, Before: limitOf(actions[0].Quota), After: strconv.Itoa(rate) + "/s"}
	switch {
	case c.Reset && actions[0].Quota.Set == nil:
		fmt.Fprintf(s.err, "%s: no limit is set; the workers' WORKER_RATE holds\n", actionName(action))
		return nil
	case c.Reset:
		change.After = workersRate
	case rate == 0:
		change.After = noLimit
	}
	if err := c.set(ctx, nc, js, change, rate); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, change)
	}
	fmt.Fprintf(s.out, "%s: %s -> %s\n", actionName(action), change.Before, change.After)
	return nil
}

// limitChange is the line of limit --json when one was set.
type limitChange struct {
	Action string `json:"action"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// set records the change and makes it. A rate of 0 is no limit.
func (c *limitCmd) set(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, change limitChange, rate int) error {
	trail := audit.Open(ctx, nc, js, c.Names)
	office := fleet.OpenOffice(nc, js, c.FleetBucket())
	why := mask.Text(c.Why)
	act := audit.Action{Name: "limit", What: change.Action, Before: change.Before, After: change.After, Why: why}
	return trail.Do(ctx, act, func(ctx context.Context) (err error) {
		if c.Reset {
			_, err = office.ResetLimit(ctx, change.Action)
		} else {
			_, err = office.SetLimit(ctx, change.Action, fleet.Limit{Rate: rate, Why: why, By: trail.Who().String()})
		}
		return err
	})
}

func (c *limitCmd) usage() (rate int, err error) {
	c.Why = strings.TrimSpace(c.Why)
	switch {
	case c.Calls != "" && c.Reset:
		return 0, errors.New("give N, or --reset, not both")
	case c.Reset && c.Action == "":
		return 0, errors.New("--reset: say which vendor action's limit")
	case c.Calls == "" && !c.Reset:
		if c.Why != "" {
			return 0, errors.New("--why: there is nothing to do: give N or --reset")
		}
		return 0, nil
	case c.Why == "":
		return 0, errors.New("--why: say why; it is kept with the limit and in the audit records")
	case c.Reset || c.Calls == noLimit:
		return 0, nil
	}
	rate, err = strconv.Atoi(c.Calls)
	switch {
	case err == nil && rate == 0:
		return 0, fmt.Errorf("<N>: 0 would be no limit at all: say %s if you mean that; worker pause stops a lane", noLimit)
	case err != nil || rate < 0 || rate > fleet.MaxRate:
		return 0, fmt.Errorf("<N>: must be between 1 and %d calls per second, or %s, not %q", fleet.MaxRate, noLimit, c.Calls)
	}
	return rate, nil
}

// limitLine is one line of limit --json.
type limitLine struct {
	Action    string     `json:"action"`
	Lanes     []string   `json:"lanes"`
	Limit     *int       `json:"limit"` // 0 is none; null if no worker is there to tell
	Pace      *float64   `json:"pace"`  // null if there is no limit, or it is unknown
	Used      int        `json:"usedLastMinute"`
	From      string     `json:"from"` // "WORKER_RATE" or "operator"
	Why       string     `json:"why,omitempty"`
	By        string     `json:"by,omitempty"`
	At        *time.Time `json:"at,omitempty"`
	Throttled *time.Time `json:"throttledAt,omitempty"`
}

func newLimitLine(a status.Action) limitLine {
	q := a.Quota
	l := limitLine{Action: a.Name, Lanes: a.Lanes, Used: rounded(q.Used), From: workersRate}
	if q.Known {
		l.Limit = &q.Limit
	}
	if q.Pace > 0 {
		l.Pace = &q.Pace
	}
	if q.Set != nil {
		l.From, l.Why, l.By, l.At = "operator", q.Set.Why, q.Set.By, &q.Set.At
	}
	if !q.Throttled.IsZero() {
		l.Throttled = &q.Throttled
	}
	return l
}

func (c *limitCmd) list(s streams, actions []status.Action) error {
	list := newListing(s.out, c.JSON, column{"action", 0}, column{"limit", 0}, column{"pace", 0}, column{"last min", 0}, column{"set by", 0})
	for _, a := range actions {
		q, by := a.Quota, workersRate
		if q.Set != nil {
			by = fmt.Sprintf("%s %s: %s", q.Set.By, ago(q.Set.At), q.Set.Why)
		}
		if err := list.add(newLimitLine(a), actionName(a.Name), limitOf(q), paceOf(q), usedOf(q), by); err != nil {
			return err
		}
	}
	return list.end(s.err, "no vendor actions")
}

// actionName is an action without its product: those of this program differ without.
func actionName(action string) string {
	_, name, _ := strings.Cut(action, ".")
	return cmp.Or(name, action)
}

func limitOf(q status.Quota) string {
	switch {
	case !q.Known:
		return workersRate
	case q.Limit == 0:
		return noLimit
	}
	return strconv.Itoa(q.Limit) + "/s"
}

func paceOf(q status.Quota) string {
	if q.Pace == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(rounded(10*q.Pace))/10, 'g', -1, 64) + "/s"
}

// usedText is the calls of the last minute and how many they may be.
func usedOf(q status.Quota) string {
	if !q.Known || q.Limit == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", rounded(q.Used), 60*q.Limit)
}

func rounded(f float64) int { return int(f + 0.5) }

// meant gives the routes an operator names by event type, consumer or vendor action,
// whole or by how they begin. What tells apart what is named: routes alike in it are one.
func meant(word, what string, tell func(event.Route) string) ([]event.Route, error) {
	routes := handlers.Routes(nil, handlers.Defaults{})
	for _, fits := range []func(event.Route) bool{
		func(r event.Route) bool {
			return slices.Contains([]string{r.Type, topology.Consumer(r.Type), r.Action, fleet.ActionOf(r)}, word)
		},
		func(r event.Route) bool {
			return slices.ContainsFunc([]string{r.Type, topology.Consumer(r.Type), r.Action}, func(name string) bool { return begins(name, word) })
		},
	} {
		var found []event.Route
		var names []string
		for _, r := range routes {
			if fits(r) {
				found = append(found, r)
				if !slices.Contains(names, tell(r)) {
					names = append(names, tell(r))
				}
			}
		}
		switch {
		case len(names) > 1:
			return nil, exit{exitUsage, fmt.Errorf("%q may be %s: say more of it", word, strings.Join(names, " or "))}
		case len(names) == 1:
			return found, nil
		}
	}
	var names []string
	for _, r := range routes {
		if !slices.Contains(names, tell(r)) {
			names = append(names, tell(r))
		}
	}
	return nil, exit{exitNoMatch, fmt.Errorf("%q is no %s: use one of %s", word, what, strings.Join(names, ", "))}
}

// begins compares without regard to letter case.
func begins(name, word string) bool {
	return len(name) >= len(word) && strings.EqualFold(name[:len(word)], word)
}
