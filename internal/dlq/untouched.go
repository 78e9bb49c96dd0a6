package dlq

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/stream"
	"essworker/internal/topology"
)

// Untouched gives the oldest letter that was never replayed, from an id on, and when its
// event failed; id is 0 if there is none. Nobody may have looked at it.
func Untouched(ctx context.Context, nc *nats.Conn, topo topology.Names, from uint64) (id uint64, failedAt time.Time, err error) {
	for msg, err := range stream.Messages(ctx, nc, topo.LettersStream(), everything, from, math.MaxUint64) {
		if err != nil {
			return 0, time.Time{}, fmt.Errorf("look for the oldest untouched letter: %w", err)
		}
		if number(msg.Header.Get(hReplays)) == 0 {
			return msg.Sequence, moment(msg.Header.Get(hFailedAt), msg.Time), nil
		}
	}
	return 0, time.Time{}, nil
}
