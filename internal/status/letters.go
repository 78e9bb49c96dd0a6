package status

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"essworker/internal/dlq"
	"essworker/internal/fault"
	"essworker/internal/stream"
)

const (
	// countsAtOnce bounds the counting under way at the server.
	countsAtOnce = 4
	// countShare is the most of the time that is spent on counting, as one part in so
	// many: a count takes the server longer the more letters there are.
	countShare = 10
)

// lookAgain is after how long the oldest untouched letter is looked for again although
// there are the same letters: an operator may have said something about its group.
const lookAgain = 10 * time.Second

// letterCounts are the letters by type and reason, as they were when last counted.
// They are counted again once the stream has changed.
type letterCounts struct {
	counts map[string]map[fault.Reason]uint64
	state  jetstream.StreamState
	at     time.Time
	took   time.Duration

	untouched dlq.Untouched
	looked    time.Time // at that
}

func (c *letterCounts) update(ctx context.Context, r *Reader, state jetstream.StreamState) error {
	same := state.Msgs == c.state.Msgs && state.LastSeq == c.state.LastSeq
	if !same || time.Since(c.looked) > lookAgain {
		if err := c.untouched.Look(ctx, r.nc, r.topo); err != nil {
			return err
		}
		c.looked = time.Now()
	}
	if c.counts != nil && (same || time.Since(c.at) < countShare*c.took) {
		return nil
	}
	start := time.Now()
	counts := map[string]map[fault.Reason]uint64{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(countsAtOnce)
	for _, route := range r.routes {
		of := map[fault.Reason]uint64{}
		counts[route.Type] = of
		for _, reason := range fault.Reasons() {
			if state.Msgs == 0 {
				continue
			}
			g.Go(func() error {
				n, err := stream.Count(ctx, r.nc, r.topo.LettersStream(), r.topo.LetterSubject(string(reason), route.Type, "*"))
				if err != nil {
					return fmt.Errorf("letters: %w", err)
				}
				mu.Lock()
				defer mu.Unlock()
				if n > 0 {
					of[reason] = n
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	*c = letterCounts{counts, state, time.Now(), time.Since(start), c.untouched, c.looked}
	return nil
}

// of gives a type's counts; a reason without letters is not in it.
func (c *letterCounts) of(typ string) map[fault.Reason]uint64 { return c.counts[typ] }
