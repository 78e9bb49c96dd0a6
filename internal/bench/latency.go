package bench

import (
	"math"
	"slices"
	"time"
)

// Latency is how long something took, each time, in ascending order.
type Latency []time.Duration

// At is the time within which the share q of all was done: 0.5 is the median, 1 the
// longest. It is a value that was measured (nearest rank), and 0 if there is none.
func (l Latency) At(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(l))))
	return l[min(max(rank, 1), len(l))-1]
}

// Bar is one of a histogram's: how many took at least From and less than To.
type Bar struct {
	From, To time.Duration
	Count    int
}

// Bars divides the latencies into at most n bars, each a fixed factor longer than the one
// before, from the first that counts any to the last. The longest value is in the last one.
func (l Latency) Bars(n int) []Bar {
	if len(l) == 0 {
		return nil
	}
	shortest, longest := max(l[0], time.Microsecond), max(l[len(l)-1], time.Microsecond)
	var bars []Bar
	for _, steps := range []int{20, 10, 5, 2, 1} { // bars for each power of ten
		bars = l.divided(steps, shortest, longest)
		if len(bars) <= n {
			break
		}
	}
	return bars
}

func (l Latency) divided(steps int, shortest, longest time.Duration) []Bar {
	edge := func(k int) time.Duration {
		return time.Duration(math.Pow(10, float64(k)/float64(steps)) * float64(time.Microsecond))
	}
	first := int(math.Floor(math.Log10(float64(shortest)/float64(time.Microsecond)) * float64(steps)))
	for edge(first+1) <= shortest { // what rounding has taken
		first++
	}
	var bars []Bar
	rest := l
	for k := first; len(bars) == 0 || edge(k) <= longest; k++ {
		b := Bar{From: edge(k), To: edge(k + 1)}
		b.Count, _ = slices.BinarySearch(rest, b.To)
		rest = rest[b.Count:]
		bars = append(bars, b)
	}
	return bars
}
