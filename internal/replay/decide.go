package replay

import (
	"context"
	"fmt"
	"math"
	"strings"
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
	r.looked, r.clock, r.shut = time.Now(), snap.At, map[string]string{}
	perSecond := 0.0
	for _, l := range snap.Lanes {
		if r.job.Types[l.Type] == 0 { // its letters are refused, and wait for nothing
			continue
		}
		switch l.State {
		case status.Missing, status.Paused, status.Held, status.Open, status.Probing, status.NoWorker:
			r.shut[l.Type] = standing(l)
			continue
		case status.Throttled, status.Working, status.Idle:
		}
		if perSecond += l.Quota.Pace; l.Quota.Pace == 0 {
			perSecond = math.Inf(1)
		}
	}
	r.most = int(min(max(firstWindow, windowSpan*perSecond), mostUnderway))
	return nil
}

// standstill says which of the job's lanes stand still, and why, and whether letters of
// others are still to come or under way.
func (r *run) standstill() (why string, others bool) {
	var whys []string
	for _, route := range r.Office.order {
		if r.job.Types[route.Type] == 0 || !r.job.ahead(route.Type) && r.underway[route.Type] == 0 {
			continue
		}
		if shut := r.shut[route.Type]; shut != "" {
			whys = append(whys, shut)
		} else {
			others = true
		}
	}
	return strings.Join(whys, "; "), others
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

// renew takes in what operators want. A job that is resumed begins anew once nothing is
// under way: what was is forgiven, and what could not be stored is tried again.
func (r *run) renew(ctx context.Context) error {
	j := &r.job
	if j.Heeded == j.Wanted || j.Want == wantRun && len(j.Open) > 0 {
		return nil
	}
	if j.Want == wantRun {
		again, err := r.Office.notStored(ctx, *j)
		if err != nil {
			return err
		}
		j.Again = again
		j.Settled.Trouble -= len(again)
		j.Settled.Last = ""
		j.Seen = r.tally()
		j.Before = Before{j.Seen.Stored, j.Seen.known()}
	}
	j.Heeded = j.Wanted
	return nil
}

// decide says what state the job is in.
func (r *run) decide() {
	j := &r.job
	before, note := j.State, j.Note
	if j.turnBack(func(typ string) bool { return r.shut[typ] == "" }) {
		r.changed = true
	}
	s := r.step()
	why, others := r.standstill()
	finished := j.through() && len(j.Open) == 0
	switch {
	case j.Heeded != j.Wanted:
		j.State, j.Note = Waiting, "waits until what is under way has ended"
	case j.Want == wantCancel:
		j.State, j.Note = Cancelled, j.cancelled()
	case j.ended():
	case j.Want == wantPause && (!finished || j.Seen.Trouble > 0):
		j.State, j.Note = Paused, j.paused()
	case s.tooBad() && !j.through(): // else there is nothing left to stop
		j.State, j.Note = Stopped, verdictOn(s, j.Seen)
	case finished:
		if j.State, j.Note = Done, ""; j.Seen.Trouble > 0 {
			j.State, j.Note = Stopped, fmt.Sprintf("%d could not be stored; resume tries them again", j.Seen.Trouble)
		}
		j.Settled.Gone += max(0, j.Letters-j.Dealt()) // what others have taken was not met any more
		j.Seen.Gone = j.Settled.Gone
	case why != "" && (!others || len(j.Again) > 0) && !s.small:
		j.State, j.Note = Holding, why
	case s.canary():
		j.State, j.Note = Canary, why
	default:
		j.State, j.Note = Running, why
	}
	if why != "" && others && (j.State == Canary || j.State == Running) {
		j.Note += "; the others go on"
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

// step is how the job goes on, from what does not wait for a lane that stands still.
func (r *run) step() step {
	j := r.job
	stuck := 0
	for typ, n := range r.underway {
		if r.shut[typ] != "" {
			stuck += n
		}
	}
	return step{
		stopAt: j.Orders.StopAt, last: j.Seen.Last, most: r.most, underway: j.Underway() - stuck,
		stored: j.Seen.Stored - j.Before.Stored - stuck, known: j.Seen.known() - j.Before.Known,
	}.of(j.Eligible)
}

// room is how many letters may be replayed now.
func (r *run) room() int {
	if (r.job.State != Canary && r.job.State != Running) || r.job.Cursor >= r.job.Selection.Last && len(r.job.Again) == 0 {
		return 0
	}
	n := r.step().room()
	if r.pace.Limit() != rate.Inf {
		n = min(n, int(r.pace.Tokens()))
	}
	return min(n, batchMost)
}
