package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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
			row[i] = snip(row[i], w)
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
	out := bufio.NewWriter(l.out)
	head := make([]string, len(l.columns))
	for i, c := range l.columns {
		head[i] = strings.ToUpper(c.name)
	}
	widths := l.widths()
	for _, row := range slices.Concat([][]string{head}, l.rows) {
		l.line(out, row, widths)
	}
	return out.Flush()
}

// line prints one row, without what would only be space at its end.
func (l *listing) line(out *bufio.Writer, row []string, widths []int) {
	const space = "  "
	end := len(row)
	for end > 0 && row[end-1] == "" {
		end--
	}
	for i, cell := range row[:end] {
		if i == len(row)-1 || l.columns[i].width > 0 {
			cell = snip(cell, widths[i])
		}
		_, _ = out.WriteString(cell) // an error stays until Flush
		if i < end-1 {
			_, _ = out.WriteString(strings.Repeat(" ", widths[i]-cellWidth(cell)) + space)
		}
	}
	_ = out.WriteByte('\n')
}

// minLast is what the last column gets on the narrowest terminal.
const minLast = 10

// widths are those of the columns; the last one gets what is left of the line. Where that
// is too little, those with a bound give way, the first of them first.
func (l *listing) widths() []int {
	widths := make([]int, len(l.columns))
	left := width(l.out)
	last := len(l.columns) - 1
	for i, c := range l.columns[:last] {
		widths[i] = cellWidth(c.name)
		for _, row := range l.rows {
			widths[i] = max(widths[i], cellWidth(row[i]))
		}
		left -= widths[i] + 2
	}
	for i, c := range l.columns[:last] {
		if c.width > 0 && left < minLast {
			give := max(0, min(minLast-left, widths[i]-max(minLast, len(c.name))))
			widths[i], left = widths[i]-give, left+give
		}
	}
	widths[last] = max(minLast, left)
	return widths
}

// snip cuts a cell to a width. What has no more bytes than that needs no look at each
// character, which for thousands of rows is most of the work.
func snip(cell string, width int) string {
	if len(cell) <= width {
		return cell
	}
	return text.Snip(cell, width, "…")
}

// cellWidth is how many columns of the screen a cell takes.
func cellWidth(cell string) int {
	whole, cut := strings.CutSuffix(cell, "…")
	for i := range len(whole) {
		if whole[i] >= utf8.RuneSelf || whole[i] < ' ' {
			return text.StringWidth(cell)
		}
	}
	if cut {
		return len(whole) + 1
	}
	return len(whole)
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
