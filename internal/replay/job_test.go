package replay_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/esssim"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/replay"
	"essworker/internal/topology"
)

// TestJob is a job from its plan to its report.
func TestJob(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(1000)
		j := y.create(orders)
		y.letter() // too late for it
		j = y.until(j.ID, time.Minute, "over", over)
		if j.State != replay.Done || j.Seen.Succeeded != 1000 || j.Seen.Stored != 1000 || j.Letters != 1000 {
			t.Errorf("the job ended as %+v", j)
		}
		if got := y.count(y.Topology.LettersStream()); got != 1 {
			t.Errorf("%d letters, want the one that was not selected", got)
		}
		y.checkOnce()
		var batches []replay.Batch
		for n := range j.Batches {
			b, err := y.office.Batch(t.Context(), j.ID, n)
			if err != nil {
				t.Fatal(err)
			}
			batches = append(batches, b)
		}
		ids := map[uint64]bool{}
		for _, b := range batches {
			for _, s := range b.Sent {
				ids[s.ID] = s.Outcome == replay.Good && s.Seq > 0
			}
		}
		if len(ids) != 1000 || !ids[1] || !ids[1000] {
			t.Errorf("the report has %d letters, want each with its outcome", len(ids))
		}
		if first, second := len(batches[0].Sent), len(batches[1].Sent); first != 1 || second != 5 {
			t.Errorf("it began with %d and %d letters, want a canary of 1 and 5", first, second)
		}
	})
}

// TestJob_notMended: the cause is not mended. The job stops within its canary.
func TestJob_notMended(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(1000)
		y.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "still not [sim]"})
		j := y.until(y.create(orders).ID, time.Minute, "over", over)
		if j.State != replay.Stopped || !strings.Contains(j.Note, "InvalidParameter.ParamError") {
			t.Errorf("the job is %s (%s), want it stopped, with the new reason", j.State, j.Note)
		}
		if j.Remaining() != 1000 {
			t.Errorf("%d letters stay, want all 1000", j.Remaining())
		}
		if calls := len(y.sim.Calls()); calls > 6 {
			t.Errorf("%d vendor calls, want at most 6", calls)
		}
		if got := y.count(y.Topology.LettersStream()); got != 1000 {
			t.Errorf("%d letters, want all 1000", got)
		}
		y.checkOnce()
	})
}

// TestJob_operators: a job is paused, resumed, cancelled, and what is under way is seen
// through each time.
func TestJob_operators(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(200)
		slow := orders
		slow.Rate = 10
		id := y.create(slow).ID
		some := func(n int) func(replay.Job) bool {
			return func(j replay.Job) bool { return j.Seen.Succeeded >= n }
		}
		y.until(id, time.Minute, "under way", some(20))
		if _, err := y.office.Pause(t.Context(), id, "anna@ops", "lunch, call 13912345678"); err != nil {
			t.Fatal(err)
		}
		j := y.until(id, 10*time.Second, "paused", func(j replay.Job) bool { return j.State == replay.Paused && j.Underway() == 0 && j.Runner == "" })
		if !strings.Contains(j.Note, "anna@ops: lunch") || strings.Contains(j.Note, "13912345678") {
			t.Errorf("the note is %q, want who and why, masked", j.Note)
		}
		time.Sleep(time.Minute)
		if now := y.job(id); now.Seen.Stored != j.Seen.Stored || now.Over() {
			t.Errorf("a minute into its pause the job is %+v, want it as it was", now)
		}
		if _, err := y.office.Resume(t.Context(), id, "anna@ops", "back"); err != nil {
			t.Fatal(err)
		}
		y.until(id, time.Minute, "going on", some(j.Seen.Succeeded+20))
		if _, err := y.office.Cancel(t.Context(), id, "anna@ops", "enough"); err != nil {
			t.Fatal(err)
		}
		j = y.until(id, time.Minute, "over", over)
		if letters := y.count(y.Topology.LettersStream()); j.State != replay.Cancelled || j.Seen.Stored != j.Seen.Succeeded || int(letters) != 200-j.Seen.Stored {
			t.Errorf("the job ended as %+v with %d letters left", j, letters)
		}
		for name, change := range map[string]func() (replay.Job, error){
			"Pause":  func() (replay.Job, error) { return y.office.Pause(t.Context(), id, "x", "") },
			"Resume": func() (replay.Job, error) { return y.office.Resume(t.Context(), id, "x", "") },
			"Cancel": func() (replay.Job, error) { return y.office.Cancel(t.Context(), id, "x", "") },
		} {
			if _, err := change(); err == nil {
				t.Errorf("%s of a cancelled job = nil, want an error", name)
			}
		}
		y.checkOnce()
	})
}

