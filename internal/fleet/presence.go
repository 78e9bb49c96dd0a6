package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"essworker/internal/kv"
)

const (
	workerKeys = "worker."
	// beatEvery is how often a worker says that it is there, and beatTTL how long its
	// last word stands: three missed beats and it is gone.
	beatEvery = 10 * time.Second
	beatTTL   = 35 * time.Second
	// firstBeat is when a worker that has just joined speaks again: it has its lanes then.
	firstBeat = 500 * time.Millisecond
)

// Presence is what a worker says of itself, every ten seconds.
type Presence struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"` // by its own clock
	Rate    int       `json:"rate"`  // its WORKER_RATE; 0 is no limit
	// ReplayShare is its WORKER_REPLAY_SHARE; 0 if it is of a version that does not say.
	ReplayShare float64          `json:"replayShare,omitzero"`
	Lanes       map[string]Share `json:"lanes"`
	Seen        time.Time        `json:"-"` // when it said so, by the server's clock
}

// Share is what one lane of a worker does.
type Share struct {
	Calls      int    `json:"calls"`             // under way
	Credential string `json:"credential"`        // the key it calls with, by name
	Breaker    string `json:"breaker,omitempty"` // its own, if not closed
}

// beat says that the worker is there, until it leaves.
func (f *Fleet) beat() {
	for pause := firstBeat; sleep(f.ctx, pause) == nil; pause = beatEvery/2 + rand.N(beatEvery/2) { //nolint:gosec // spreads load
		if err := f.appear(f.ctx); err != nil && f.ctx.Err() == nil {
			f.unreachable("that this worker is there", err)
		}
	}
}

// appear writes the worker's presence and learns the server's time by it.
func (f *Fleet) appear(ctx context.Context) error {
	value, err := json.Marshal(f.presence())
	if err != nil {
		return fmt.Errorf("encode presence: %w", err)
	}
	key := workerKeys + f.id
	sent := time.Now()
	rev, err := f.bucket.Put(ctx, key, value, f.presenceRev, beatTTL)
	confirmed := time.Now()
	if err != nil {
		// It may have vanished while the broker was away: look what is there, and try once more.
		e, getErr := f.bucket.Get(ctx, key)
		if getErr != nil {
			return getErr
		}
		f.presenceRev = e.Rev
		sent = time.Now()
		if rev, err = f.bucket.Put(ctx, key, value, f.presenceRev, beatTTL); err != nil {
			return err
		}
		confirmed = time.Now()
	}
	f.presenceRev = rev
	stored, err := f.bucket.Get(ctx, key)
	if err != nil {
		return err
	}
	if stored.Rev == rev {
		f.clock.saw(stored.At, sent, confirmed)
	}
	return nil
}

// presence is this worker as it is now.
func (f *Fleet) presence() Presence {
	p := f.self
	p.Lanes = map[string]Share{}
	f.mu.Lock()
	defer f.mu.Unlock()
	for lane, g := range f.gates {
		s := Share{Calls: int(g.calls.Load()), Credential: g.credential}
		if state := g.breaker.own.Load().State().String(); state != "closed" {
			s.Breaker = state
		}
		p.Lanes[lane] = s
	}
	return p
}

// disappear takes the presence back.
func (f *Fleet) disappear(ctx context.Context) error {
	_, err := f.bucket.Remove(ctx, workerKeys+f.id, f.presenceRev)
	return err
}

// workers lists who is there, by id.
func (f *Fleet) workers(ctx context.Context) ([]Presence, error) {
	return present(ctx, f.bucket, time.Time{})
}

// present lists whose last word stands at a moment of the server's clock, or when the
// latest of them was heard. A server that was killed may have forgotten which records
// end, so that is not left to it alone.
func present(ctx context.Context, b kv.Bucket, now time.Time) ([]Presence, error) {
	held, err := b.All(ctx, workerKeys)
	if err != nil {
		return nil, err
	}
	var workers []Presence
	for key, e := range held {
		if e.Value == nil {
			continue
		}
		var p Presence
		if err := json.Unmarshal(e.Value, &p); err != nil {
			p = Presence{} // it is there all the same
		}
		p.ID, p.Seen = strings.TrimPrefix(key, workerKeys), e.At
		if workers = append(workers, p); p.Seen.After(now) {
			now = p.Seen
		}
	}
	workers = slices.DeleteFunc(workers, func(p Presence) bool { return now.Sub(p.Seen) > beatTTL })
	slices.SortFunc(workers, func(a, b Presence) int { return strings.Compare(a.ID, b.ID) })
	return workers, nil
}
