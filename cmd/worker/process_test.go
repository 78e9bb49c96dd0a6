package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests for something that takes a moment. It is
// far above what anything takes, for machines with much else to do.
const patience = 60 * time.Second

// process is a program of TestMain that runs by itself.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Closer
	said transcript
	done chan struct{} // closed when it has ended
}

// start starts a program. Its environment is what env says and nothing else that
// could set anything.
func start(t *testing.T, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(context.Background(), program, args...), done: make(chan struct{})}
	p.cmd.Env = slices.Concat(env, environment(t.TempDir()))
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	go func() {
		_ = p.cmd.Wait() // state and code ask for what it found
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if text, _ := p.said.read(); strings.Contains(text, "DATA RACE") {
			t.Errorf("%s %q has a data race", program, args)
		}
		if t.Failed() {
			t.Logf("%s %q said:\n%s", program, args, p.said.end())
		}
	})
	return p
}

// environment is all that a program of these tests finds in its environment, beside
// what the test sets.
func environment(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home,
		"GORACE=atexit_sleep_ms=0", // else each of them would sleep a second at its end, under -race
	}
}

// kill is kill -9, and waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.done
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// ended waits for the end and gives how it came, as a shell would: the exit code, or
// 128 and the signal that did it.
func (p *process) ended() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended after %v; it said:\n%s", p.cmd.Args, patience, p.said.end())
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// says waits until the program has written what the pattern matches, and gives its
// groups.
func (p *process) says(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(patience)
	for {
		text, more := p.said.read()
		if found := re.FindStringSubmatch(text); found != nil {
			return found
		}
		select {
		case <-more:
			continue
		case <-p.done:
			if text, _ := p.said.read(); re.MatchString(text) {
				return re.FindStringSubmatch(text)
			}
			p.t.Fatalf("%s has ended (%v) without saying %q; it said:\n%s", p.cmd.Args, p.cmd.ProcessState, pattern, p.said.end())
		case <-limit:
			p.t.Fatalf("%s has not said %q after %v; it said:\n%s", p.cmd.Args, pattern, patience, p.said.end())
		}
	}
}

// transcript is what a process writes.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

// Write implements io.Writer.
func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	return s.text.Write(b)
}

// read gives all of it, and a channel that is closed when there is more.
func (s *transcript) read() (text string, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return s.text.String(), s.more
}

// end is the end of it, for failure messages.
func (s *transcript) end() string {
	text, _ := s.read()
	return text[max(0, len(text)-4000):]
}

// until asks again and again, with a short breath between, until the answer is yes.
func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); !yes(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not after %v: %s", patience, what)
		}
	}
}