// TestJob_holds: while its lane is paused a job holds, and goes on by itself. It never
// floods the events stream.
func TestJob_holds(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.rate = 20
		stop, _ := y.worker()
		defer stop()
		y.put(300)
		id := y.create(orders).ID
		y.until(id, time.Minute, "under way", func(j replay.Job) bool { return j.Seen.Succeeded >= 50 })
		if _, err := topology.Pause(t.Context(), y.JS, y.Topology.Names, typ, time.Time{}); err != nil {
			t.Fatal(err)
		}
		j := y.until(id, 10*time.Second, "holding", func(j replay.Job) bool { return j.State == replay.Holding })
		if j.Note != typ+": paused" {
			t.Errorf("it holds because of %q, want the paused lane", j.Note)
		}
		time.Sleep(time.Minute)
		if waiting := y.count(y.Topology.EventsStream()); waiting > 4*20 {
			t.Errorf("%d events wait behind a paused lane, want no more than four seconds' worth", waiting)
		}
		if err := topology.Resume(t.Context(), y.JS, y.Topology.Names, typ); err != nil {
			t.Fatal(err)
		}
		if j := y.until(id, time.Minute, "over", over); j.State != replay.Done || j.Seen.Succeeded != 300 {
			t.Errorf("the job ended as %+v", j)
		}
		y.checkOnce()
	})
}

// TestJob_otherLanes: of a job over several types only the letters wait whose lane stands
// still, and the job says which; they are taken up when it goes again.
func TestJob_otherLanes(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		const pairs = 100
		for range pairs {
			y.letter()
			y.letter(y.link)
		}
		if _, err := topology.Pause(t.Context(), y.JS, y.Topology.Names, typ, time.Time{}); err != nil {
			t.Fatal(err)
		}
		id := y.create(orders).ID
		y.until(id, time.Minute, "going on with what can", func(j replay.Job) bool {
			return j.State == replay.Running && j.Note == typ+": paused; the others go on"
		})
		j := y.until(id, time.Minute, "holding", func(j replay.Job) bool { return j.State == replay.Holding })
		if j.Seen.Succeeded != pairs || j.Seen.Stored != pairs || j.Note != typ+": paused" {
			t.Errorf("with one lane paused the job came to %+v, want all of the other lane's letters replayed", j)
		}
		if err := topology.Resume(t.Context(), y.JS, y.Topology.Names, typ); err != nil {
			t.Fatal(err)
		}
		if j := y.until(id, time.Minute, "over", over); j.State != replay.Done || j.Seen.Succeeded != 2*pairs || j.Seen.Gone != 0 {
			t.Errorf("the job ended as %+v", j)
		}
		y.checkOnce()
	})
}

// TestJob_smallSaysWhy: a job too small for a canary waits for no lane, and says what
// its events wait for.
func TestJob_smallSaysWhy(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(1)
		if _, err := topology.Pause(t.Context(), y.JS, y.Topology.Names, typ, time.Time{}); err != nil {
			t.Fatal(err)
		}
		id := y.create(orders).ID
		y.until(id, 10*time.Second, "stored, with a note", func(j replay.Job) bool { return j.Seen.Stored == 1 && j.Note == typ+": paused" })
		if err := topology.Resume(t.Context(), y.JS, y.Topology.Names, typ); err != nil {
			t.Fatal(err)
		}
		if j := y.until(id, time.Minute, "over", over); j.State != replay.Done || j.Note != "" {
			t.Errorf("the job ended as %+v", j)
		}
	})
}

