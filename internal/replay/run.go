package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
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

	lanes   *status.Reader
	looked  time.Time // when the lanes were last looked at
	most    int       // that may be under way
	shut    string    // why the job must hold; empty if it need not
	clock   time.Time // the server's time at looked
	changed bool      // something has, since the last pause
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
		if b.unknown > 0 {
			continue
		}
		if err := r.Office.putBatch(ctx, r.job.ID, b); err != nil {
			return lost(err)
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

// tally counts everything that is known.
func (r *run) tally() Tally {
	t := r.job.Settled.clone()
	for _, n := range r.job.Open {
		for _, s := range r.open[n].Sent {
			t.count(s)
		}
	}
	return t
}

// look tells now and then whether the lanes go, and how fast.
func (r *run) look(ctx context.Context) error {
	if time.Since(r.looked) < laneEvery {
		return nil
	}
	snap, err := r.lanes.Lanes(ctx)
	if err != nil {
		return err
	}
	r.looked, r.clock, r.shut = time.Now(), snap.At, ""
	perSecond := 0.0
	for _, l := range snap.Lanes {
		if r.job.Types[l.Type] == 0 {
			continue
		}
		if perSecond += l.Quota.Pace; l.Quota.Pace == 0 {
			perSecond = math.Inf(1)
		}
		switch l.State {
		case status.Missing, status.Paused, status.Held, status.Open, status.Probing, status.NoWorker:
			r.shut = standing(l)
		case status.Throttled, status.Working, status.Idle:
		}
	}
	r.most = int(min(max(firstWindow, windowSpan*perSecond), mostUnderway))
	return nil
}

// standing says why a lane stands still.
func standing(l status.Lane) string {
	text := l.Type + ": " + string(l.State)
	if len(l.Shut) > 0 {
		text += because(l.Shut[0].Why)
	}
	if l.State == status.Paused && l.Pause.Note != nil {
		text += " by " + l.Pause.Note.By + because(l.Pause.Note.Why)
	}
	return text
}

// decide says what state the job is in.
func (r *run) decide() {
	j := &r.job
	before, note := j.State, j.Note
	anew := j.Heeded != j.Wanted && j.Want == wantRun
	if anew && len(j.Open) == 0 { // resumed: everything that was is forgiven
		j.Before = Before{j.Seen.Stored, j.Seen.known()}
		j.Settled.Last, j.Seen.Last = "", ""
		anew = false
	}
	if !anew {
		j.Heeded = j.Wanted
	}
	s := r.step()
	switch {
	case anew:
		j.State, j.Note = Waiting, "until what is under way has ended"
	case j.Want == wantCancel:
		j.State, j.Note = Cancelled, "cancelled by "+j.WantBy+because(j.WantWhy)
	case j.ended():
	case j.Want == wantPause:
		j.State, j.Note = Paused, j.paused()
	case s.tooBad() && j.Cursor < j.Selection.Last: // else there is nothing left to stop
		j.State, j.Note = Stopped, verdictOn(s, j.Seen)
	case j.Cursor >= j.Selection.Last && len(j.Open) == 0:
		j.State, j.Note = Done, ""
		j.Settled.Gone += max(0, j.Letters-j.Dealt()) // what others have taken was not met any more
		j.Seen.Gone = j.Settled.Gone
	case r.shut != "" && !s.small:
		j.State, j.Note = Holding, r.shut
	case s.canary():
		j.State, j.Note = Canary, ""
	default:
		j.State, j.Note = Running, ""
	}
	if j.ended() && len(j.Open) == 0 {
		j.Finished = r.now()
	}
	r.changed = r.changed || j.State != before || j.Note != note || j.Over()
}

// verdictOn says why a job stops.
func verdictOn(s step, t Tally) string {
	text := fmt.Sprintf("%d of the last %d failed again", s.failures(), len(s.last))
	if len(t.Causes) > 0 {
		c := t.Causes[0]
		text += fmt.Sprintf(", most by %s %s (group %s)", c.Reason, c.Code, c.Group)
	}
	return text
}

func (r *run) step() step {
	j := r.job
	return step{
		stopAt: j.Orders.StopAt, last: j.Seen.Last, most: r.most, underway: j.Underway(),
		stored: j.Seen.Stored - j.Before.Stored, known: j.Seen.known() - j.Before.Known,
	}.of(j.Eligible)
}

// room is how many letters may be replayed now.
func (r *run) room() int {
	if (r.job.State != Canary && r.job.State != Running) || r.job.Cursor >= r.job.Selection.Last {
		return 0
	}
	n := r.step().room()
	if r.pace.Limit() != rate.Inf {
		n = min(n, int(r.pace.Tokens()))
	}
	return min(n, batchMost)
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
	_, err := r.Office.edit(ctx, r.job.ID, func(j *Job) error {
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
