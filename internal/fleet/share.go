package fleet

import (
	"slices"
	"time"
)

const (
	// liveLately is how long after a live event took a slot others are expected.
	liveLately = time.Second
	// replayPause is how long a replay stays away that has to leave room, at first.
	replayPause = time.Second
	// replayMost is the longest: replays that stay away too long leave slots unused.
	replayMost = 30 * time.Second
)

// refuse sends replays away that must leave room, and gives the rest. Within its share
// of the pace a replay waits like any other. Beyond it, it may have what is left over:
// nothing waits behind it, and no live event is about to take the next slot.
func (q *quota) refuse(waiting []*waiter, now time.Time, ahead time.Duration) []*waiter {
	live := now.Sub(q.record.Live) < liveLately && ahead > 0
	for _, w := range waiting {
		live = live || !w.Replay
	}
	share := q.record.Replay
	return slices.DeleteFunc(waiting, func(w *waiter) bool {
		if !w.Replay {
			return false
		}
		if !share.After(now) {
			share = now.Add(time.Nanosecond) // one at a time
			return false
		}
		if !live && w.Behind == 0 {
			return false
		}
		q.give(w, slot{refused: true})
		return true
	})
}
