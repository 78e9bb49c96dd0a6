package main

import (
	"fmt"
	"io"
	"time"
)

// progress is one line on a terminal that is drawn over again; nothing elsewhere.
type progress struct {
	out   io.Writer // nil: nowhere
	stage string
	since time.Time // of the stage
	drawn time.Time
}

const progressEvery = 100 * time.Millisecond

func newProgress(out io.Writer) *progress {
	if !isTerminal(out) {
		return &progress{}
	}
	return &progress{out: out}
}

// show draws how far a stage is; of is 0 where there is nothing to count.
func (p *progress) show(stage string, done, of int) {
	now := time.Now()
	if p.out == nil || (stage == p.stage && now.Sub(p.drawn) < progressEvery) {
		return
	}
	if stage != p.stage {
		p.stage, p.since = stage, now
	}
	p.drawn = now
	line := stage
	if of > 0 {
		line += fmt.Sprintf(": %s of %s", grouped(float64(done)), grouped(float64(of)))
		if took := now.Sub(p.since); took > time.Second {
			line += fmt.Sprintf(", %s/s", grouped(float64(done)/took.Seconds()))
		}
	}
	fmt.Fprintf(p.out, "\r%s\x1b[K", line[:min(len(line), width(p.out)-1)])
}

// clear takes the line away.
func (p *progress) clear() {
	if p.out != nil && p.stage != "" {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.stage = ""
	}
}
