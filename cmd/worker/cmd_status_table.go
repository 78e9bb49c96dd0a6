package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/status"
)

const (
	// wide is the width of a line from which there is room for more columns.
	wide = 118
	// mostTenants is how many held tenants are named.
	mostTenants = 5
	// fewestWorkers is how many stay on a screen that has no room for all.
	fewestWorkers = 2
)

// screenSize is that of a screen in characters. A height of 0 is no bound.
type screenSize struct{ width, height int }

// colourful reports whether colours are wanted and understood; see no-color.org.
func colourful(out io.Writer) bool {
	return isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// frame is the status as lines that fit the width. With a height, workers that have no
// room are left out, and said to be.
func frame(s status.Snapshot, room screenSize, paint bool) []string {
	p := painter(paint)
	lines := []string{headline(s), ""}
	lines = append(lines, p.lanes(s, room.width)...)
	if notes := p.notes(s, room.width); len(notes) > 0 {
		lines = append(append(lines, ""), notes...)
	}
	if s.Letters.Count > 0 {
		lines = append(append(lines, ""), letterLines(s)...)
	}
	if len(s.Workers) > 0 {
		lines = append(lines, "")
		left := len(s.Workers)
		if free := room.height - len(lines) - 1; room.height > 0 && left > free {
			left = max(fewestWorkers, free-1) // one line tells of the rest
		}
		lines = append(lines, p.workers(s, left)...)
	}
	for i, line := range lines {
		lines[i] = text.Snip(line, room.width, "…")
	}
	if room.height > 0 && len(lines) > room.height {
		lines = append(lines[:room.height-1], "… (the window is too low)")
	}
	return lines
}

func headline(s status.Snapshot) string {
	var backlog uint64
	for _, l := range s.Lanes {
		backlog += l.Backlog()
	}
	return fmt.Sprintf("%s   %s   %s   %s", s.At.UTC().Format("2006-01-02 15:04:05 UTC"),
		counted(uint64(len(s.Workers)), "worker"), counted(backlog, "event"), counted(s.Letters.Count, "letter"))
}

func counted(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatUint(n, 10) + " " + what + "s"
}

// painter paints, or does not.
type painter bool

func (p painter) state(s status.State) string {
	var colour text.Color
	switch s {
	case status.Missing, status.Held, status.Open, status.NoWorker:
		colour = text.FgRed
	case status.Paused, status.Probing, status.Throttled:
		colour = text.FgYellow
	case status.Working:
		colour = text.FgGreen
	case status.Idle: // nothing to look at
		return string(s)
	}
	return p.paint(colour, string(s))
}

func (p painter) paint(c text.Color, s string) string {
	if !p {
		return s
	}
	return c.Sprint(s)
}

// lanes is the table of them: what an operator asks first, in 80 columns; with more
// room, what follows from it.
func (p painter) lanes(s status.Snapshot, width int) []string {
	g := grid{left: []string{"lane", "state"}}
	g.head = []string{"lane", "waiting", "calls", "retry", "oldest", "quota", "empty", "state"}
	if width >= wide {
		g.head = []string{"lane", "waiting", "calls", "retry", "oldest", "last min", "limit", "pace", "empty", "workers", "letters", "state"}
	}
	for _, l := range s.Lanes {
		cells := map[string]string{
			"lane": l.Type, "waiting": digits(l.Waiting), "calls": digits(l.Calls), "retry": digits(l.Retry),
			"oldest": age(s.At, l.Oldest), "quota": part(l.Quota), "empty": emptyText(l), "state": p.state(l.State),
			"last min": usedOf(l.Quota), "limit": limitShort(l.Quota), "pace": paceOf(l.Quota),
			"workers": strconv.Itoa(l.Workers), "letters": digits(sumOf(l.Letters)),
		}
		g.add(cells)
	}
	return g.lines()
}

// letterLines is the table of them, without the lanes that have none.
func letterLines(s status.Snapshot) []string {
	g := grid{head: []string{"letters"}, left: []string{"letters"}}
	for _, r := range fault.Reasons() {
		g.head = append(g.head, string(r))
	}
	var known uint64
	for _, l := range s.Lanes {
		if len(l.Letters) == 0 {
			continue
		}
		known += sumOf(l.Letters)
		cells := map[string]string{"letters": l.Type}
		for _, r := range fault.Reasons() {
			cells[string(r)] = digits(l.Letters[r])
		}
		g.add(cells)
	}
	var lines []string
	if known > 0 {
		lines = g.lines()
	}
	lines = append(lines, fmt.Sprintf("the oldest letter is %s old; worker dlq groups tells the causes", age(s.At, s.Letters.Oldest)))
	if s.Letters.UntouchedID > 0 {
		lines = append(lines, fmt.Sprintf("nobody has replayed letter %d, which failed %s ago", s.Letters.UntouchedID, age(s.At, s.Letters.Untouched)))
	}
	return lines
}

// workers is the table of them: those in trouble first, and at most so many.
func (p painter) workers(s status.Snapshot, most int) []string {
	g := grid{head: []string{"worker", "version", "up", "calls", "seen", "trouble"}, left: []string{"worker", "version", "trouble"}}
	list := slices.Clone(s.Workers)
	slices.SortStableFunc(list, func(a, b fleet.Presence) int { return cmp.Compare(len(troubleOf(b)), len(troubleOf(a))) })
	if len(troubleOf(list[0])) == 0 {
		g.head = g.head[:len(g.head)-1]
	}
	if len(list) > most {
		list = list[:most]
	}
	for _, w := range list {
		calls := 0
		for _, share := range w.Lanes {
			calls += share.Calls
		}
		g.add(map[string]string{
			"worker": text.Snip(printable(fmt.Sprintf("%s/%d", w.Host, w.PID)), 32, "…"), "version": text.Snip(printable(w.Version), 12, "…"),
			"up": age(s.At, w.Since), "calls": strconv.Itoa(calls), "seen": age(s.At, w.Seen),
			"trouble": p.paint(text.FgRed, troubleOf(w)),
		})
	}
	lines := g.lines()
	if left := len(s.Workers) - len(list); left > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more; worker status --json lists all", left))
	}
	return lines
}

