package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/stream"
)

// Replayed says what became of one replay.
type Replayed struct {
	Seq       uint64 // where the event now stands in its stream
	Duplicate bool   // an earlier replay of the same letter had stored it already
}

// Replay stores a letter's event in its stream again and then removes the letter.
// Cut off in between, it may be called again: within the stream's duplicate window
// the event is not stored twice. The error is ErrNoLetter if somebody else was faster.
func (b *Box) Replay(ctx context.Context, id uint64) (Replayed, error) {
	l, err := b.Get(ctx, id)
	if err != nil {
		return Replayed{}, err
	}
	return b.Resend(ctx, l)
}

// Resend is Replay of a letter that was read a moment ago, whole. Nobody may have
// replayed it longer ago than the duplicate window, or its event is stored twice.
func (b *Box) Resend(ctx context.Context, l Letter) (Replayed, error) {
	msg, err := b.again(l)
	if err != nil {
		return Replayed{}, fmt.Errorf("replay letter %d: %w", l.ID, err)
	}
	ack, err := b.js.PublishMsg(ctx, msg)
	if err != nil {
		return Replayed{}, fmt.Errorf("replay letter %d to %q: %w", l.ID, msg.Subject, err)
	}
	if ack.Stream != b.topo.EventsStream() {
		return Replayed{}, fmt.Errorf("replay letter %d: %q was stored in %q, which is not the events stream", l.ID, msg.Subject, ack.Stream)
	}
	if err := b.leave(ctx, l); err != nil {
		return Replayed{ack.Sequence, ack.Duplicate}, fmt.Errorf("remove letter %d after its replay: %w", l.ID, err)
	}
	return Replayed{ack.Sequence, ack.Duplicate}, nil
}

// leave removes a letter whose event was put back. If a discard has been faster the event
// has come back all the same, so the discarded copy goes: it is that of no letter.
func (b *Box) leave(ctx context.Context, l Letter) error {
	removed, err := b.remove(ctx, l.ID)
	if err != nil || removed {
		return err
	}
	away := b.topo.DiscardedStream()
	copied, err := stream.LastFor(ctx, b.js.Conn(), away, b.topo.DiscardedSubject(string(l.Reason), l.Type, l.Key))
	switch {
	case errors.Is(err, stream.ErrNoMessage):
		return nil
	case err != nil:
		return fmt.Errorf("look for it in %s: %w", away, err)
	case copied.Header.Get(hMoved) != strconv.FormatUint(l.ID, 10):
		return nil
	}
	s, err := b.js.Stream(ctx, away)
	if err == nil {
		err = s.DeleteMsg(ctx, copied.Sequence)
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // restored or taken back meanwhile
		return fmt.Errorf("remove copy %d from %s: %w", copied.Sequence, away, err)
	}
	return nil
}

// ReplayID is the message id of a letter's replay: no other replay has it.
func ReplayID(l Letter) string { return fmt.Sprintf("replay|%d|%d", l.ID, l.FailedAt.UnixNano()) }

// again builds the message of a replay: the event with its generation and an id that
// no other replay has. Large events have room for the first of these headers only.
func (b *Box) again(l Letter) (*nats.Msg, error) {
	if _, ok := b.topo.TypeOfSubject(l.Subject); !ok { // a letter may come from a file: publishing anywhere is not its right
		return nil, fmt.Errorf("%q is no subject of events", l.Subject)
	}
	msg := &nats.Msg{Subject: l.Subject, Header: own(l.Header), Data: l.Data}
	w := newHeaderWriter(msg, b.maxPayload())
	if !w.add(hReplays, strconv.Itoa(l.Replays+1)) && l.EventID != "" {
		// Unmarked, it would be taken for a duplicate of an event that has failed for good.
		return nil, errors.New("the event leaves no room to mark it as a replay: raise the server's max_payload, or publish it anew with fewer headers")
	}
	w.add(jetstream.MsgIDHeader, ReplayID(l))
	w.add(hOrigin, strconv.FormatUint(cmp.Or(l.Origin, l.ID), 10))
	w.add(hTrace, l.Trace)
	return msg, nil
}
