package topology

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// rounds bounds how often Apply looks again. Two are the rule when something was
// updated; more only when others apply something else at the same time.
const rounds = 10

// Apply creates and updates what Plan lists, in an order that never lets an event
// in whose result or letter would have no place. If anything is refused it changes
// nothing. A second call changes nothing. Workers that start together may all call
// it: what another has just made is not an error. On an error the report holds what
// was done before.
//
// Nothing is deleted, and no setting is changed that would delete or drop
// something later.
func Apply(ctx context.Context, js jetstream.JetStream, cfg Config, types []string) (Report, error) {
	var done Report
	for range rounds {
		p, err := newPlan(ctx, js, cfg, types)
		if err != nil {
			return done, err
		}
		done.Warnings = merged(done.Warnings, p.warnings)
		again, err := done.run(ctx, p.steps)
		if err != nil {
			return done, explain(cfg, err)
		}
		if !again {
			return done, nil
		}
		// The server has no compare-and-set for a stream's settings: of two starters
		// that each add their own subject at the same moment, the second takes the
		// first one's away. So whoever updated a stream waits out the other's moment
		// and looks again.
		if err := sleep(ctx, 100*time.Millisecond+rand.N(150*time.Millisecond)); err != nil { //nolint:gosec // jitter
			return done, err
		}
	}
	return done, fmt.Errorf("the streams of %s keep changing: are there workers of several versions with different settings?", cfg.EventsStream())
}

// run takes the steps until one of them was overtaken by another starter, and says
// whether to look again. Consumers wait until no stream had to be updated: by then
// the events' subjects are settled.
func (r *Report) run(ctx context.Context, steps []step) (again bool, err error) {
	for _, s := range steps {
		if s.Kind == "consumer" && again {
			return true, nil
		}
		err := s.do(ctx)
		if raced(err) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("%s %s %s: %w", s.Action, s.Kind, s.Name, err)
		}
		r.Changes = append(r.Changes, s.Change)
		again = again || (s.Action == "update" && s.Kind != "consumer")
	}
	return again, nil
}

// raced says whether another starter made the same thing a moment before.
func raced(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || errors.Is(err, jetstream.ErrConsumerExists)
}

// merged adds what a further look found; of one setting the newest warning holds.
func merged(before, now []Warning) []Warning {
	for _, w := range now {
		same := func(b Warning) bool { return b.Kind == w.Kind && b.Name == w.Name && b.Field == w.Field }
		if i := slices.IndexFunc(before, same); i >= 0 {
			before[i] = w
		} else {
			before = append(before, w)
		}
	}
	return before
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
