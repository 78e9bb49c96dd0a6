package replay_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/replay"
)

// TestChange_answerLost: a change whose answer is lost has been made, once, and is said
// to be; and where nothing more is heard it is said to be unclear, not to have failed.
func TestChange_answerLost(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.put(10)
		link := &natstest.Lossy{Server: y.Server}
		nc := y.Connect(natsconn.Options{InProcess: link}, y.login)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		office := y.open(nc, js)
		j := replay.Draft(y.plan(replay.Choice{}, orders), orders)
		const records, reads = "$KV.ESS_FLEET.job.", "$JS.API.STREAM.MSG.GET.KV_ESS_FLEET"
		changes := []struct {
			name   string
			change func() error
			state  replay.State
			wanted int
		}{
			{"Create", func() error { return office.Create(t.Context(), j) }, replay.Waiting, 0},
			{"Pause", func() error { _, err := office.Pause(t.Context(), j.ID, "anna@ops", "lunch"); return err }, replay.Paused, 1},
			{"Resume", func() error { _, err := office.Resume(t.Context(), j.ID, "anna@ops", "back"); return err }, replay.Waiting, 2},
			{"Cancel", func() error { _, err := office.Cancel(t.Context(), j.ID, "anna@ops", "enough"); return err }, replay.Cancelled, 3},
		}
		for _, c := range changes {
			link.Lose(records, 1)
			if err := c.change(); err != nil {
				t.Errorf("%s, its answer lost: %v, want it to look whether it was stored", c.name, err)
			}
			if got := y.job(j.ID); got.State != c.state || got.Wanted != c.wanted {
				t.Errorf("after %s the job is %s, changed %d times; want %s, %d", c.name, got.State, got.Wanted, c.state, c.wanted)
			}
		}
		j = replay.Draft(y.plan(replay.Choice{}, orders), orders)
		link.Lose(records, 1)
		link.Lose(reads, 1)
		if err := office.Create(t.Context(), j); !errors.Is(err, replay.ErrUnclear) {
			t.Errorf("Create with every answer lost = %v, want %v", err, replay.ErrUnclear)
		}
		// Pause reads the record once before it writes: lose the read behind the write.
		link.Lose(records, 1)
		link.Lose(reads, 0)
		pause := make(chan error)
		go func() {
			_, err := office.Pause(t.Context(), j.ID, "anna@ops", "lunch")
			pause <- err
		}()
		y.until(j.ID, time.Second, "paused", func(j replay.Job) bool { return j.State == replay.Paused })
		link.Lose(reads, 1)
		if err := <-pause; !errors.Is(err, replay.ErrUnclear) {
			t.Errorf("Pause with every answer lost = %v, want %v", err, replay.ErrUnclear)
		}
	})
}
