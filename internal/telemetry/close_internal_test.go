package telemetry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestClose_isBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		flushed := false
		tel := &Telemetry{closers: []func(context.Context) error{
			func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, // a collector that hangs
			func(ctx context.Context) error { flushed = ctx.Err() == nil; return nil },
		}}
		began := time.Now()
		err := tel.Close(ended)
		if !errors.Is(err, context.DeadlineExceeded) || !flushed || time.Since(began) != flushLimit {
			t.Errorf("Close() = %v after %v, other signal flushed %t; want %v after %v, true",
				err, time.Since(began), flushed, context.DeadlineExceeded, flushLimit)
		}
	})
}
