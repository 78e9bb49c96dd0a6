package topology

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lasting is until when a lane is paused that is to stay so until somebody resumes it:
// the server wants a moment. Its timers reach 292 years ahead.
func lasting() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }

// Pause stops the delivery of a type's events until a moment, or, if that is zero,
// until Resume. Events in hand are finished, publishers notice nothing, and Apply
// leaves a pause alone. Of a lane that is paused already it moves the end. It gives the
// end as the server has it, the zero time for none.
func Pause(ctx context.Context, js jetstream.JetStream, n Names, typ string, until time.Time) (time.Time, error) {
	if until.IsZero() {
		until = lasting()
	}
	answer, err := js.PauseConsumer(ctx, n.EventsStream(), Consumer(typ), until)
	if err != nil {
		return time.Time{}, fmt.Errorf("pause %s: %w", typ, missing(err))
	}
	if !answer.Paused {
		return time.Time{}, fmt.Errorf("pause %s: %s is over by the server's clock", typ, until.Format(time.RFC3339))
	}
	return end(answer.PauseUntil), nil
}

// Resume ends a pause; where there is none it does nothing.
func Resume(ctx context.Context, js jetstream.JetStream, n Names, typ string) error {
	if _, err := js.ResumeConsumer(ctx, n.EventsStream(), Consumer(typ)); err != nil {
		return fmt.Errorf("resume %s: %w", typ, missing(err))
	}
	return nil
}

// Paused reports whether a consumer is paused, and until when; the zero time is until
// somebody resumes it.
func Paused(c *jetstream.ConsumerInfo) (until time.Time, paused bool) {
	if !c.Paused || c.Config.PauseUntil == nil {
		return time.Time{}, false
	}
	return end(*c.Config.PauseUntil), true
}

func end(until time.Time) time.Time {
	if until.Before(lasting()) {
		return until
	}
	return time.Time{}
}

// missing adds what to do about a lane that is not there.
func missing(err error) error {
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: run worker setup first, or check --prefix and --nats-url", err)
	}
	return err
}
