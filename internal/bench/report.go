package bench

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"essworker/internal/esssim"
)

// Report is what a trial has shown.
type Report struct {
	Events  int
	Took    time.Duration // from the moment the worker could begin to the last result
	Call    Latency       // from publishing to the vendor, as it came in there
	Result  Latency       // from publishing to the result, in a subscriber's hands
	Rest    Latency       // from the call to the result
	Calls   int           // to the vendor, for these events
	TooFast int           // calls refused for speed, as all below with those of the warm-up
	// Most is how many calls of an action came in any one second, by action.
	Most map[string]Most

	CPU       CPU   // of one event
	Peak      int64 // the worker's memory in bytes, its start included; 0 if not known
	Allocated Allocated
	// Others is the share of this machine's processors, 0 to 1, that was not free for the
	// trial: other programs had it. Negative is not known.
	Others float64
	// Wrong says what was not done as promised; nothing if all was right.
	Wrong []string
}

// Most is the most calls in one second, as the simulator counts.
type Most struct {
	Sliding  int `json:"sliding"`
	Calendar int `json:"calendar"`
}

// CPU is processor time for one event, user and system; 0 is not known.
type CPU struct{ Worker, Server, Sim time.Duration }

// Allocated is what the worker allocated for one event; 0 is not known.
type Allocated struct{ Objects, Bytes float64 }

// Rate is events a second.
func (r *Report) Rate() float64 { return float64(r.Events) / r.Took.Seconds() }

func (t Trial) report(m *measured, load *load, watch *watch, check *checker) *Report {
	r := &Report{
		Events: t.Events, Took: m.took, Most: map[string]Most{},
		CPU: m.cpu(t.Events), Peak: m.after.worker.Peak, Allocated: m.allocated(t.Events), Others: m.others(),
	}
	watch.mu.Lock()
	defer watch.mu.Unlock()
	for i, sent := range load.sent {
		called, got := check.made[i].first, watch.got[i]
		r.Calls += check.made[i].calls
		if !called.IsZero() {
			r.Call = append(r.Call, called.Sub(sent))
		}
		if !got.IsZero() {
			r.Result = append(r.Result, got.Sub(sent))
		}
		if !called.IsZero() && !got.IsZero() {
			r.Rest = append(r.Rest, got.Sub(called))
		}
	}
	for _, l := range []Latency{r.Call, r.Result, r.Rest} {
		slices.Sort(l)
	}
	for _, c := range check.calls {
		if slices.Contains(tooFast, c.Outcome) {
			r.TooFast++
		}
		if _, ok := r.Most[c.Action]; !ok {
			sliding, calendar := esssim.MaxPerSecond(check.calls, c.Action)
			r.Most[c.Action] = Most{sliding, calendar}
		}
	}
	r.Wrong = slices.Concat(check.results(watch), check.vendor(), t.overLimit(r.Most))
	return r
}

// overLimit says which actions were called too often.
func (t Trial) overLimit(most map[string]Most) (wrong []string) {
	for _, action := range slices.Sorted(maps.Keys(most)) {
		if n := max(most[action].Sliding, most[action].Calendar); t.Limit > 0 && n > t.Limit {
			wrong = append(wrong, fmt.Sprintf("%d calls of %s came in one second, over the limit of %d", n, action, t.Limit))
		}
	}
	return wrong
}

// tooFast are the vendor's codes for a call too many in a second.
var tooFast = []string{"RequestLimitExceeded", "RequestLimitExceeded.UinLimitExceeded", "RequestLimitExceeded.IPLimitExceeded"}
