package dlq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/stream"
	"essworker/internal/topology"
)

// ErrCutOff says that a letter stands in both places: it was being moved the other way,
// and that was cut off or is under way.
var ErrCutOff = errors.New("it is being moved the other way, or that was cut off")

// Discarded is the letters operators have put away, which the server removes after some
// weeks. Their ids are of their own. It is safe for concurrent use.
type Discarded struct{ shelf }

// OpenDiscarded uses an existing stream of discarded letters.
func OpenDiscarded(ctx context.Context, js jetstream.JetStream, topo topology.Names) (*Discarded, error) {
	s, err := openShelf(ctx, js, topo.DiscardedStream(), topo.DiscardedSubject)
	if err != nil {
		return nil, err
	}
	return &Discarded{s}, nil
}

// Discard moves a letter to the discarded ones, where it has another id. Cut off, it may
// be called again. The error is ErrNoLetter if there is no such letter.
func (b *Box) Discard(ctx context.Context, id uint64, to *Discarded) (uint64, error) {
	moved, err := move(ctx, b.shelf, to.shelf, id)
	if err != nil {
		return 0, fmt.Errorf("discard letter %d: %w", id, err)
	}
	return moved, nil
}

// Restore moves a discarded letter back, where it has another id than it had. Cut off,
// it may be called again. The error is ErrNoLetter if there is no such letter.
func (d *Discarded) Restore(ctx context.Context, id uint64, to *Box) (uint64, error) {
	moved, err := move(ctx, d.shelf, to.shelf, id)
	if err != nil {
		return 0, fmt.Errorf("restore discarded letter %d: %w", id, err)
	}
	return moved, nil
}

// move stores a letter on another shelf and then removes it from its own, so that at any
// moment it is on one of them. The subject, which no other letter has, tells of a copy
// that is there already; a message id would tell of one that is gone again.
//
// A copy that says that it comes from here was left by an earlier try, or is that of
// somebody who moves the letter at this moment. So each mover stores a copy of his own,
// and whoever removes the letter has moved it: his copy stays. Who finds it gone, to a
// replay or to another mover, takes his own copy back. A copy that comes from elsewhere
// stops the move: this letter may be the copy and that one the letter, which somebody
// is about to remove.
func move(ctx context.Context, from, to shelf, id uint64) (uint64, error) {
	msg, err := from.get(ctx, id)
	if err != nil {
		return 0, err
	}
	l := read(msg)
	if l.Key == "" {
		return 0, fmt.Errorf("its subject %q is not that of a letter", msg.Subject)
	}
	copied := &nats.Msg{Subject: to.subject(string(l.Reason), l.Type, l.Key), Header: kept(msg.Header), Data: msg.Data}
	w := newHeaderWriter(copied, to.maxPayload())
	w.add(hMoved, strconv.FormatUint(id, 10))
	moved, existed, err := to.store(ctx, copied, "")
	if err != nil {
		return 0, err
	}
	var left uint64 // the copy that was there
	if existed {
		left = moved
		if moved, err = to.beside(ctx, copied, left, id); err != nil {
			return 0, err
		}
	}
	removed, err := from.remove(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("remove it from %s: %w", from.name, err)
	}
	switch {
	case !removed:
		err := fmt.Errorf("%w: it was replayed or moved meanwhile", ErrNoLetter)
		return 0, errors.Join(err, to.Remove(ctx, moved))
	case left > 0:
		if err := to.Remove(ctx, left); err != nil {
			return moved, fmt.Errorf("remove the copy %d of an earlier try: %w", left, err)
		}
	}
	return moved, nil
}

// beside stores a copy of a letter beside the one there is, if that comes from the same.
func (s shelf) beside(ctx context.Context, copied *nats.Msg, there, id uint64) (uint64, error) {
	other, err := stream.Get(ctx, s.js.Conn(), s.name, there)
	switch {
	case errors.Is(err, stream.ErrNoMessage): // taken back meanwhile
	case err != nil:
		return 0, err
	case other.Header.Get(hMoved) != strconv.FormatUint(id, 10):
		return 0, fmt.Errorf("%w: message %d of %s is the same letter", ErrCutOff, there, s.name)
	}
	copied.Reply = ""
	copied.Header.Del(jetstream.ExpectedLastSubjSeqHeader)
	ack, err := s.js.PublishMsg(ctx, copied)
	if err != nil {
		return 0, fmt.Errorf("store letter: %w", err)
	}
	return ack.Sequence, nil
}

// store puts a letter on the shelf unless its subject has one. The largest letters leave
// no room for the condition: of those it looks first.
func (s shelf) store(ctx context.Context, msg *nats.Msg, msgID string) (id uint64, existed bool, err error) {
	w := newHeaderWriter(msg, s.maxPayload())
	if w.room >= condition {
		if msgID != "" {
			msg.Header.Set(jetstream.MsgIDHeader, msgID)
		}
		id, existed, err = s.publisher.Once(ctx, msg)
		if err != nil || id > 0 {
			return id, existed, err
		}
	}
	there, err := stream.LastFor(ctx, s.js.Conn(), s.name, msg.Subject)
	switch {
	case err == nil:
		return there.Sequence, true, nil
	case !errors.Is(err, stream.ErrNoMessage) || existed:
		return 0, existed, err
	}
	ack, err := s.js.PublishMsg(ctx, msg)
	if err != nil {
		return 0, false, fmt.Errorf("store letter: %w", err)
	}
	return ack.Sequence, false, nil
}

// kept are the headers a letter takes along: its event's and ours, not the server's.
func kept(h nats.Header) nats.Header {
	out := own(h)
	for name, values := range h {
		if strings.HasPrefix(name, "Dlq-") && name != hMoved && writable(name) {
			out[name] = values
		}
	}
	return out
}
