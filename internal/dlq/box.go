package dlq

import (
	"context"
	"errors"
	"fmt"

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

	publisher *stream.Publisher
}

// Open uses an existing letters stream. The worker names who writes letters, as
// "host/pid version"; readers leave it empty.
func Open(ctx context.Context, js jetstream.JetStream, topo topology.Names, worker string) (*Box, error) {
	s, err := js.Stream(ctx, topo.LettersStream())
	if err != nil {
		return nil, fmt.Errorf("open stream %q: %w", topo.LettersStream(), err)
	}
	return &Box{js, s, topo, worker, stream.NewPublisher(js.Conn())}, nil
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
