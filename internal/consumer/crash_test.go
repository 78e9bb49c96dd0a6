package consumer_test

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/handlers"
	"essworker/internal/natstest"
)

// TestCrash_everyStep kills a worker between every two of its steps. Each scenario is
// played once as it is: what the worker does then is the list of steps. Then it is
// played again for each of them, with the worker cut off before it and with the worker
// cut off after it, while another one starts at that moment; and the promises hold. They
// hold, too, if the worker only stands still there, and goes on when others have its work.
//
// docs/crash-points.md says for every step which promises cover a cut before it and
// after it. A step that is not on the page fails the test, and so does one on the page
// that no worker makes any more.
func TestCrash_everyStep(t *testing.T) {
	t.Parallel()
	c := &casebook{
		page: readCrashPage(t), one: 1, seed: maphash.MakeSeed(),
		claimed: map[string]bool{}, cut: map[string][]side{}, changes: map[string][]string{},
	}
	if underRace || testing.Short() {
		c.one = 12
	}
	t.Run("scenarios", func(t *testing.T) {
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					topo := natstest.Defaults()
					topo.AckWait = 2 * time.Second
					c.play(t, s, natstest.Start(t, natstest.Setup{Topology: topo, Types: handlers.Types()}))
				})
			})
		}
	})
	t.Logf("%d scenarios, cut off at %d points", c.scenarios, c.cuts)
	if c.scenarios == len(scenarios) && c.one == 1 && !t.Failed() {
		c.compare(t)
	}
}

// casebook is what the scenarios have come to together.
type casebook struct {
	page map[string]row
	one  uint64 // of so many points is played, another one each time
	seed maphash.Seed

	mu        sync.Mutex
	scenarios int // played from beginning to end
	cuts      int
	claimed   map[string]bool     // what is to be played in one scenario only
	cut       map[string][]side   // sides of a step that processes were cut off at
	changes   map[string][]string // what a step has been seen to change
}

// play plays a scenario without a cut, and with one at each of its points.
func (c *casebook) play(t *testing.T, s scenario, bed *natstest.Bed) {
	t.Helper()
	whole := s.play(t, bed, 0, point{})
	whole.checkWhole()
	c.know(t, whole)
	var previous *run
	for n, at := range c.points(s, whole.first.taken()) {
		r := s.play(t, bed, n+1, at)
		c.know(t, r)
		if r.cut == nil {
			continue // steps that go by the clock may be fewer another time
		}
		r.check(whole)
		c.note(t, previous, r)
		if t.Failed() {
			t.Fatalf("that was scenario %q, %v; the processes said in the end:\n%s", s.name, at, r.lastWords())
		}
		previous = r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scenarios++
}

// points chooses where to cut. A step that acts is cut off in every scenario; of many
// of a kind, which go by the clock, the first and the last are. A step that only looks
// leaves the world as it is, so each pair of steps with such a second one is cut apart in
// one scenario only. So is the start of a process, which is always the same.
func (c *casebook) points(s scenario, steps []string) []point {
	total, nth := map[string]int{}, map[string]int{}
	for _, step := range steps {
		total[step]++
	}
	var all []point
	started, previous := false, ""
	for _, step := range steps {
		nth[step]++
		started = started || step == "ask for events" || step == "read letter"
		first, last := nth[step] == 1, nth[step] == total[step]
		for _, side := range []side{before, within, after, late} {
			at := point{step, nth[step], side}
			once := "" // names what is played in one scenario only
			switch {
			case !first && (!last || side != before), side == within && (!acts(step) || step == "call"),
				side == late && (!acts(step) || !started || s.many):
				continue
			case !started:
				once = at.String()
			case side == before && !acts(step):
				once = previous + ", " + step
			case side == within, !acts(step):
				once = string(side) + " " + step
			}
			if c.claim(once) && maphash.String(c.seed, s.name+at.String())%c.one == 0 {
				all = append(all, at)
			}
		}
		previous = step
	}
	return all
}

// acts tells whether a step does more than to look.
func acts(step string) bool {
	return step != "open" && !strings.HasPrefix(step, "look for ") && !strings.HasPrefix(step, "read ")
}

// claim gives each name to one scenario only, and no name to all.
func (c *casebook) claim(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name == "" {
		return true
	}
	taken := c.claimed[name]
	c.claimed[name] = true
	return !taken
}

// know finds steps that nobody has thought of.
func (c *casebook) know(t *testing.T, r *run) {
	t.Helper()
	for _, p := range r.hired {
		for _, step := range p.taken() {
			if _, ok := c.page[step]; !ok {
				t.Fatalf("scenario %q: a worker makes a step that %s does not know, %q: add a row that says which promises cover a cut before it and after it",
					r.scenario.name, crashPage, step)
			}
		}
	}
}

// note takes down a run, and what the step has changed at which it was cut off: that
// can be seen if the run before it went the same way and ended before the step.
func (c *casebook) note(t *testing.T, previous, r *run) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts++
	add(c.cut, r.at.step, r.at.side)
	if previous == nil || previous.at.side == r.at.side || r.at.side == late || !slices.Equal(previous.first.taken(), r.first.taken()) {
		return
	}
	for _, change := range r.cut.since(*previous.cut) {
		add(c.changes, r.at.step, change)
		if !slices.Contains(c.page[r.at.step].changes, change) {
			t.Errorf("step %q changes %s, and %s says %q", r.at.step, change, crashPage, c.page[r.at.step].changes)
		}
	}
}

func add[T comparable](m map[string][]T, key string, value T) {
	if !slices.Contains(m[key], value) {
		m[key] = append(m[key], value)
	}
}

// compare holds the page against what has been found.
func (c *casebook) compare(t *testing.T) {
	t.Helper()
	for step, row := range c.page {
		if !slices.Contains(c.cut[step], before) || !slices.Contains(c.cut[step], after) {
			t.Errorf("%s has step %q, and workers were cut off %q it only, not before and after: "+
				"if workers make it no more, take the row away, else add a scenario in which they do", crashPage, step, c.cut[step])
		}
		for _, change := range row.changes {
			if !slices.Contains(c.changes[step], change) {
				t.Errorf("%s says that step %q changes %s, which it never did", crashPage, step, change)
			}
		}
	}
}
