package replay

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"essworker/internal/dlq"
	"essworker/internal/kv"
	"essworker/internal/status"
)

const (
	// saveEvery is how often a job's record is written at least.
	saveEvery = time.Second
	// noteEvery is how often a batch is written of whose letters something has become: the
	// report of a job that goes on is not older.
	noteEvery = 5 * time.Second
	// laneEvery is how often a runner looks whether the lanes go.
	laneEvery = time.Second
	// A runner with nothing to do looks again soon, and then less often.
	pauseMin, pauseMax = 20 * time.Millisecond, time.Second
)

// run is one runner's turn at a job. It is for one goroutine.
type run struct {
	Runner

	me    string
	job   Job
	rev   uint64
	saved time.Time

	open   map[int]*Batch
	follow follower
	pace   *rate.Limiter

	lanes    *status.Reader
	looked   time.Time         // when the lanes were last looked at
	most     int               // that may be under way
	shut     map[string]string // by type, why its lane stands still
	underway map[string]int    // by type
	clock    time.Time         // the server's time at looked
	changed  bool              // something has, since the last pause
}

func newRun(r Runner, me string, j Job) *run {
	o := r.Office
	limit, burst := rate.Inf, 1
	if j.Orders.Rate > 0 {
		limit, burst = rate.Limit(j.Orders.Rate), max(1, int(j.Orders.Rate/4))
	}
	return &run{
		Runner: r, me: me, job: j, open: map[int]*Batch{}, follow: newFollower(o),
		pace: rate.NewLimiter(limit, burst), lanes: status.NewReader(o.nc, o.js, o.topo, o.order),
	}
}

// loop replays batch after batch until the job is over, paused or lost.
func (r *run) loop(ctx context.Context) error {
	pause := pauseMin
	for {
		r.changed = false
		if err := r.learn(ctx); err != nil {
			return err
		}
		if err := r.look(ctx); err != nil {
			return err
		}
		if err := r.renew(ctx); err != nil {
			return err
		}
		r.decide()
		if n := r.room(); n > 0 {
			if err := r.next(ctx, n); err != nil {
				return err
			}
		}
		if r.changed || time.Since(r.saved) >= saveEvery {
			if err := r.save(ctx); err != nil {
				return err
			}
		}
		if r.job.idle() {
			return nil
		}
		if pause = min(2*pause, pauseMax); r.changed {
			pause = pauseMin
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// learn takes in what has become of events, and settles the batches that are through.
func (r *run) learn(ctx context.Context) error {
	ended, err := r.follow.poll(ctx)
	if err != nil {
		return err
	}
	r.changed = r.changed || ended > 0
	for _, n := range slices.Clone(r.job.Open) {
		b := r.open[n]
		if b.unknown > 0 && (!b.news || time.Since(b.noted) < noteEvery) {
			continue
		}
		if err := r.Office.putBatch(ctx, r.job.ID, b); err != nil {
			return lost(err)
		}
		if b.unknown > 0 {
			continue
		}
		for _, s := range b.Sent {
			r.job.Settled.count(s)
		}
		delete(r.open, n)
		r.job.Open = slices.DeleteFunc(r.job.Open, func(o int) bool { return o == n })
		r.changed = true
	}
	r.job.Seen = r.tally()
	return nil
}

// tally counts everything that is known, and what is under way.
func (r *run) tally() Tally {
	t := r.job.Settled.clone()
	r.underway = map[string]int{}
	for _, n := range r.job.Open {
		for _, s := range r.open[n].Sent {
			if t.count(s); s.Seq > 0 && !s.settled() {
				r.underway[s.Type]++
			}
		}
	}
	return t
}

// now is the server's time.
func (r *run) now() time.Time { return r.clock.Add(time.Since(r.looked)) }

// save writes the job's record, which only its runner may, and takes in what is wanted
// of it.
func (r *run) save(ctx context.Context) error {
	for {
		rev, err := r.Office.write(ctx, r.job, r.rev)
		if err == nil {
			r.rev, r.saved = rev, time.Now()
			return nil
		}
		if !errors.Is(err, kv.ErrStale) {
			return err
		}
		now, rev, err := r.Office.read(ctx, r.job.ID)
		switch {
		case err != nil:
			return err
		case now.Runner != r.me:
			return errLost
		}
		if r.job.Over() && now.Wanted != r.job.Wanted { // somebody wants it to go on
			r.job.Finished = time.Time{}
		}
		if now.Wanted != r.job.Wanted && now.Want == wantRun {
			r.job.State, r.job.Note = now.State, ""
		}
		r.job.Want, r.job.WantBy, r.job.WantWhy, r.job.Wanted = now.Want, now.WantBy, now.WantWhy, now.Wanted
		r.rev = rev
	}
}

// release lets others have the job at once.
func (r *run) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	released := func(now, _ Job) bool { return now.Runner != r.me }
	_, err := r.Office.edit(ctx, r.job.ID, released, func(j *Job) error {
		if j.Runner != r.me {
			return errLost
		}
		j.Runner = ""
		return nil
	})
	if err != nil && !errors.Is(err, errLost) {
		r.Log.Debug("a replay job was not given back; its lease runs out", "job", r.job.ID, "why", err)
	}
}

// lost is the error of a write that somebody else's has come before.
func lost(err error) error {
	if errors.Is(err, kv.ErrStale) {
		return errLost
	}
	return err
}

// since is where to look for what becomes of the open batches.
func since(open map[int]*Batch, otherwise dlq.Marks) dlq.Marks {
	m := otherwise
	for _, b := range open {
		m = dlq.Marks{
			Events: min(m.Events, b.Since.Events), Results: min(m.Results, b.Since.Results), Letters: min(m.Letters, b.Since.Letters),
		}
	}
	return m
}
