package fault

import "sync"

const (
	mostLabels = 64
	otherCodes = "other"
)

// Labels gives codes as they stand in metrics: the first 64 different ones as they are,
// further ones all as "other", so that no vendor can grow the metrics without end. The
// zero Labels is ready to use, by many goroutines at once.
type Labels struct {
	mu   sync.Mutex
	seen map[string]bool
}

// Of gives the label of a code.
func (l *Labels) Of(code string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[code] {
		return code
	}
	if len(l.seen) >= mostLabels {
		return otherCodes
	}
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	l.seen[code] = true
	return code
}