// troubleOf is what a worker has to itself: the fleet's breakers are told elsewhere.
func troubleOf(w fleet.Presence) string {
	var shut []string
	for lane, share := range w.Lanes {
		if share.Breaker != "" {
			shut = append(shut, "own breaker "+share.Breaker+": "+lane)
		}
	}
	slices.Sort(shut)
	return strings.Join(shut, ", ")
}

// grid is a table without lines: a heading, and cells under it, numbers to the right.
type grid struct {
	head []string
	left []string // columns of words
	rows []table.Row
}

func (g *grid) add(cells map[string]string) {
	row := make(table.Row, len(g.head))
	for i, name := range g.head {
		row[i] = cells[name]
	}
	g.rows = append(g.rows, row)
}

func (g *grid) lines() []string {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	head := make(table.Row, len(g.head))
	columns := make([]table.ColumnConfig, len(g.head))
	for i, name := range g.head {
		head[i], columns[i] = name, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight}
		if slices.Contains(g.left, name) {
			columns[i] = table.ColumnConfig{Number: i + 1}
		}
	}
	t.AppendHeader(head)
	t.AppendRows(g.rows)
	t.SetColumnConfigs(columns)
	lines := strings.Split(t.Render(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return lines
}

func digits(n uint64) string { return strconv.FormatUint(n, 10) }

func sumOf(counts map[fault.Reason]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// part is how much of the quota the last minute has used.
func part(q status.Quota) string {
	if !q.Known || q.Limit == 0 {
		return "-"
	}
	return strconv.Itoa(rounded(100*q.Used/float64(60*q.Limit))) + "%"
}

// limitShort is a limit in few letters.
func limitShort(q status.Quota) string {
	if !q.Known {
		return "-"
	}
	return limitOf(q)
}

func emptyText(l status.Lane) string {
	if l.Empty < 0 || l.Backlog() == 0 {
		return "-"
	}
	return span(l.Empty)
}

func age(now, then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	return span(now.Sub(then))
}

// span is a duration in six characters.
func span(d time.Duration) string {
	d = max(d, 0)
	minutes, hours, days := int(d.Minutes()), int(d.Hours()), int(d.Hours())/24
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case hours == 0:
		return strconv.Itoa(minutes) + "m"
	case days == 0:
		return fmt.Sprintf("%dh%02dm", hours, minutes%60)
	case days < 100:
		return fmt.Sprintf("%dd%dh", days, hours%24)
	}
	return strconv.Itoa(min(days, 99999)) + "d"
}
