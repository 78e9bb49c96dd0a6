package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/stream"
)

// errStale says that a record has changed since it was read: read it and try again.
var errStale = errors.New("the record has changed meanwhile")

// opTimeout bounds one read or write of the bucket.
const opTimeout = 2 * time.Second

// entry is what a key holds. A key that was never written, or was removed, has no value.
type entry struct {
	value []byte
	rev   uint64    // to compare with; 0 if the key was never written
	at    time.Time // when it was stored, by the server's clock
}

// bucket reads and writes the fleet's records. It is safe for concurrent use.
type bucket struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	stream string
	prefix string // of the keys' subjects
}

func newBucket(nc *nats.Conn, js jetstream.JetStream, name string) bucket {
	return bucket{nc, js, "KV_" + name, "$KV." + name + "."}
}

// get reads a key from the leader of the bucket's stream. A direct get would be
// cheaper, but with replicas it may give what was true a moment ago, and then the
// compare-and-set that follows is made in vain.
func (b bucket) get(ctx context.Context, key string) (entry, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"last_by_subj": b.prefix + key})
	if err != nil {
		return entry{}, fmt.Errorf("read %q: %w", key, err)
	}
	msg, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+b.stream, body)
	if err != nil {
		return entry{}, fmt.Errorf("read %q: %w", key, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Seq     uint64    `json:"seq"`
			Headers []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return entry{}, fmt.Errorf("read %q: %w", key, err)
	}
	if e := answer.Error; e != nil {
		if e.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return entry{}, nil
		}
		return entry{}, fmt.Errorf("read %q: %w", key, e)
	}
	m := answer.Message
	found := entry{m.Data, m.Seq, m.Time}
	if header, err := nats.DecodeHeadersMsg(m.Headers); err == nil && removed(header) {
		found.value = nil
	}
	return found, nil
}

// time asks the leader of the bucket's stream for the time.
func (b bucket) time(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	msg, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+b.stream, nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time: %w", err)
	}
	var answer struct {
		Time time.Time `json:"ts"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Time.IsZero() {
		return time.Time{}, fmt.Errorf("ask for the time: no time in the answer: %w", err)
	}
	return answer.Time, nil
}

// put writes a key on condition that it still is at rev, and gives the new revision.
// A record that outlives ttl vanishes; 0 is never.
func (b bucket) put(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(rev)}
	if ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(max(ttl, time.Second)))
	}
	return b.publish(ctx, &nats.Msg{Subject: b.prefix + key, Data: value}, opts...)
}

// remove deletes a key on condition that it still is at rev. The mark that it leaves
// goes by itself.
func (b bucket) remove(ctx context.Context, key string, rev uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	msg := &nats.Msg{Subject: b.prefix + key, Header: nats.Header{
		"KV-Operation": {"PURGE"}, jetstream.MsgRollup: {jetstream.MsgRollupSubject},
	}}
	return b.publish(ctx, msg, jetstream.WithExpectLastSequencePerSubject(rev), jetstream.WithMsgTTL(time.Minute))
}

func (b bucket) publish(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (uint64, error) {
	ack, err := b.js.PublishMsg(ctx, msg, opts...)
	if err == nil {
		return ack.Sequence, nil
	}
	// The second code is a cluster's while another write of the key is under way.
	if api, ok := errors.AsType[*jetstream.APIError](err); ok &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == 10164) {
		return 0, errStale
	}
	return 0, fmt.Errorf("write %q: %w", strings.TrimPrefix(msg.Subject, b.prefix), err)
}

// all gives every key of a prefix, those that were removed a short while ago as well.
// With replicas it may be a moment old.
func (b bucket) all(ctx context.Context, prefix string) (map[string]entry, error) {
	msgs, err := stream.Match(ctx, b.nc, b.stream, b.prefix+prefix+">")
	if errors.Is(err, stream.ErrTooMany) {
		return b.each(ctx, prefix)
	}
	if err != nil {
		return nil, err
	}
	entries := make(map[string]entry, len(msgs))
	for _, m := range msgs {
		b.add(entries, m)
	}
	return entries, nil
}

// each is all, message by message: where few keys of many match it costs the server a
// hundred times as much, and there may be any number of them.
func (b bucket) each(ctx context.Context, prefix string) (map[string]entry, error) {
	entries := map[string]entry{}
	for m, err := range stream.Messages(ctx, b.nc, b.stream, b.prefix+prefix+">", 1, math.MaxUint64) {
		if err != nil {
			return nil, err
		}
		b.add(entries, m)
	}
	return entries, nil
}

func (b bucket) add(entries map[string]entry, m *jetstream.RawStreamMsg) {
	e := entry{m.Data, m.Sequence, m.Time}
	if removed(m.Header) {
		e.value = nil
	}
	entries[strings.TrimPrefix(m.Subject, b.prefix)] = e
}

// removed reports whether a message marks the end of its key.
func removed(h nats.Header) bool {
	return h.Get("KV-Operation") != "" || h.Get("Nats-Marker-Reason") != ""
}
