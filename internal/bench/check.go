package bench

import (
	"fmt"
	"time"

	"essworker/internal/esssim"
)

// checker holds what was done against what was asked for.
type checker struct {
	events Events
	made   []carried     // by event, warm-up included
	calls  []esssim.Call // those of the record that were for these events
}

// carried is what the vendor's record says of one event.
type carried struct {
	first     time.Time // the first call for it came in; zero if none did
	calls     int
	committed int // calls that were carried out
}

// newChecker picks from the record what concerns n events.
func newChecker(events Events, n int, record []esssim.Call) *checker {
	c := &checker{events: events, made: make([]carried, n), calls: record[:0]}
	number := make(map[string]int, n)
	for i := range n {
		number[events.entity(i)] = i
	}
	for _, call := range record {
		i, ours := number[call.Entity]
		if !ours {
			continue
		}
		c.calls = append(c.calls, call)
		if c.made[i].first.IsZero() {
			c.made[i].first = call.At
		}
		c.made[i].calls++
		if call.Committed {
			c.made[i].committed++
		}
	}
	return c
}

// results says what is wrong with the results.
func (c *checker) results(w *watch) []string {
	var none, twice, failed tally
	for i := range c.made {
		switch w.success[i] {
		case 0:
			none.add(c.events.id(i))
		case 1:
		default:
			twice.add(c.events.id(i))
		}
		if w.failure[i] > 0 {
			failed.add(c.events.id(i))
		}
	}
	wrong := none.say(nil, "have no success")
	wrong = twice.say(wrong, "have more than one success")
	wrong = failed.say(wrong, "have a failure")
	if w.strange > 0 {
		wrong = append(wrong, fmt.Sprintf("%d results are of no event of this trial", w.strange))
	}
	return wrong
}

// vendor says what is wrong with what was carried out.
func (c *checker) vendor() []string {
	var none, twice tally
	for i := range c.made {
		switch n := c.made[i].committed; {
		case n == 0:
			none.add(c.events.id(i))
		case n > 1:
			twice.add(c.events.id(i))
		}
	}
	wrong := none.say(nil, "were not carried out, as far as the vendor's record goes")
	return twice.say(wrong, "were carried out more than once")
}

// tally counts events and remembers the first.
type tally struct {
	n     int
	first string
}

func (t *tally) add(id string) {
	if t.n == 0 {
		t.first = id
	}
	t.n++
}

func (t *tally) say(wrong []string, what string) []string {
	if t.n == 0 {
		return wrong
	}
	return append(wrong, fmt.Sprintf("%d events %s, the first is %s", t.n, what, t.first))
}
