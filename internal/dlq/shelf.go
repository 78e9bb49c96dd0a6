package dlq

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/stream"
)

// shelf is a stream that holds letters: those that wait, or those discarded.
type shelf struct {
	js      jetstream.JetStream
	stream  jetstream.Stream
	name    string // of the stream
	subject func(reason, typ, key string) string

	publisher *stream.Publisher
}

func openShelf(ctx context.Context, js jetstream.JetStream, name string, subject func(reason, typ, key string) string) (shelf, error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return shelf{}, fmt.Errorf("open stream %q: %w", name, err)
	}
	return shelf{js, s, name, subject, stream.NewPublisher(js.Conn())}, nil
}

// Get gives one letter, whole. The error is ErrNoLetter if there is none.
func (s shelf) Get(ctx context.Context, id uint64) (Letter, error) {
	msg, err := s.get(ctx, id)
	if err != nil {
		return Letter{}, err
	}
	return read(msg), nil
}

func (s shelf) get(ctx context.Context, id uint64) (*jetstream.RawStreamMsg, error) {
	msg, err := stream.Get(ctx, s.js.Conn(), s.name, id)
	if errors.Is(err, stream.ErrNoMessage) || id == 0 {
		return nil, fmt.Errorf("letter %d: %w", id, ErrNoLetter)
	}
	if err != nil {
		return nil, fmt.Errorf("read letter %d: %w", id, err)
	}
	return msg, nil
}

// Remove deletes a letter whose event or copy is stored elsewhere; that somebody else did
// is as good.
func (s shelf) Remove(ctx context.Context, id uint64) error {
	_, err := s.remove(ctx, id)
	return err
}

// remove deletes a letter, and reports whether it was still there.
func (s shelf) remove(ctx context.Context, id uint64) (bool, error) {
	err := s.stream.DeleteMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		if _, gone := s.get(ctx, id); errors.Is(gone, ErrNoLetter) {
			return false, nil
		}
	}
	return err == nil, err
}

// maxPayload is the largest message the server takes, headers included.
func (s shelf) maxPayload() int { return int(s.js.Conn().MaxPayload()) }

// JetStream is the client the letters are read with.
func (s shelf) JetStream() jetstream.JetStream { return s.js }
