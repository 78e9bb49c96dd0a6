package doctor

import (
	"context"
	"time"
)

const (
	// clockOff is from where a clock is spoken of.
	clockOff = 30 * time.Second
	// clockRefused is from where the vendor refuses signatures (its documentation).
	clockRefused = 5 * time.Minute
)

// clock compares ours with the server's. The worker itself works by the server's time
// and its own monotonic clock; what is off is what people read, and one of the two.
func (b *broker) clock(ctx context.Context) {
	for _, name := range b.Topology.Streams() {
		if b.streams[name] == nil {
			continue
		}
		sent := time.Now()
		info, err := b.stream(ctx, name)
		if err != nil || info.TimeStamp.IsZero() {
			return // said by now, or a server that does not tell
		}
		off := ahead(sent.Add(time.Since(sent)/2), info.TimeStamp)
		if off.Abs() < clockOff {
			b.tell.ok("clock nats", "%s", against(off, "the NATS server's"))
		} else {
			b.tell.warn("clock nats", "set the clock of this machine or of the server (NTP): ages and expiries that people read are off by that much",
				"%s", against(off, "the NATS server's"))
		}
		return
	}
}

// ahead is how far our clock is ahead of another, to the second.
func ahead(ours, theirs time.Time) time.Duration {
	return ours.Round(0).Sub(theirs).Round(time.Second) // by the wall clock
}

// against says it in words.
func against(off time.Duration, whose string) string {
	switch {
	case off.Abs() <= time.Second:
		return "within a second of " + whose
	case off < 0:
		return "this machine's is " + (-off).String() + " behind " + whose
	default:
		return "this machine's is " + off.String() + " ahead of " + whose
	}
}
