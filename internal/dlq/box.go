package dlq

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/stream"
	"essworker/internal/topology"
)

// ErrNoLetter says that no letter has the given id (any more).
var ErrNoLetter = errors.New("no such letter")

// Box is the dead letters of one deployment. It is safe for concurrent use.
type Box struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	topo   topology.Names
	worker string
}

// Open uses an existing letters stream. The worker names who writes letters, as
// "host/pid version"; readers leave it empty.
func Open(ctx context.Context, js jetstream.JetStream, topo topology.Names, worker string) (*Box, error) {
	s, err := js.Stream(ctx, topo.LettersStream())
	if err != nil {
		return nil, fmt.Errorf("open stream %q: %w", topo.LettersStream(), err)
	}
	return &Box{js, s, topo, worker}, nil
}

// Get gives one letter, whole. The error is ErrNoLetter if there is none.
func (b *Box) Get(ctx context.Context, id uint64) (Letter, error) {
	msg, err := stream.Get(ctx, b.js.Conn(), b.topo.LettersStream(), id)
	if errors.Is(err, stream.ErrNoMessage) || id == 0 {
		return Letter{}, fmt.Errorf("letter %d: %w", id, ErrNoLetter)
	}
	if err != nil {
		return Letter{}, fmt.Errorf("read letter %d: %w", id, err)
	}
	return read(msg), nil
}

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
	subject := l.Subject
	if subject == "" {
		subject = b.topo.EventSubject(l.Type)
	}
	origin := l.Origin
	if origin == 0 {
		origin = l.ID
	}
	msg := &nats.Msg{Subject: subject, Header: own(l.Header), Data: l.Data}
	msg.Header.Set(hReplays, strconv.Itoa(l.Replays+1))
	msg.Header.Set(hOrigin, strconv.FormatUint(origin, 10))
	msg.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("replay|%d|%d", l.ID, l.FailedAt.UnixNano()))
	ack, err := b.js.PublishMsg(ctx, msg)
	if err != nil {
		return Replayed{}, fmt.Errorf("replay letter %d to %q: %w", l.ID, subject, err)
	}
	if ack.Stream != b.topo.EventsStream() {
		return Replayed{}, fmt.Errorf("replay letter %d: %q was stored in %q, which is not the events stream", l.ID, subject, ack.Stream)
	}
	if err := b.stream.DeleteMsg(ctx, l.ID); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return Replayed{}, fmt.Errorf("remove letter %d after its replay: %w", l.ID, err)
	}
	return Replayed{ack.Sequence, ack.Duplicate}, nil
}
