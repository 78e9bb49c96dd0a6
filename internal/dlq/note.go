package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/mask"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// State is what an operator has decided about a group.
type State string

// A group is open until somebody says otherwise.
const (
	StateOpen         State = "open"
	StateAcknowledged State = "acknowledged" // somebody sees to it
	StateIgnored      State = "ignored"      // not to be alarmed about
)

func (s State) rank() int {
	switch s {
	case StateAcknowledged:
		return 1
	case StateIgnored:
		return 2
	default:
		return 0
	}
}

// Note is what an operator said about a group, and when. The zero Note is that of an
// open group.
type Note struct {
	State State     `json:"state"`
	Why   string    `json:"why"`
	By    string    `json:"by"`
	At    time.Time `json:"at"`

	Unread bool `json:"-"` // there is one that cannot be read, of another version perhaps: else this is the zero Note
}

// noteKeys is where notes are kept in the fleet's bucket, by group.
const noteKeys = "group."

// goneAfter is how long the mark stays that a removed note leaves.
const goneAfter = time.Minute

// Notes gives every note there is, by group. One that cannot be read must not hide the
// letters: it is Unread, and its group open.
func Notes(ctx context.Context, nc *nats.Conn, topo topology.Names) (map[string]Note, error) {
	subject := "$KV." + topo.FleetBucket() + "." + noteKeys
	found, err := stream.Match(ctx, nc, topo.FleetStream(), subject+"*")
	if errors.Is(err, stream.ErrTooMany) {
		found = map[string]*jetstream.RawStreamMsg{}
		for m, failed := range stream.Messages(ctx, nc, topo.FleetStream(), subject+"*", 1, math.MaxUint64) {
			if err = failed; err != nil {
				break
			}
			found[m.Subject] = m
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read notes on groups: %w", err)
	}
	notes := make(map[string]Note, len(found))
	for name, m := range found {
		var n Note
		if len(m.Data) == 0 { // the mark of one that was taken back
			continue
		}
		if json.Unmarshal(m.Data, &n) != nil {
			n = Note{Unread: true}
		}
		notes[name[len(subject):]] = n
	}
	return notes, nil
}

// SetNote keeps what an operator says about a group; of several at once the last
// counts. A note that says the group is open takes the one there was back. N.At is
// filled in.
func (b *Box) SetNote(ctx context.Context, group string, n Note) error {
	kv, err := b.js.KeyValue(ctx, b.topo.FleetBucket())
	if err != nil {
		return fmt.Errorf("open bucket %q: %w", b.topo.FleetBucket(), err)
	}
	if n.State.rank() == 0 {
		if err := kv.Purge(ctx, noteKeys+group, jetstream.PurgeTTL(goneAfter)); err != nil {
			return fmt.Errorf("take back the note on group %s: %w", group, err)
		}
		return nil
	}
	n.At, n.Why = time.Now().UTC(), mask.Text(n.Why)
	value, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode note: %w", err)
	}
	if _, err := kv.Put(ctx, noteKeys+group, value); err != nil {
		return fmt.Errorf("keep the note on group %s: %w", group, err)
	}
	return nil
}
