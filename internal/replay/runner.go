package replay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// lease is how long a job stays its runner's that gives no sign of life. A runner
	// writes the job's record every second, and before each batch.
	lease = 8 * time.Second
	// lookEvery is how often a runner looks for jobs, should it have missed one.
	lookEvery = 3 * time.Second
	// hintDelay is what a write takes to be readable after its message was seen.
	hintDelay = 30 * time.Millisecond
	// mostJobs is how many jobs one runner has at a time: many, since those that hold for a
	// lane that stands still must not keep others waiting.
	mostJobs = 64
	// goodbye bounds what a runner does when it was told to stop.
	goodbye = 2 * time.Second
)

// errLost says that the job is another runner's, or nobody's to run.
var errLost = errors.New("the job is not ours to run")

// Runner runs jobs. Any number of them share a deployment's jobs.
type Runner struct {
	Office *Office
	Name   string // for people
	Log    *slog.Logger
}

// Serve takes jobs that nobody runs, until ctx ends; those it has then are any other
// runner's to take at once.
func (r Runner) Serve(ctx context.Context) error {
	hints := make(chan struct{}, 1)
	sub, err := r.Office.nc.Subscribe(r.Office.bucket.Subject(jobKeys+">"), func(*nats.Msg) {
		select {
		case hints <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("listen for jobs: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails if the connection is closed
	w := watch{Runner: r, signs: map[string]sign{}, mine: map[string]bool{}}
	defer w.running.Wait()
	poll := time.NewTimer(0)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hints:
			poll.Reset(hintDelay)
			continue
		case <-poll.C:
		}
		jobs, err := r.Office.List(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("replay jobs cannot be read; trying again", "why", err)
		}
		for _, j := range jobs {
			w.look(ctx, j)
		}
		poll.Reset(lookEvery)
	}
}

// watch is what a runner knows of the jobs there are.
type watch struct {
	Runner

	signs   map[string]sign
	running sync.WaitGroup

	mu   sync.Mutex
	mine map[string]bool
}

// sign is a job's last sign of life, and when it was noticed here: so no clock but
// one's own is needed to tell that it is long ago.
type sign struct {
	touched time.Time
	noticed time.Time
}

// look takes a job if nobody runs it.
func (w *watch) look(ctx context.Context, j Job) {
	if j.idle() {
		delete(w.signs, j.ID)
		return
	}
	s := w.signs[j.ID]
	if !s.touched.Equal(j.Touched) {
		s = sign{j.Touched, time.Now()}
		w.signs[j.ID] = s
	}
	if j.Runner != "" && time.Since(s.noticed) < lease {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mine[j.ID] || len(w.mine) >= mostJobs {
		return
	}
	w.mine[j.ID] = true
	w.running.Go(func() {
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.mine, j.ID)
		}()
		w.report(ctx, j.ID, w.take(ctx, j.ID, j.Touched))
	})
}

func (r Runner) report(ctx context.Context, id string, err error) {
	if err != nil && !errors.Is(err, errLost) && ctx.Err() == nil {
		r.Log.Warn("a replay job was cut off and is taken up again", "job", id, "why", err)
	}
}

// Run runs a job that nobody runs until it is over or paused, or ctx ends. The error
// is nil if somebody else has it.
func (r Runner) Run(ctx context.Context, id string) error {
	j, err := r.Office.Get(ctx, id)
	if err != nil || j.idle() || j.Runner != "" {
		return err
	}
	if err := r.take(ctx, id, j.Touched); !errors.Is(err, errLost) {
		return err
	}
	return nil
}

// take runs a job, on condition that it has not been touched since it was read.
func (r Runner) take(ctx context.Context, id string, touched time.Time) error {
	me := r.Name + " " + rand.Text()[:6]
	mine := func(now, _ Job) bool { return now.Runner == me }
	j, err := r.Office.edit(ctx, id, mine, func(j *Job) error {
		if j.idle() || !j.Touched.Equal(touched) {
			return errLost
		}
		j.Runner = me
		if j.Started.IsZero() {
			j.Started = j.Touched
		}
		return nil
	})
	if err != nil {
		return err
	}
	run := newRun(r, me, j)
	err = run.recover(ctx)
	if err == nil {
		err = run.loop(ctx)
	}
	if !errors.Is(err, errLost) {
		run.release(ctx)
	}
	return err
}
