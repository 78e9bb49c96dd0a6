package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// edit has a text edited in the operator's editor and gives what was saved. It may hold
// personal data: its file is the operator's alone, in memory where the system has a place
// for that, and removed.
func edit(ctx context.Context, s streams, text []byte) ([]byte, error) {
	dir, err := os.MkdirTemp(os.Getenv("XDG_RUNTIME_DIR"), "essworker-") // of empty, the temporary one
	if err != nil {
		return nil, fmt.Errorf("make a file to edit: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() //nolint:gosec // made above
	file := filepath.Join(dir, "event.json")
	if err := os.WriteFile(file, text, 0o600); err != nil { //nolint:gosec // in the directory made above
		return nil, fmt.Errorf("make a file to edit: %w", err)
	}
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
