package dlq

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/topology"
)

// ErrNoLetter says that no letter has the given id (any more).
var ErrNoLetter = errors.New("no such letter")

// Box is the dead letters of one deployment. It is safe for concurrent use.
type Box struct {
	shelf

	topo   topology.Names
	worker string
}

// Open uses an existing letters stream. The worker names who writes letters, as
// "host/pid version"; readers leave it empty.
func Open(ctx context.Context, js jetstream.JetStream, topo topology.Names, worker string) (*Box, error) {
	s, err := openShelf(ctx, js, topo.LettersStream(), topo.LetterSubject)
	if err != nil {
		return nil, err
	}
	return &Box{s, topo, worker}, nil
}