// TestJob_resumed: a job that has stopped by itself is resumed once the cause is mended,
// and begins with a canary again.
func TestJob_resumed(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(100)
		y.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "still not [sim]", Count: 2})
		j := y.until(y.create(orders).ID, time.Minute, "over", over)
		if j.State != replay.Stopped || j.Seen.Failed != 2 {
			t.Fatalf("the job ended as %+v, want it stopped by two failures", j)
		}
		if _, err := y.office.Resume(t.Context(), j.ID, "anna@ops", "mended now"); err != nil {
			t.Fatal(err)
		}
		j = y.until(j.ID, time.Minute, "done", func(j replay.Job) bool { return j.Over() && j.State == replay.Done })
		if j.Seen.Succeeded != 98 || j.Seen.Failed != 2 || len(j.Seen.Causes) != 1 || j.Seen.Causes[0].Count != 2 {
			t.Errorf("the job ended as %+v", j)
		}
		if g := j.Seen.Groups; len(g) != 1 || g[0].Succeeded != 98 || g[0].Failed != 2 {
			t.Errorf("by group it came to %+v, want 98 and 2 of one group", g)
		}
		y.checkOnce()
	})
}

// TestJob_cutOff: a runner has stored an event and is cut off before it removes the
// letter; the event fails again; and only after the stream's duplicate window has passed
// does somebody take over. The letter is not replayed twice.
func TestJob_cutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, natstest.StartWithKeeper(t, handlers.Types()...))
		y.login = natsconn.Config{User: "all", Password: "p"}
		y.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "not today [sim]"})
		y.put(3)
		nc := y.Connect(natsconn.Options{}, natstest.Keeper())
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		j := y.create(orders)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := (replay.Runner{Office: y.open(nc, js), Name: "keeper", Log: slog.New(slog.DiscardHandler)}).Run(ctx, j.ID); err == nil {
			t.Fatal("Run without the right to delete = nil, want an error")
		}
		if letters, events := y.count("ESS_DEADLETTERS"), y.count("ESS_EVENTS"); letters != 3 || events != 3 {
			t.Fatalf("after the cut: %d letters and %d events, want 3 and 3", letters, events)
		}
		lanes := y.lanes()
		time.Sleep(time.Minute)
		if letters := y.count("ESS_DEADLETTERS"); letters != 6 {
			t.Errorf("%d letters, want 3 and what became of their events", letters)
		}
		time.Sleep(15 * time.Minute)
		lanes()
		stop, _ := y.worker()
		defer stop()
		j = y.until(j.ID, time.Minute, "over", over)
		if j.Seen.Failed != 3 || j.Seen.Stored != 3 {
			t.Errorf("the job ended as %+v, want three that failed again", j)
		}
		if calls := len(y.sim.Calls()); calls != 3 {
			t.Errorf("%d vendor calls, want one for each replay", calls)
		}
		y.checkOnce()
	})
}

// TestJob_lanesOfOthers: a letter that is not to be replayed waits for no lane.
func TestJob_lanesOfOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(10)
		y.letter(y.link, func(f *dlq.Failed) { f.Expires = time.Now().Add(-time.Second) })
		if _, err := topology.Pause(t.Context(), y.JS, y.Topology.Names, "autosign.link.requested", time.Time{}); err != nil {
			t.Fatal(err)
		}
		j := y.until(y.create(orders).ID, time.Minute, "over", over)
		if j.State != replay.Done || j.Seen.Succeeded != 10 || j.Seen.Refused[replay.Expired] != 1 {
			t.Errorf("the job ended as %+v, want ten letters replayed and one refused", j)
		}
	})
}

// TestJob_expiresMeanwhile: what expires while a job waits is not replayed in vain.
func TestJob_expiresMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(10)
		y.letter(func(f *dlq.Failed) { f.Expires = time.Now().Add(time.Minute) })
		id := y.create(orders).ID
		if _, err := y.office.Pause(t.Context(), id, "anna@ops", "lunch"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := y.office.Resume(t.Context(), id, "anna@ops", "back"); err != nil {
			t.Fatal(err)
		}
		j := y.until(id, time.Minute, "over", over)
		if j.Seen.Succeeded != 10 || j.Seen.Refused[replay.Expired] != 1 {
			t.Errorf("the job ended as %+v, want ten letters replayed and one refused", j)
		}
	})
}
