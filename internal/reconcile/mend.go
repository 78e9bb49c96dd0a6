package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/stream"
)

// Mend does what a finding says can be done about it, if it is still so; that it is not
// any more is no error.
func (c *Checker) Mend(ctx context.Context, f Finding) error {
	switch f.Kind {
	case LetterDone:
		return c.discard(ctx, f)
	case NoResult:
		return c.tell(ctx, f)
	case EventDone:
		return c.settle(ctx, f)
	default:
		return fmt.Errorf("nothing can be done about %s", f.Kind)
	}
}

// discard puts the letter away. It can be restored if the success was another's.
func (c *Checker) discard(ctx context.Context, f Finding) error {
	_, err := c.box.Discard(ctx, f.Letter, c.discarded)
	if errors.Is(err, dlq.ErrNoLetter) {
		return nil
	}
	return err
}

// tell publishes the failure result as the worker would have.
func (c *Checker) tell(ctx context.Context, f Finding) error {
	l, err := c.box.Get(ctx, f.Letter)
	if errors.Is(err, dlq.ErrNoLetter) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(event.Failure{
		Reason: string(l.Reason), Code: l.Code, Message: l.Message, RequestID: l.RequestID, Attempts: l.Attempts,
		DeadLetter: event.FailureLetter{ID: l.ID},
	})
	if err != nil {
		return fmt.Errorf("encode failure: %w", err)
	}
	cause, _ := event.Parse(l.Type, l.Header, nil) // as far as it can be read
	if cause.Context == nil || cause.ID() != l.EventID {
		cause = event.New(l.Type, l.Source, l.EventID, nil)
	}
	key := dlq.ResultKey(l)
	msg, err := event.Result(nats.Header{}, event.ResultSpec{
		Type: c.failure(l.Type), Source: c.source, Cause: cause, CauseKey: key, Time: time.Now(), Data: data,
	})
	if err != nil {
		return err
	}
	msg.Subject = c.topo.ResultSubject(c.failure(l.Type), key)
	_, _, err = stream.NewPublisher(c.js.Conn()).Once(ctx, msg)
	return err
}

// settle removes an event that has its result, as an acknowledgement would.
func (c *Checker) settle(ctx context.Context, f Finding) error {
	m, err := stream.Get(ctx, c.js.Conn(), c.topo.EventsStream(), f.Seq)
	if errors.Is(err, stream.ErrNoMessage) {
		return nil
	}
	if err != nil {
		return err
	}
	settled, err := Settled(ctx, c.ledger, c.topo, c.route(f.Type), []*jetstream.RawStreamMsg{m})
	if err != nil || len(settled) == 0 {
		return err
	}
	s, err := c.js.Stream(ctx, c.topo.EventsStream())
	if err != nil {
		return err
	}
	if err := s.DeleteMsg(ctx, f.Seq); err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return fmt.Errorf("remove event %d: %w", f.Seq, err)
	}
	return nil
}
