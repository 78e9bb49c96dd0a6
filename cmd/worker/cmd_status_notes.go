package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"essworker/internal/fleet"
	"essworker/internal/status"
)

// notes say what is out of the ordinary and why, the worst first; each is wrapped.
func (p painter) notes(s status.Snapshot, width int) (lines []string) {
	add := func(colour text.Color, mark, format string, args ...any) {
		for i, line := range wrap(printable(fmt.Sprintf(format, args...)), width-len(mark)-1) {
			head := strings.Repeat(" ", len(mark))
			if i == 0 {
				head = p.paint(colour, mark)
			}
			lines = append(lines, head+" "+line)
		}
	}
	trouble := func(format string, args ...any) { add(text.FgRed, "!", format, args...) }
	remark := func(format string, args ...any) { add(text.FgYellow, "-", format, args...) }

	tenants := 0
	for _, b := range s.Shut {
		if b.Kind == fleet.Tenant {
			if tenants++; tenants > mostTenants {
				continue
			}
		}
		trouble("%s", shutText(s, b))
	}
	if tenants > mostTenants {
		trouble("and %d more tenants are held; worker status --json lists all", tenants-mostTenants)
	}
	for _, l := range s.Lanes {
		switch {
		case l.State == status.Missing:
			trouble("%s: there is no consumer %s: run worker setup", l.Type, l.Consumer)
		case l.State == status.NoWorker && l.Backlog() > 0:
			trouble("%s: events wait and no worker is there", l.Type)
		case l.State == status.Paused:
			remark("%s", pauseText(s, l))
		}
	}
	for _, l := range distinct(s.Lanes) {
		q := l.Quota
		if !q.Throttled.IsZero() {
			remark("%s: throttled %s ago; the pace is %s and climbs back to %s", actionName(l.Action), age(s.At, q.Throttled), paceOf(q), limitOf(q))
		}
		if q.Set != nil {
			remark("%s: limit %s set %s ago by %s: %s", actionName(l.Action), limitOf(q), age(s.At, q.Set.At), q.Set.By, q.Set.Why)
		}
	}
	if len(s.Lanes) > 0 && len(s.Lanes[0].Quota.Rates) > 1 {
		remark("the workers have different WORKER_RATEs: %s", joined(s.Lanes[0].Quota.Rates))
	}
	if v := versions(s.Workers); len(v) > 1 {
		remark("the workers have different versions: %s", strings.Join(v, ", "))
	}
	return lines
}

// versions lists those of the workers, each once.
func versions(workers []fleet.Presence) (list []string) {
	for _, w := range workers {
		list = append(list, w.Version)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// distinct gives one lane for each vendor action.
func distinct(lanes []status.Lane) (some []status.Lane) {
	for _, l := range lanes {
		if !slices.ContainsFunc(some, func(o status.Lane) bool { return o.Action == l.Action }) {
			some = append(some, l)
		}
	}
	return some
}

// shutText is one breaker or hold, and when it is probed next.
func shutText(s status.Snapshot, b fleet.Bar) string {
	what := string(b.Kind) + " " + b.Name + ": held"
	switch b.Kind {
	case fleet.Breaker:
		what = b.Name + ": breaker open"
	case fleet.Action:
		what = actionName(b.Name) + ": held"
	case fleet.Credential, fleet.Tenant:
	}
	why := strings.Trim(b.Code+": "+b.Why, ": ")
	next := "the next event is the probe"
	switch {
	case b.Probe != nil && b.Probe.Until.After(s.At):
		next = "being probed"
	case b.ProbeAt.After(s.At):
		next = "next probe in " + span(b.ProbeAt.Sub(s.At))
	}
	return fmt.Sprintf("%s for %s: %s; %s", what, age(s.At, b.Since), why, next)
}

func pauseText(s status.Snapshot, l status.Lane) string {
	if l.Pause.Note == nil {
		return fmt.Sprintf("%s: paused %s with another tool; nobody said why", l.Type, untilText(l.Pause.Until))
	}
	return fmt.Sprintf("%s: paused %s ago by %s, %s: %s", l.Type, age(s.At, l.Pause.Note.At), l.Pause.Note.By, untilText(l.Pause.Until), l.Pause.Note.Why)
}

func joined(numbers []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(numbers)), ", "), "[]")
}

// wrap breaks a text into lines of at most so many characters, between words where
// there are some, within them where there are none, as in Chinese.
func wrap(s string, width int) (lines []string) {
	width = max(width, 20)
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && text.StringWidth(line)+1+text.StringWidth(word) <= width {
			line += " " + word
			continue
		}
		if line != "" && text.StringWidth(word) <= width {
			lines, line = append(lines, line), word
			continue
		}
		if line != "" {
			line += " "
		}
		for _, r := range word {
			if text.StringWidth(line)+text.RuneWidth(r) > width {
				lines, line = append(lines, strings.TrimRight(line, " ")), ""
			}
			line += string(r)
		}
	}
	return append(lines, line)
}
