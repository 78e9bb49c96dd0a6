package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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

// Attempts keeps records in the fleet's bucket. Only the worker that holds a
// message writes its record, so there is nothing to compare and set.
type Attempts struct {
	js      jetstream.JetStream
	kv      jetstream.KeyValue
	name    string // of the bucket
	records bucket
}

// OpenAttempts uses an existing bucket.
func OpenAttempts(ctx context.Context, js jetstream.JetStream, name string) (*Attempts, error) {
	kv, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open bucket %q: %w", name, err)
	}
	return &Attempts{js, kv, name, newBucket(js.Conn(), js, name)}, nil
}

// Get gives the record of a message; none is the zero Record.
func (a *Attempts) Get(ctx context.Context, consumer string, seq uint64) (Record, error) {
	var r Record
	// From the leader: a replica that lags would make deliveries look like crashes.
	e, err := a.records.get(ctx, attemptsKey(consumer, seq))
	if err != nil {
		return r, fmt.Errorf("read attempts: %w", err)
	}
	if e.value == nil {
		return r, nil
	}
	if err := json.Unmarshal(e.value, &r); err != nil {
		return r, fmt.Errorf("read attempts of message %d: %w", seq, err)
	}
	return r, nil
}

// Put stores a record. A plain KV put cannot carry a TTL, so the message is
// published as KV would publish it.
func (a *Attempts) Put(ctx context.Context, consumer string, seq uint64, r Record) error {
	b, err := json.Marshal(r)
	if err == nil {
		_, err = a.js.Publish(ctx, "$KV."+a.name+"."+attemptsKey(consumer, seq), b, jetstream.WithMsgTTL(attemptsTTL))
	}
	if err != nil {
		return fmt.Errorf("store attempts: %w", err)
	}
	return nil
}

// Forget removes the record of a settled message.
func (a *Attempts) Forget(ctx context.Context, consumer string, seq uint64) error {
	if err := a.kv.Purge(ctx, attemptsKey(consumer, seq), jetstream.PurgeTTL(time.Minute)); err != nil {
		return fmt.Errorf("forget attempts: %w", err)
	}
	return nil
}

func attemptsKeys(consumer string) string { return "attempts." + consumer + "." }

func attemptsKey(consumer string, seq uint64) string {
	return attemptsKeys(consumer) + strconv.FormatUint(seq, 10)
}
