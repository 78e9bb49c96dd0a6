package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"sync"

	"essworker/internal/mask"
)

// The log formats a person may ask for.
const (
	formatText = "text"
	formatJSON = "json"
)

// newLines gives the handler that writes log lines: JSON for machines, the
// standard library's text where text was asked for, and a form made for the eye
// on a terminal.
func newLines(cfg Config, o Options) slog.Handler {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel, ReplaceAttr: maskAttr}
	switch {
	case cfg.LogFormat == formatJSON, cfg.LogFormat == "" && !o.Terminal:
		return slog.NewJSONHandler(o.Stderr, opts)
	case o.Terminal:
		colour := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		return newScreen(o.Stderr, cfg.LogLevel, colour)
	default:
		return slog.NewTextHandler(o.Stderr, opts)
	}
}

// maskAttr is the last resort: text is masked where it is made, and this catches
// what slipped through, the message included. A value that is no plain text is
// turned into text first, since whatever it holds would be printed.
func maskAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(mask.Text(a.Value.String()))
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case slog.Level: // cheaper as text than as a JSON value of its own
			a.Value = slog.StringValue(v.String())
		case *slog.Source: // the handler's own
		default:
			a.Value = slog.StringValue(mask.Text(text(v)))
		}
	default: // numbers, times, durations; a group's members come one by one
	}
	return a
}

// text is what a value says, bytes of any type read as the text they are. It goes
// through fmt even for an error, because that survives an Error method that panics.
func text(v any) string {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Slice && rv.Type().Elem().Kind() == reflect.Uint8 {
		return string(rv.Bytes())
	}
	return fmt.Sprint(v)
}

// screen writes log lines for a person at a terminal:
//
//	15:04:05.000 INFO  event done            type=employee.onboarded attempt=1
//
// The attributes are written by the standard text handler, into the same line.
type screen struct {
	attrs slog.Handler
	line  *line
}

// line is the one line that a screen and all handlers derived from it fill.
type line struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	w      io.Writer
	colour bool
}

// messageWidth aligns the attributes of most lines.
const messageWidth = 24

func newScreen(w io.Writer, level slog.Level, colour bool) screen {
	l := &line{w: w, colour: colour}
	return screen{line: l, attrs: slog.NewTextHandler(&l.buf, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 {
				switch a.Key {
				case slog.TimeKey, slog.LevelKey, slog.MessageKey: // written by Handle
					return slog.Attr{}
				}
			}
			return maskAttr(groups, a)
		},
	})}
}

// Enabled reports whether the level is logged.
func (s screen) Enabled(ctx context.Context, level slog.Level) bool {
	return s.attrs.Enabled(ctx, level)
}

// Handle writes one line with one Write.
func (s screen) Handle(ctx context.Context, r slog.Record) error {
	l := s.line
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Reset()
	l.buf.WriteString(l.paint(dim, r.Time.Format("15:04:05.000")))
	l.buf.WriteByte(' ')
	l.buf.WriteString(l.paint(levelColour(r.Level), fmt.Sprintf("%-5s", r.Level)))
	fmt.Fprintf(&l.buf, " %-*s ", messageWidth, mask.Text(r.Message))
	if err := s.attrs.Handle(ctx, r); err != nil {
		return err
	}
	_, err := l.w.Write(append(bytes.TrimRight(l.buf.Bytes(), " \n"), '\n'))
	return err
}

// WithAttrs gives a screen that adds attrs to every line.
func (s screen) WithAttrs(attrs []slog.Attr) slog.Handler {
	return screen{s.attrs.WithAttrs(attrs), s.line}
}

// WithGroup gives a screen that puts a name before every further key.
func (s screen) WithGroup(name string) slog.Handler {
	return screen{s.attrs.WithGroup(name), s.line}
}

// The few colours of a terminal that read well on light and dark ground.
const (
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	plain  = "\x1b[0m"
)

func (l *line) paint(colour, s string) string {
	if !l.colour {
		return s
	}
	return colour + s + plain
}

func levelColour(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return red
	case level >= slog.LevelWarn:
		return yellow
	case level >= slog.LevelInfo:
		return green
	default:
		return dim
	}
}
