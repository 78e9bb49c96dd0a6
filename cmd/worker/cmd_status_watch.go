package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"essworker/internal/mask"
	"essworker/internal/status"
)

const (
	shortestInterval = 100 * time.Millisecond
	// lookWait bounds one look: a screen that stands still must say why.
	lookWait = 3 * time.Second
	// resizeEvery is how often the window's size is looked at. A signal would tell it too,
	// but not on every system.
	resizeEvery = 100 * time.Millisecond
)

// watch looks again and again until interrupted. On a terminal it redraws in place;
// elsewhere each look follows the one before.
func (c *statusCmd) watch(ctx context.Context, s streams, reader *status.Reader, snap status.Snapshot) error {
	ctx, stop := quietSignals(ctx)
	defer stop()
	if c.JSON || !isTerminal(s.out) || os.Getenv("TERM") == "dumb" {
		return c.follow(ctx, s, reader, snap)
	}
	scr := &screen{out: s.out, room: func() screenSize { return windowOf(s.out) }, paint: colourful(s.out)}
	return errors.Join(scr.open(), c.redraw(ctx, scr, reader, snap), scr.close())
}

// follow prints one look after the other.
func (c *statusCmd) follow(ctx context.Context, s streams, reader *status.Reader, snap status.Snapshot) error {
	next := time.NewTicker(c.Interval)
	defer next.Stop()
	var trouble error
	for {
		var err error
		switch {
		case trouble != nil:
			fmt.Fprintln(s.err, "worker:", mask.Text(trouble.Error()))
		case c.JSON:
			err = printSnapshot(s.out, snap)
		default:
			err = printLines(s.out, append(frame(snap, screenSize{width: width(s.out)}, false), ""))
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		snap, trouble = lookAgain(ctx, reader, snap)
	}
}

// redraw keeps a screen up to date.
func (c *statusCmd) redraw(ctx context.Context, scr *screen, reader *status.Reader, snap status.Snapshot) error {
	next, resize := time.NewTicker(c.Interval), time.NewTicker(resizeEvery)
	defer next.Stop()
	defer resize.Stop()
	seen := time.Now()
	var trouble error
	for {
		if err := scr.draw(snap, trouble, time.Since(seen)); err != nil {
			return err
		}
		for drawn := true; drawn; {
			select {
			case <-ctx.Done():
				return nil
			case <-resize.C:
				drawn = scr.room() == scr.drawn
			case <-next.C:
				if snap, trouble = lookAgain(ctx, reader, snap); trouble == nil {
					seen = time.Now()
				}
				drawn = false
			}
		}
	}
}

// lookAgain gives the state as it is, or as it was with the reason.
func lookAgain(ctx context.Context, reader *status.Reader, before status.Snapshot) (status.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	snap, err := reader.Look(ctx)
	if err != nil {
		return before, err
	}
	return snap, nil
}

// Sequences a terminal obeys, as xterm names them.
const (
	alternate, normal      = "\x1b[?1049h", "\x1b[?1049l" // screens: what stood there comes back at the end
	hideCursor, showCursor = "\x1b[?25l", "\x1b[?25h"
	home                   = "\x1b[H"
	clearLine, clearRest   = "\x1b[2K", "\x1b[J"
)

// screen is a terminal that is drawn over in place: each frame is one write that
// clears nothing but the line it is about to write, so that nothing flickers.
type screen struct {
	out   io.Writer
	room  func() screenSize
	paint bool

	drawn screenSize      // the room there was for the last frame
	last  status.Snapshot // what it showed
}

func (scr *screen) open() error { return scr.write(alternate + hideCursor) }

// close leaves the last state behind, where the command was typed.
func (scr *screen) close() error {
	lines := frame(scr.last, screenSize{width: scr.drawn.width}, scr.paint)
	return scr.write(showCursor + normal + strings.Join(lines, "\n") + "\n")
}

// draw shows a state. With trouble it is an old one.
func (scr *screen) draw(snap status.Snapshot, trouble error, old time.Duration) error {
	scr.drawn, scr.last = scr.room(), snap
	room := scr.drawn
	var lines []string
	if trouble != nil {
		why := fmt.Sprintf("! nothing newer than %s ago: %s", span(old), printable(mask.Text(trouble.Error())))
		lines = append(lines, painter(scr.paint).paint(text.FgRed, text.Snip(why, room.width, "…")))
		room.height--
	}
	lines = append(lines, frame(snap, room, scr.paint)...)
	var b strings.Builder
	b.WriteString(home)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n") // not behind the last: it would scroll a full screen
		}
		// Before the line: behind one that fills the width it would take its last character.
		if i == len(lines)-1 {
			b.WriteString(clearRest)
		} else {
			b.WriteString(clearLine)
		}
		b.WriteString(line)
	}
	return scr.write(b.String())
}

func (scr *screen) write(s string) error {
	_, err := io.WriteString(scr.out, s)
	return err
}

// windowOf is the size of the window a terminal has.
func windowOf(out io.Writer) screenSize {
	if f, ok := out.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return screenSize{w, h}
		}
	}
	return screenSize{80, 24}
}
