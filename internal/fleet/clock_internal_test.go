package fleet

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// theirs is a server's clock: it is that far off, and runs faster by that part.
type theirs struct {
	base  time.Time
	off   time.Duration
	drift float64
}

func (s theirs) at(t time.Time) time.Time {
	d := t.Sub(s.base)
	return s.base.Round(0).Add(d + s.off + time.Duration(s.drift*float64(d)))
}

// TestClock: what each write says about the server's clock narrows down what is known,
// however long the way there and back is.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		if d := time.Until(c.now()); d != 0 {
			t.Errorf("before anything was heard the clock is %v off ours, want ours", d)
		}
		s := theirs{base: time.Now(), off: -3 * time.Hour}
		write := func(there, back time.Duration) {
			sent := time.Now()
			time.Sleep(there)
			stored := s.at(time.Now())
			time.Sleep(back)
			c.saw(stored, sent, time.Now())
		}
		off := func() time.Duration { return c.now().Sub(s.at(time.Now())) }
		write(0, 40*time.Millisecond)
		if got := off(); got.Abs() > 20*time.Millisecond {
			t.Errorf("after a write of 40 ms the clock is %v off, want at most half of that", got)
		}
		write(40*time.Millisecond, 0) // together they leave no doubt
		if got := off(); got.Abs() > 10*time.Microsecond {
			t.Errorf("after one that was slow on the way there and one on the way back the clock is %v off, want hardly anything", got)
		}
		sharp := time.Now()
		most := func() time.Duration { // as far as clocks may have run apart since then
			return 10*time.Microsecond + time.Duration(drift*float64(time.Since(sharp)))
		}
		for range 1000 { // slow ones afterwards take nothing away
			write(rand.N(time.Second), rand.N(time.Second))
			if got := off(); got.Abs() > most() {
				t.Fatalf("after slow writes for %v the clock is %v off, want %v at most", time.Since(sharp), got, most())
			}
		}
		at := time.Now().Add(time.Minute)
		if got := c.here(s.at(at)).Sub(at); got.Abs() > most() {
			t.Errorf("here is %v off, want %v at most", got, most())
		}
	})
}

// TestClock_stepped: a server's clock that is set right, or another server's, is
// believed anew at once.
func TestClock_stepped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newClock(), theirs{base: time.Now()}
		for _, off := range []time.Duration{0, time.Hour, -time.Hour, -time.Hour + 50*time.Millisecond, 0, 24 * time.Hour} {
			s.off = off
			sent := time.Now()
			time.Sleep(2 * time.Millisecond)
			c.saw(s.at(time.Now().Add(-time.Millisecond)), sent, time.Now())
			if got := c.now().Sub(s.at(time.Now())); got.Abs() > time.Millisecond {
				t.Errorf("after one write to a clock that was set %v off, ours is %v off it, want at most a millisecond", off, got)
			}
		}
	})
}

// TestClock_drift: clocks that run apart are followed for as long as one writes now and
// then, and a single write puts right what a long silence has left behind.
func TestClock_drift(t *testing.T) {
	for _, parts := range []float64{50e-6, -50e-6, 500e-6, -500e-6} { // the last two are broken clocks
		synctest.Test(t, func(t *testing.T) {
			c, s := newClock(), theirs{base: time.Now(), drift: parts}
			for i := range 1000 {
				pause := 10 * time.Second
				if i%100 == 99 {
					pause = 10 * time.Hour
				}
				time.Sleep(pause)
				sent := time.Now()
				time.Sleep(time.Millisecond)
				c.saw(s.at(sent.Add(500*time.Microsecond)), sent, time.Now())
				if got := c.now().Sub(s.at(time.Now())); got.Abs() > 6*time.Millisecond {
					t.Fatalf("drift of %v parts: the clock is %v off right after write %d, want a few milliseconds at most", parts, got, i)
				}
			}
		})
	}
}
