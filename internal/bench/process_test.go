package bench_test

import (
	"context"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"essworker/internal/bench"
)

var upAt = regexp.MustCompile(`(?m)^up at (\S+)$`)

// shell starts a script of the shell.
func shell(ctx context.Context, t *testing.T, script string) *bench.Process {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell here")
	}
	p, err := bench.Start(ctx, bench.Program{Name: "the script", Path: sh, Args: []string{"sh", "-c", script}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestProcess(t *testing.T) {
	p := shell(t.Context(), t, `trap 'exit 0' TERM; echo up at 7; while :; do sleep 0.01; done`)
	found, err := p.Says(t.Context(), upAt)
	if err != nil || found[1] != "7" {
		t.Fatalf("Says = %q, %v; want 7", found, err)
	}
	if u, known := p.Usage(); runtime.GOOS == "linux" && (!known || u.Peak == 0) {
		t.Errorf("Usage = %v, %t; want some memory", u, known)
	}
	if err := p.Stop(time.Minute); err != nil {
		t.Errorf("Stop: %v", err)
	}
	<-p.Done()
}

func TestProcess_endsBadly(t *testing.T) {
	long := strings.Repeat("echo more; ", 10)
	for _, tt := range []struct {
		name, script string
		do           func(*bench.Process) error
		want         []string
	}{
		{
			"before it is up", long + `echo no server; exit 3`,
			func(p *bench.Process) error { _, err := p.Says(t.Context(), upAt); return err },
			[]string{"the script has ended (exit status 3); it said last:\nmore\nmore\nmore\nno server"},
		},
		{
			"without a word", `exit 3`,
			func(p *bench.Process) error { _, err := p.Says(t.Context(), upAt); return err },
			[]string{"(exit status 3) and has said nothing"},
		},
		{
			"when it is stopped", `trap 'exit 5' TERM; echo up at 7; while :; do sleep 0.01; done`,
			func(p *bench.Process) error { _, _ = p.Says(t.Context(), upAt); return p.Stop(time.Minute) },
			[]string{"(exit status 5)"},
		},
		{
			"not when it is stopped", `trap '' TERM; echo up at 7; while :; do sleep 0.01; done`,
			func(p *bench.Process) error { _, _ = p.Says(t.Context(), upAt); return p.Stop(time.Millisecond) },
			[]string{"has not ended 1ms after it was asked to"},
		},
	} {
		err := tt.do(shell(t.Context(), t, tt.script))
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", tt.name, err, want)
			}
		}
	}
}

// TestProcess_context ends with its context.
func TestProcess_context(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := shell(ctx, t, `echo up at 7; exec sleep 3600`)
	if _, err := p.Says(ctx, upAt); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-p.Done()
}

// TestProcess_nil is a program that runs elsewhere.
func TestProcess_nil(t *testing.T) {
	var p *bench.Process
	if _, known := p.Usage(); known || p.Done() != nil {
		t.Error("something is known of no process")
	}
}
