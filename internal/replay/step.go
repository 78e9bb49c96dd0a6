package replay

import "strings"

const (
	// canarySize is how many letters the canary is, the first alone: what it costs to
	// learn that the cause is not mended. A job of so few letters needs none.
	canarySize = 6
	// firstWindow is how many events may be under way behind the canary; it doubles each
	// time as many have ended.
	firstWindow = 10
	// mostUnderway bounds what a job puts into the events stream at a time.
	mostUnderway = 4000
	// windowSpan is how many seconds of a lane's pace may be under way: enough to keep
	// it busy, and little enough for live events and for a stop.
	windowSpan = 4
)

// step is how a job goes on, from what has been seen since it was begun or resumed.
type step struct {
	small    bool // there are no more letters than a canary has
	stopAt   float64
	stored   int // events
	known    int // of these, those whose outcome is
	last     string
	underway int
	most     int // that may be under way, by the pace of the lanes
}

// of completes a step of a job with so many letters to replay.
func (s step) of(eligible int) step {
	s.small = eligible <= canarySize && s.stored < canarySize
	return s
}

// room is how many letters may be replayed now.
func (s step) room() int {
	switch {
	case s.small:
		return canarySize - s.stored
	case s.stored == 0:
		return 1
	case s.canary() && s.underway > 0:
		return 0
	case s.canary() && s.failures() > 0:
		return 1 // another one to make sure
	case s.canary():
		return canarySize - s.known
	}
	return max(0, min(s.window(), s.most)-s.underway)
}

// canary reports whether the first letters are not settled.
func (s step) canary() bool { return !s.small && s.known < canarySize }

// window doubles with each window of outcomes.
func (s step) window() int {
	w := firstWindow
	for past := s.known - canarySize; past >= w && w < mostUnderway; w *= 2 {
		past -= w
	}
	return min(w, mostUnderway)
}

func (s step) failures() int { return strings.Count(s.last, "x") }

// tooBad reports whether so many fail that the job must stop: in the canary the part
// is that of the whole of it.
func (s step) tooBad() bool {
	return !s.small && s.stopAt < 1 && float64(s.failures()) > s.stopAt*float64(max(canarySize, len(s.last)))
}
