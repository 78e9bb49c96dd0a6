// Package kv keeps small records that several processes change: a bucket's keys, read
// from the leader and written by compare-and-set.
//
// Its one rule: a write says which state it was made from. Whoever was overtaken is told
// so, and nothing of what others wrote is lost.
package kv

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

// ErrStale says that a record has changed since it was read: read it and try again.
var ErrStale = errors.New("the record has changed meanwhile")

// opTimeout bounds one read or write of the bucket.
const opTimeout = 2 * time.Second

// Entry is what a key holds. A key that was never written, or was removed, has no value.
type Entry struct {
	Value []byte
	Rev   uint64    // to compare with; 0 if the key was never written
	At    time.Time // when it was stored, by the server's clock
}

// Bucket reads and writes the records of one bucket. It is safe for concurrent use.
type Bucket struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	stream string
	prefix string // of the keys' subjects
}

// Open uses a bucket by its name. It must exist once something is read or written.
func Open(nc *nats.Conn, js jetstream.JetStream, name string) Bucket {
	return Bucket{nc, js, "KV_" + name, "$KV." + name + "."}
}

// Subject is that of the messages which change a key, or keys if it has wildcards.
// Every client may listen to them; a message may yet be refused, so it is a hint to
// read the key and nothing else.
func (b Bucket) Subject(key string) string { return b.prefix + key }

// Key is the key that a subject stands for.
func (b Bucket) Key(subject string) string { return strings.TrimPrefix(subject, b.prefix) }

// Count gives how many keys match, which may have wildcards; see [stream.Count].
func (b Bucket) Count(ctx context.Context, keys string) (uint64, error) {
	return stream.Count(ctx, b.nc, b.stream, b.prefix+keys)
}

// Get reads a key from the leader of the bucket's stream. A direct get would be
// cheaper, but with replicas it may give what was true a moment ago, and then the
// compare-and-set that follows is made in vain.
func (b Bucket) Get(ctx context.Context, key string) (Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"last_by_subj": b.prefix + key})
	if err != nil {
		return Entry{}, fmt.Errorf("read %q: %w", key, err)
	}
	msg, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+b.stream, body)
	if err != nil {
		return Entry{}, fmt.Errorf("read %q: %w", key, err)
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
		return Entry{}, fmt.Errorf("read %q: %w", key, err)
	}
	if e := answer.Error; e != nil {
		if e.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return Entry{}, nil
		}
		return Entry{}, fmt.Errorf("read %q: %w", key, e)
	}
	m := answer.Message
	found := Entry{m.Data, m.Seq, m.Time}
	if header, err := nats.DecodeHeadersMsg(m.Headers); err == nil && removed(header) {
		found.Value = nil
	}
	return found, nil
}

// Time asks the leader of the bucket's stream for the time.
func (b Bucket) Time(ctx context.Context) (time.Time, error) {
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

// Put writes a key on condition that it still is at rev, and gives the new revision.
// A record that outlives ttl vanishes; 0 is never.
func (b Bucket) Put(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(rev)}
	if ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(max(ttl, time.Second)))
	}
	return b.publish(ctx, &nats.Msg{Subject: b.prefix + key, Data: value}, opts...)
}

// Remove deletes a key on condition that it still is at rev. The mark that it leaves
// goes by itself.
func (b Bucket) Remove(ctx context.Context, key string, rev uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	msg := &nats.Msg{Subject: b.prefix + key, Header: nats.Header{
		"KV-Operation": {"PURGE"}, jetstream.MsgRollup: {jetstream.MsgRollupSubject},
	}}
	return b.publish(ctx, msg, jetstream.WithExpectLastSequencePerSubject(rev), jetstream.WithMsgTTL(time.Minute))
}

func (b Bucket) publish(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (uint64, error) {
	ack, err := b.js.PublishMsg(ctx, msg, opts...)
	if err == nil {
		return ack.Sequence, nil
	}
	// The second code is a cluster's while another write of the key is under way.
	if api, ok := errors.AsType[*jetstream.APIError](err); ok &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == 10164) {
		return 0, ErrStale
	}
	return 0, fmt.Errorf("write %q: %w", strings.TrimPrefix(msg.Subject, b.prefix), err)
}

// All gives every key of a prefix, those that were removed a short while ago as well.
// With replicas it may be a moment old.
func (b Bucket) All(ctx context.Context, prefix string) (map[string]Entry, error) {
	msgs, err := stream.Match(ctx, b.nc, b.stream, b.prefix+prefix+">")
	if errors.Is(err, stream.ErrTooMany) {
		return b.each(ctx, prefix)
	}
	if err != nil {
		return nil, err
	}
	entries := make(map[string]Entry, len(msgs))
	for _, m := range msgs {
		b.add(entries, m)
	}
	return entries, nil
}

// each is All, message by message: where few keys of many match it costs the server a
// hundred times as much, and there may be any number of them.
func (b Bucket) each(ctx context.Context, prefix string) (map[string]Entry, error) {
	entries := map[string]Entry{}
	for m, err := range stream.Messages(ctx, b.nc, b.stream, b.prefix+prefix+">", 1, math.MaxUint64) {
		if err != nil {
			return nil, err
		}
		b.add(entries, m)
	}
	return entries, nil
}

func (b Bucket) add(entries map[string]Entry, m *jetstream.RawStreamMsg) {
	e := Entry{m.Data, m.Sequence, m.Time}
	if removed(m.Header) {
		e.Value = nil
	}
	entries[strings.TrimPrefix(m.Subject, b.prefix)] = e
}

// removed reports whether a message marks the end of its key.
func removed(h nats.Header) bool {
	return h.Get("KV-Operation") != "" || h.Get("Nats-Marker-Reason") != ""
}
