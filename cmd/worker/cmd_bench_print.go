package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"

	"essworker/internal/bench"
)

const (
	benchWidth  = 80  // the widest a report is drawn
	benchNames  = 16  // its first column
	benchValues = 10  // its others
	benchBars   = 16  // the most lines of a histogram
	benchOthers = 0.1 // what other programs may take of the machine before the report says so
)

// print prints the report. Its error says that the work was not done as promised.
func (b *benchRun) print(r *bench.Report) error {
	var err error
	if b.JSON {
		err = printJSON(b.out, b.object(r))
	} else {
		_, err = io.WriteString(b.out, b.text(r, min(width(b.out), benchWidth)))
	}
	if len(r.Wrong) > 0 {
		err = errors.Join(err, errors.New("the work was not done as promised:\n"+strings.Join(r.Wrong, "\n")))
	}
	return err
}

// text is the report for people, no line of it longer than the columns, without colours.
func (b *benchRun) text(r *bench.Report, columns int) string {
	var t strings.Builder
	t.WriteString(wrapped(b.about(), columns))
	b.figures(&t, r, columns)
	latencies(&t, r, columns)
	drawn, of := "to the result", r.Result
	if b.Rate == 0 { // nearly all of that is the time in the queue
		drawn, of = "call to result", r.Rest
	}
	fmt.Fprintf(&t, "\n%s\n%s\n", drawn, histogram(of.Bars(benchBars), len(of), columns))
	for _, note := range b.notes(r) {
		t.WriteString(wrapped(note, columns))
	}
	return t.String()
}

// about says what was measured.
func (b *benchRun) about() string {
	how, quota, sync := "all waiting", "no limit", "as it is set up"
	if b.Rate > 0 {
		how = strconv.FormatFloat(b.Rate, 'f', -1, 64) + " a second"
	}
	if b.Limit > 0 {
		quota = fmt.Sprintf("limit %d/s", b.Limit)
	}
	if !b.given {
		sync = "sync " + b.Sync
	}
	return fmt.Sprintf("%s events of %d types, %s; %s; NATS %s, %s",
		grouped(float64(b.Events)), len(b.Type), how, quota, b.trial.NC.ConnectedServerVersion(), sync)
}

func (b *benchRun) figures(t *strings.Builder, r *bench.Report, columns int) {
	cpu := "of the worker"
	if r.CPU.Server > 0 {
		cpu += ", NATS " + short(r.CPU.Server)
	}
	if r.CPU.Sim > 0 {
		cpu += ", simulator " + short(r.CPU.Sim)
	}
	t.WriteString("\n")
	for _, f := range [][3]string{
		{"events a second", grouped(r.Rate()), grouped(float64(r.Events)) + " in " + short(r.Took)},
		{"CPU per event", short(r.CPU.Worker), cpu},
		{"peak memory", megabytes(r.Peak), "of the worker"},
		{"allocations", grouped(r.Allocated.Objects), "per event, " + grouped(r.Allocated.Bytes/1000) + " kB"},
	} {
		line := fmt.Sprintf("%-*s%*s", benchNames, f[0], benchValues, f[1])
		if note := "   " + f[2]; len(line)+len(note) <= columns {
			line += note
		}
		fmt.Fprintln(t, line)
	}
}

// latencies is a table with as many percentiles as there is room for.
func latencies(t *strings.Builder, r *bench.Report, columns int) {
	type quantile struct {
		name string
		q    float64
	}
	list := []quantile{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}}
	for _, last := range []string{"p99.9", "p90", "p99"} {
		if benchNames+len(list)*benchValues > columns {
			list = slices.DeleteFunc(list, func(q quantile) bool { return q.name == last })
		}
	}
	fmt.Fprintf(t, "\n%-*s", benchNames, "from publishing")
	for _, q := range list {
		fmt.Fprintf(t, "%*s", benchValues, q.name)
	}
	for _, l := range []struct {
		name string
		of   bench.Latency
	}{{"to the call", r.Call}, {"to the result", r.Result}, {"call to result", r.Rest}} {
		fmt.Fprintf(t, "\n%-*s", benchNames, l.name)
		for _, q := range list {
			fmt.Fprintf(t, "%*s", benchValues, short(l.of.At(q.q)))
		}
	}
	t.WriteString("\n")
}

// notes is what remains to be said.
func (b *benchRun) notes(r *bench.Report) (notes []string) {
	most := 0
	for _, m := range r.Most {
		most = max(most, m.Sliding, m.Calendar)
	}
	if b.Limit > 0 {
		notes = append(notes, fmt.Sprintf("at most %d calls of an action came in any second, sliding or by the calendar", most))
	}
	if again := r.Calls - r.Events; again > 0 {
		notes = append(notes, grouped(float64(again))+" calls were made again for an event")
	}
	if r.TooFast > 0 {
		notes = append(notes, grouped(float64(r.TooFast))+" calls were refused as too fast: the simulator has a limit")
	}
	if r.Others > benchOthers {
		notes = append(notes, fmt.Sprintf("other programs had %.0f %% of the processors: the figures are theirs too", 100*r.Others))
	}
	if len(r.Wrong) == 0 {
		notes = append(notes, "checked: each event was carried out once and has one success")
	}
	return notes
}

// histogram draws bars, one a line.
func histogram(bars []bench.Bar, total, columns int) string {
	most := 0
	for _, b := range bars {
		most = max(most, b.Count)
	}
	counts := len(grouped(float64(most)))
	room := max(columns-len("123 µs    99.9 %")-2-counts, 1)
	var t strings.Builder
	for _, b := range bars {
		fmt.Fprintf(&t, "%7s %s %*s %5.1f %%\n", short(b.From), bar(b.Count, most, room), counts, grouped(float64(b.Count)), 100*float64(b.Count)/float64(total))
	}
	return t.String()
}

// bar is a bar of eighths of a character, padded to the room for the longest. Whatever
// counts anything is seen.
func bar(n, most, room int) string {
	eighths := (n*room*8 + most - 1) / max(most, 1)
	drawn := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		drawn += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return drawn + strings.Repeat(" ", room-utf8.RuneCountInString(drawn))
}

// short is a duration in three figures, "-" if there is none.
func short(d time.Duration) string {
	unit, name := time.Second, "s"
	switch {
	case d <= 0:
		return "-"
	case d < time.Millisecond-time.Microsecond/2: // more is a thousand when rounded
		unit, name = time.Microsecond, "µs"
	case d < time.Second-time.Millisecond/2:
		unit, name = time.Millisecond, "ms"
	}
	v := float64(d) / float64(unit)
	digits := 2
	switch {
	case v >= 99.95:
		digits = 0
	case v >= 9.995:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + name
}

// grouped is a number without a fraction, its thousands apart.
func grouped(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// wrapped is a paragraph, no line of it longer than the columns.
func wrapped(paragraph string, columns int) string {
	var t strings.Builder
	for line := range strings.Lines(text.WrapSoft(paragraph, columns)) {
		t.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return t.String()
}

func megabytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
