package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// widest is what a table takes where the terminal's width is not known.
const widest = 100

// listing prints rows in one of two forms: a table for people, or one JSON object
// a line for programs. Rows are printed as they come in JSON, and together in a
// table, whose columns must know each other.
type listing struct {
	out     io.Writer
	json    bool
	columns []column
	rows    [][]string
	count   int
}

// column is a heading and the most characters its values take; 0 is no bound. The
// last column gets what is left of the line.
type column struct {
	name  string
	width int
}

func newListing(out io.Writer, asJSON bool, columns ...column) *listing {
	return &listing{out: out, json: asJSON, columns: columns}
}

// add prints one row: cells for the table, object for JSON.
func (l *listing) add(object any, cells ...any) error {
	l.count++
	if l.json {
		return printJSON(l.out, object)
	}
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = printable(strings.ReplaceAll(fmt.Sprint(cell), "\n", " "))
		if w := l.columns[i].width; w > 0 {
			row[i] = text.Snip(row[i], w, "…")
		}
	}
	l.rows = append(l.rows, row)
	return nil
}

// end prints the table, or on note that there is nothing to show.
func (l *listing) end(note io.Writer, nothing string) error {
	switch {
	case l.count == 0:
		_, err := fmt.Fprintln(note, nothing)
		return err
	case l.json:
		return nil
	}
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	head := make(table.Row, len(l.columns))
	for i, c := range l.columns {
		head[i] = c.name
	}
	t.AppendHeader(head)
	last := len(l.columns) - 1
	room := max(minLast, width(l.out)-l.taken())
	for _, row := range l.rows {
		row[last] = text.Snip(row[last], room, "…")
		cells := make(table.Row, len(row))
		for i, cell := range row {
			cells[i] = cell
		}
		t.AppendRow(cells)
	}
	for line := range strings.Lines(t.Render() + "\n") {
		if _, err := fmt.Fprintln(l.out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// minLast is what the last column gets on the narrowest terminal.
const minLast = 10

// taken is the width of all columns but the last, with the space between them.
func (l *listing) taken() int {
	sum := 0
	for i, c := range l.columns[:len(l.columns)-1] {
		widest := text.StringWidth(c.name)
		for _, row := range l.rows {
			widest = max(widest, text.StringWidth(row[i]))
		}
		sum += widest + 2
	}
	return sum
}

// printable replaces what a terminal would obey instead of showing: an event is a
// stranger's text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' || r == '\t' {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// printJSON writes one object on one line, with & as &.
func printJSON(out io.Writer, object any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return enc.Encode(object)
}

// width is that of the terminal out writes to.
func width(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return widest
}

// isTerminal reports whether one of the streams is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ago is how long ago t was, as people say it.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	switch d := time.Since(t); {
	case d < 0:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}
