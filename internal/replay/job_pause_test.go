package replay_test

import (
	"encoding/json"
	"testing"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/kv"
	"essworker/internal/replay"
	"essworker/internal/topology"
)

// TestJob_pausedAtOnce: once a pause is stored no further letter is replayed.
func TestJob_pausedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(50)
		slow := orders
		slow.Rate = 1
		id := y.create(slow).ID
		y.until(id, time.Minute, "behind its canary", func(j replay.Job) bool { return j.Seen.Succeeded >= 8 })
		asked, err := y.office.Pause(t.Context(), id, "anna@ops", "lunch")
		if err != nil {
			t.Fatal(err)
		}
		j := y.until(id, time.Minute, "paused", func(j replay.Job) bool { return j.State == replay.Paused && j.Runner == "" })
		if j.Seen.Stored != asked.Seen.Stored {
			t.Errorf("%d events were stored when the pause was, and %d in the end", asked.Seen.Stored, j.Seen.Stored)
		}
	})
}

// TestJob_pausedAtItsEnd: a job that has nothing left to do is done, whatever was wanted.
func TestJob_pausedAtItsEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		stop, _ := y.worker()
		defer stop()
		y.put(1)
		if _, err := topology.Pause(t.Context(), y.JS, y.Topology.Names, typ, time.Time{}); err != nil {
			t.Fatal(err)
		}
		id := y.create(orders).ID
		y.until(id, time.Minute, "under way", func(j replay.Job) bool { return j.Underway() == 1 })
		if _, err := y.office.Pause(t.Context(), id, "anna@ops", "lunch"); err != nil {
			t.Fatal(err)
		}
		y.until(id, time.Minute, "paused", func(j replay.Job) bool { return j.State == replay.Paused })
		if err := topology.Resume(t.Context(), y.JS, y.Topology.Names, typ); err != nil {
			t.Fatal(err)
		}
		if j := y.until(id, time.Minute, "over", over); j.State != replay.Done || j.Seen.Succeeded != 1 {
			t.Errorf("the job ended as %+v, want it done", j)
		}
	})
}

// TestJob_pausedCutOff: a runner has noted a batch and is cut off before it replays it, and
// an operator pauses the job. Whoever takes it up replays nothing until it is resumed.
func TestJob_pausedCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		const n = 20
		y.put(n)
		j := replay.Draft(y.plan(replay.Choice{}, orders), orders)
		batch := replay.Batch{}
		for l, err := range y.box.Letters(t.Context(), dlq.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			batch.Sent = append(batch.Sent, replay.Sent{
				ID: l.ID, Type: l.Type, Group: l.Group, Key: event.Key(l.Source, l.EventID), Origin: l.ID, Replay: 1, MsgID: dlq.ReplayID(l),
			})
		}
		value, err := json.Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Open(y.NC, y.JS, y.Topology.FleetBucket()).Put(t.Context(), "jobbatch."+j.ID+".0", value, 0, 0); err != nil {
			t.Fatal(err)
		}
		j.State, j.Runner, j.Cursor, j.Batches, j.Open, j.Sending = replay.Running, "killed", n, 1, []int{0}, true
		if err := y.office.Create(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if _, err := y.office.Pause(t.Context(), j.ID, "anna@ops", "lunch"); err != nil {
			t.Fatal(err)
		}
		stop, _ := y.worker()
		defer stop()
		taken := y.until(j.ID, time.Minute, "taken up", func(j replay.Job) bool { return j.Runner == "" })
		if taken.Seen.Stored != 0 || taken.State != replay.Paused {
			t.Errorf("the paused job went on to %+v, want nothing replayed", taken)
		}
		if _, err := y.office.Resume(t.Context(), j.ID, "anna@ops", "back"); err != nil {
			t.Fatal(err)
		}
		if j := y.until(j.ID, time.Minute, "done", func(j replay.Job) bool { return j.State == replay.Done }); j.Seen.Succeeded != n || j.Seen.Trouble != 0 {
			t.Errorf("the job ended as %+v, want every letter replayed", j)
		}
		y.checkOnce()
	})
}
