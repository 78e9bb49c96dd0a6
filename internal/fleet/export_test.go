package fleet

import "time"

// ShiftClock is as if the server's clock had stepped by d.
func (f *Fleet) ShiftClock(d time.Duration) {
	f.clock.mu.Lock()
	defer f.clock.mu.Unlock()
	f.clock.low, f.clock.high = f.clock.low.Add(-d), f.clock.high.Add(-d)
}
