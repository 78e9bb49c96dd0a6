package bench_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"essworker/internal/bench"
)

func TestLatency_At(t *testing.T) {
	l := bench.Latency{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, tt := range []struct {
		of   bench.Latency
		q    float64
		want time.Duration
	}{
		{l, 0, 1},
		{l, 0.1, 1},
		{l, 0.11, 2},
		{l, 0.5, 5},
		{l, 0.99, 10},
		{l, 1, 10},
		{l[:1], 0.5, 1},
		{nil, 0.5, 0},
	} {
		if got := tt.of.At(tt.q); got != tt.want {
			t.Errorf("At(%v) of %d values = %d, want %d", tt.q, len(tt.of), got, tt.want)
		}
	}
}

// TestLatency_Bars draws what may come, and counts every value in the bar it belongs to.
func TestLatency_Bars(t *testing.T) {
	const most = 16
	rng := rand.New(rand.NewPCG(1, 2))
	spreads := []time.Duration{1, 10}
	for d := time.Microsecond; d < time.Hour; d = d * 6 / 5 {
		spreads = append(spreads, d)
	}
	for _, spread := range spreads {
		for _, n := range []int{1, 2, 100} {
			var l bench.Latency
			for range n {
				l = append(l, 300*time.Microsecond+time.Duration(rng.Int64N(int64(spread))))
			}
			slices.Sort(l)
			bars := l.Bars(most)
			if len(bars) < 1 || len(bars) > most {
				t.Errorf("%d values over %v: %d bars, want 1 to %d", n, spread, len(bars), most)
			}
			if bars[0].Count == 0 || bars[len(bars)-1].Count == 0 {
				t.Errorf("%d values over %v: the first or last bar is empty: %v", n, spread, bars)
			}
			for i, b := range bars {
				within := slices.DeleteFunc(slices.Clone(l), func(d time.Duration) bool { return d < b.From || d >= b.To })
				if len(within) != b.Count {
					t.Errorf("%d values over %v: bar %v counts %d, want %d", n, spread, b, b.Count, len(within))
				}
				if i > 0 && b.From != bars[i-1].To {
					t.Errorf("%d values over %v: bar %v does not follow %v", n, spread, b, bars[i-1])
				}
			}
		}
	}
	for _, odd := range []bench.Latency{{-5, 0, 1}, {0}, {time.Microsecond}, {time.Millisecond}, {time.Second}} {
		sum := 0
		for _, b := range odd.Bars(most) {
			sum += b.Count
		}
		if sum != len(odd) {
			t.Errorf("Bars of %v count %d values, want %d", odd, sum, len(odd))
		}
	}
	if got := (bench.Latency{}).Bars(most); got != nil {
		t.Errorf("Bars of nothing = %v, want none", got)
	}
}
