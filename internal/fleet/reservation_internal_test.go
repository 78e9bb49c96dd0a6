package fleet

import (
	"testing"
	"time"
)

// TestReservation_lastMinute: what is counted as used in the last minute is about that,
// and nothing once it is long ago.
func TestReservation_lastMinute(t *testing.T) {
	var r reservation
	start := time.Unix(1_000_000_020, 0) // a full minute
	if start.Unix()%60 != 0 {
		t.Fatal("not a full minute")
	}
	now := start
	for range 180 { // 10 a second for three minutes
		r.count(now, 10)
		now = now.Add(time.Second)
	}
	for _, tt := range []struct {
		after    time.Duration
		low, top float64
	}{
		{0, 590, 610},
		{30 * time.Second, 290, 310},
		{59 * time.Second, 0, 20},
		{2 * time.Minute, 0, 0},
		{24 * time.Hour, 0, 0},
		{-24 * time.Hour, 0, 0},
	} {
		if got := r.lastMinute(now.Add(tt.after)); got < tt.low || got > tt.top {
			t.Errorf("%v after three minutes of 10 slots a second: lastMinute = %v, want %v to %v", tt.after, got, tt.low, tt.top)
		}
	}
	r.count(now.Add(time.Hour), 5)
	if got := r.lastMinute(now.Add(time.Hour)); got != 5 {
		t.Errorf("an hour later, with 5 taken: lastMinute = %v, want 5", got)
	}
}

// TestReservation_free: slots are never before what was asked for, nor before the record was stored.
func TestReservation_free(t *testing.T) {
	stored := time.Now()
	for name, tt := range map[string]struct {
		r           reservation
		stored      time.Time
		first, free time.Time
	}{
		"none":        {},
		"in the past": {reservation{From: stored.Add(-time.Hour), Slots: 3, Gap: time.Second}, stored, stored, stored.Add(3 * time.Second)},
		"ahead":       {reservation{From: stored.Add(time.Second), Slots: 2, Gap: time.Second}, stored, stored.Add(time.Second), stored.Add(3 * time.Second)},
	} {
		if first, free := tt.r.first(tt.stored), tt.r.free(tt.stored); !first.Equal(tt.first) || !free.Equal(tt.free) {
			t.Errorf("%s: first slot %v, free from %v; want %v and %v", name, first, free, tt.first, tt.free)
		}
	}
}
