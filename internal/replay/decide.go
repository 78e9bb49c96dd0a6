package replay

import (
	"context"
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"

	"essworker/internal/status"
)

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
