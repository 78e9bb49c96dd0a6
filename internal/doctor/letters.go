package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"essworker/internal/fault"
)

// letters counts them by reason. Each is an event that waits for a person.
func (b *broker) letters(ctx context.Context) {
	name := b.Topology.LettersStream()
	if b.streams[name] == nil || b.denied[directGet+name] {
		return
	}
	var kinds []string
	var oldest time.Time
	var total uint64
	for _, reason := range fault.Reasons() {
		p, err := b.peek(ctx, name, b.Topology.Prefix+".deadletters."+string(reason)+".>", 1)
		if err != nil {
			b.tell.warn("letters", "see the findings on stream "+name, "could not be counted: %s", b.silence(err))
			return
		}
		if p.total == 0 {
			continue
		}
		total += p.total
		kinds = append(kinds, fmt.Sprintf("%d %s", p.total, reason))
		if at := p.first[0].Time; oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	if total == 0 {
		b.tell.ok("letters", "none")
		return
	}
	b.tell.warn("letters", "`worker dlq groups` shows them by cause", "%d: %s; the oldest is %s old",
		total, strings.Join(kinds, ", "), age(time.Since(oldest)))
}
