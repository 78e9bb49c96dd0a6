package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	startWait = 30 * time.Second // for a program to be up
	readEvery = 20 * time.Millisecond
)

// Program is what Start runs.
type Program struct {
	Name string // for people: "the NATS server"
	Path string
	Args []string // with the program's own name first
	Env  []string // all of its environment
	Dir  string   // where its output goes, in a file
}

// Process is a program that runs beside us. It ends with the context it was started with
// and, where the system can do that, with us, however we end. A nil Process is one that
// runs elsewhere: nothing is known of it.
type Process struct {
	name string
	said string // the file with all that it writes
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended, once done is closed
}

// Start starts a program. Its input is empty. Its output goes to a file and not through
// us, so that we do none of the work of reading it.
func Start(ctx context.Context, prog Program) (*Process, error) {
	said := filepath.Join(prog.Dir, strings.ReplaceAll(prog.Name, " ", "-")+".out")
	out, err := os.Create(said) //nolint:gosec // in the trial's own folder
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // nothing was written here: the program has its own
	p := &Process{name: prog.Name, said: said, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, prog.Path) //nolint:gosec // that is what this is for
	p.cmd.Args, p.cmd.Env, p.cmd.SysProcAttr = prog.Args, prog.Env, withUs()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", prog.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Says waits until the program has written what the pattern matches, and gives the match
// and its groups. Its error also says that the program has ended.
func (p *Process) Says(ctx context.Context, pattern *regexp.Regexp) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startWait, fmt.Errorf("%s is not up after %v%s", p.name, startWait, p.hint()))
	defer cancel()
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(p.said)
		if err != nil {
			return nil, err
		}
		if found := pattern.FindStringSubmatch(string(text)); found != nil {
			return found, nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return nil, p.Ended(ctx)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.done
}

// Ended is an error that says how the program ended, and what its last words were; or
// why ctx has, for the program ends with it. It may be called once Done is closed.
func (p *Process) Ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.ended()
}

func (p *Process) ended() error {
	return fmt.Errorf("%s has ended (%s)%s", p.name, p.cmd.ProcessState, p.hint())
}

// hint is what the program said last, to go behind an error.
func (p *Process) hint() string {
	if p == nil {
		return ""
	}
	text, err := os.ReadFile(p.said)
	const lines = 4
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err != nil || all[0] == "" {
		return " and has said nothing"
	}
	return "; it said last:\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Stop asks the program to end, as an operator does, and kills it if it takes longer than
// that. The error says that it did not end well.
func (p *Process) Stop(within time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(within):
		p.Kill()
		return fmt.Errorf("%s has not ended %v after it was asked to%s", p.name, within, p.hint())
	}
	if p.err != nil {
		return p.ended()
	}
	return nil
}

// Kill ends the program at once and waits for that. It may have ended before.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
