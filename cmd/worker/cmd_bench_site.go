package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/bench"
	"essworker/internal/topology"
)

// benchSite is the streams of one bench. They carry a mark, and nothing without it is
// ever removed: a prefix that was mistyped costs nobody an event.
type benchSite struct {
	names topology.Names
	nc    *nats.Conn
}

// benchMark is the mark: metadata of the stream of events.
const benchMark = "essworker_bench"

const benchRemoveWait = 20 * time.Second

// make makes the streams and consumers, as worker setup would.
func (b benchSite) make(ctx context.Context, replace bool) error {
	js, err := jetstream.New(b.nc)
	if err != nil {
		return err
	}
	found, err := b.found(ctx, js)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		if err := b.mayRemove(ctx, js, found, replace); err != nil {
			return err
		}
		if err := b.removeAll(ctx, js, found); err != nil {
			return err
		}
	}
	set := simulated("").Topology
	set.Names = b.names
	if _, err := topology.Apply(ctx, js, set, bench.Kinds()); err != nil {
		return err
	}
	events, err := js.Stream(ctx, b.names.EventsStream())
	if err != nil {
		return err
	}
	cfg := events.CachedInfo().Config
	if cfg.Metadata == nil {
		cfg.Metadata = map[string]string{}
	}
	cfg.Metadata[benchMark] = "may be removed at any time"
	_, err = js.UpdateStream(ctx, cfg)
	return err
}

// found lists the streams of these names that there are.
func (b benchSite) found(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	var found []string
	for _, name := range b.names.Streams() {
		_, err := js.Stream(ctx, name)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, fmt.Errorf("look for stream %s: %w", name, err)
		}
		if err == nil {
			found = append(found, name)
		}
	}
	return found, nil
}

// mayRemove refuses to remove what no bench has made, and what nobody wants removed.
func (b benchSite) mayRemove(ctx context.Context, js jetstream.JetStream, found []string, replace bool) error {
	events, err := js.Stream(ctx, b.names.EventsStream())
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	marked := err == nil && events.CachedInfo().Config.Metadata[benchMark] != ""
	switch {
	case !marked:
		return exit{exitUsage, fmt.Errorf("--prefix: %s exists and is not of a bench: take another prefix", found[0])}
	case !replace:
		return exit{exitUsage, fmt.Errorf("--prefix: there are streams of a bench that was cut off, or still runs (%s): --replace removes them",
			strings.Join(found, ", "))}
	}
	return nil
}

// removeAll removes the streams, the one that carries the mark last.
func (b benchSite) removeAll(ctx context.Context, js jetstream.JetStream, found []string) error {
	for _, name := range found { // in the order of names.Streams, where it is the last
		if err := js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("remove stream %s: %w", name, err)
		}
	}
	return nil
}

// remove removes what make has made, and says so.
func (b benchSite) remove(ctx context.Context, note io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, benchRemoveWait)
	defer cancel()
	js, err := jetstream.New(b.nc)
	if err != nil {
		return err
	}
	found, err := b.found(ctx, js)
	if err == nil {
		err = b.removeAll(ctx, js, found)
	}
	if err != nil {
		return fmt.Errorf("%w: the streams of the bench are left on the server; the next one removes them with --replace", err)
	}
	fmt.Fprintf(note, "removed from the server: %s\n", strings.Join(found, ", "))
	return nil
}
