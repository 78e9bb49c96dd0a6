package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/kv"
)

// attemptsTTL bounds how long a record outlives its event's last delivery. It is
// long because a record that vanished early would make the deliveries before it
// look like crashes; a settled event's record is removed at once.
const attemptsTTL = 90 * 24 * time.Hour

// Record is what the fleet remembers of an event that could not be settled at its
// first delivery.
type Record struct {
	Made    int    `json:"made"`    // vendor calls made
	Calls   int    `json:"calls"`   // those of them that were charged to the event
	Vague   int    `json:"vague"`   // those of these whose fault had a limit of tries of its own
	Crashes int    `json:"crashes"` // deliveries that ended without a trace
	Seen    uint64 `json:"seen"`    // the last delivery accounted for
}

// unreadable stands for a record of a format that this version does not know. It has
// seen every delivery: if none were accounted for, they would look like crashes.
var unreadable = Record{Seen: math.MaxInt64}

// At is the record as it stands when delivery number n arrives: every delivery
// since the last one accounted for has ended without a trace. The server's count
// is a hint: it may have gone back after a crash of the server.
func (r Record) At(delivery uint64) Record {
	if delivery > r.Seen+1 {
		r.Crashes += int(delivery - r.Seen - 1) //nolint:gosec // a delivery count
	}
	r.Seen = max(r.Seen, delivery)
	return r
}

// ErrOvertaken says that the event has been given to another worker since.
var ErrOvertaken = errors.New("the event is another worker's by now")

// Attempts keeps records in the fleet's bucket. The worker that holds a message writes
// its record; one that stood still until others had the message writes none.
type Attempts struct {
	store   jetstream.KeyValue
	records kv.Bucket
}

// OpenAttempts uses an existing bucket.
func OpenAttempts(ctx context.Context, js jetstream.JetStream, name string) (*Attempts, error) {
	store, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open bucket %q: %w", name, err)
	}
	return &Attempts{store, kv.Open(js.Conn(), js, name)}, nil
}

// Get gives the record of a message; none is the zero Record.
func (a *Attempts) Get(ctx context.Context, consumer string, seq uint64) (Record, error) {
	r, _, err := a.get(ctx, attemptsKey(consumer, seq))
	return r, err
}

func (a *Attempts) get(ctx context.Context, key string) (r Record, rev uint64, err error) {
	// From the leader: a replica that lags would make deliveries look like crashes.
	e, err := a.records.Get(ctx, key)
	if err != nil {
		return r, 0, err
	}
	if e.Value != nil && json.Unmarshal(e.Value, &r) != nil {
		r = unreadable
	}
	return r, e.Rev, nil
}

// Put stores a record, unless the one that is there has seen a later delivery: the error
// is ErrOvertaken then. Put back, a record would make the deliveries since look like crashes.
func (a *Attempts) Put(ctx context.Context, consumer string, seq uint64, r Record) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode attempts: %w", err)
	}
	for {
		there, rev, err := a.get(ctx, attemptsKey(consumer, seq))
		switch {
		case err != nil:
			return err
		case there.Seen > r.Seen && there != unreadable:
			return ErrOvertaken
		}
		_, err = a.records.Put(ctx, attemptsKey(consumer, seq), value, rev, attemptsTTL)
		if !errors.Is(err, kv.ErrStale) {
			return err
		}
	}
}

// Forget removes the record of a settled message.
func (a *Attempts) Forget(ctx context.Context, consumer string, seq uint64) error {
	if err := a.store.Purge(ctx, attemptsKey(consumer, seq), jetstream.PurgeTTL(time.Minute)); err != nil {
		return fmt.Errorf("forget attempts: %w", err)
	}
	return nil
}

func attemptsKeys(consumer string) string { return "attempts." + consumer + "." }

func attemptsKey(consumer string, seq uint64) string {
	return attemptsKeys(consumer) + strconv.FormatUint(seq, 10)
}
