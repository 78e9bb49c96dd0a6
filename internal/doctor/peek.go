package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// peeked is the beginning of a stream, or of what of it matches a subject.
type peeked struct {
	first []*jetstream.RawStreamMsg // the oldest
	total uint64                    // of all there are
}

// maxPeek bounds the bytes of one look: beyond it the server ends a batch.
const maxPeek = 256 << 10

// peek gives the n oldest messages that match a subject, or fewer if they are large,
// and how many match in all, which the server counts by its index: one request, whatever
// is in the stream. The stream must allow direct get.
func (b *broker) peek(ctx context.Context, stream, subject string, n int) (peeked, error) {
	ctx, cancel := b.patient(ctx)
	defer cancel()
	var p peeked
	body, err := json.Marshal(map[string]any{"seq": 1, "next_by_subj": subject, "batch": n, "max_bytes": maxPeek})
	if err != nil {
		return p, err
	}
	sub, err := b.nc.SubscribeSync(b.nc.NewInbox())
	if err != nil {
		return p, err
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails only on a closed connection
	if err := b.nc.PublishRequest(directGet+stream, sub.Subject, body); err != nil {
		return p, err
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return p, err
		}
		seq, err := strconv.ParseUint(lastOf(msg.Header, jetstream.SequenceHeader), 10, 64)
		if err != nil { // no message, but the end of the answer
			switch status := msg.Header.Get("Status"); status {
			case "204", "404":
				return p, nil
			case "503":
				return p, nats.ErrNoResponders
			default:
				return p, fmt.Errorf("the server answers %s %s", status, msg.Header.Get("Description"))
			}
		}
		if len(p.first) == 0 {
			left, _ := strconv.ParseUint(lastOf(msg.Header, "Nats-Num-Pending"), 10, 64)
			p.total = left + 1
		}
		at, _ := time.Parse(time.RFC3339Nano, lastOf(msg.Header, jetstream.TimeStampHeaer))
		p.first = append(p.first, &jetstream.RawStreamMsg{
			Subject: lastOf(msg.Header, jetstream.SubjectHeader), Sequence: seq, Time: at, Header: msg.Header, Data: msg.Data,
		})
	}
}

// lastOf gives what the server says: its headers stand behind those of the message,
// which may have the same names.
func lastOf(h nats.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}
