package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"essworker/internal/dlq"
	"essworker/internal/mask"
	"essworker/internal/patch"
)

// edit has a text edited in the operator's editor and gives what was saved. It may hold
// personal data: its file is the operator's alone, in memory where the system has a place
// for that, and removed.
func edit(ctx context.Context, s streams, text []byte) ([]byte, error) {
	dir, err := os.MkdirTemp(os.Getenv("XDG_RUNTIME_DIR"), "essworker-") // of empty, the temporary one
	if errors.Is(err, fs.ErrNotExist) {
		dir, err = os.MkdirTemp("", "essworker-")
	}
	if err != nil {
		return nil, fmt.Errorf("make a file to edit: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() //nolint:gosec // made above
	file := filepath.Join(dir, "event.json")
	if err := os.WriteFile(file, text, 0o600); err != nil { //nolint:gosec // in the directory made above
		return nil, fmt.Errorf("make a file to edit: %w", err)
	}
	ctx, stop := untilHangup(ctx)
	defer stop()
	name := cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi")
	cmd := exec.CommandContext(ctx, "sh", "-c", name+` "$1"`, "sh", file) //nolint:gosec // the operator's own command, with its arguments
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.in, s.err, s.err
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("editor %q: %w", name, err)
	}
	edited, err := os.ReadFile(file) //nolint:gosec // the same
	if err != nil {
		return nil, fmt.Errorf("read what was edited: %w", err)
	}
	return edited, nil
}

// untilHangup leaves Ctrl-C to the editor, which may use it, and ends ctx when we are to
// end, so that what was written for the editor is removed first.
func untilHangup(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGTERM)
	go func() {
		for {
			select {
			case s := <-signals:
				if s == syscall.SIGHUP || s == syscall.SIGTERM {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}

// ask reports whether the answer begins with the given letter.
func (e *editing) ask(question, yes string) bool {
	fmt.Fprint(e.s.err, question)
	answer, _ := e.answers.ReadString('\n') // the end of the input is an answer too
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), yes)
}

// editor has the data edited until it fits its schema, or the operator gives up.
func (e *editing) editor(ctx context.Context, l dlq.Letter, before []byte) ([]byte, error) {
	text := []byte(indent(string(before)) + "\n")
	for {
		edited, err := edit(ctx, e.s, text)
		if err != nil {
			return nil, err
		}
		after := bytes.TrimSpace(edited)
		var b bytes.Buffer
		if json.Compact(&b, after) == nil {
			after = b.Bytes()
		}
		if len(patch.Changes(before, after)) == 0 {
			return nil, errUnchanged
		}
		_, wrong := dlq.Amended(l, after)
		if wrong == nil {
			return after, nil
		}
		if !isTerminal(e.s.in) {
			return nil, wrong
		}
		fmt.Fprintln(e.s.err, "worker:", mask.Text(wrong.Error()))
		if e.ask("Edit again? [Y/n] ", "n") {
			return nil, errors.New("nothing was done")
		}
		text = edited
	}
}
