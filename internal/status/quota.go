package status

import (
	"slices"
	"time"

	"essworker/internal/fleet"
)

// Quota is what an action may do and what it does.
type Quota struct {
	// Limit is the calls per second in force; 0 is no limit. It is an operator's if Set
	// is not nil, else the lowest WORKER_RATE of the workers.
	Limit int
	// Known is false where nobody has set a limit and no worker is there to tell its own.
	Known bool
	Set   *fleet.Limit
	Rates []int   // WORKER_RATE of the workers, each once: more than one is a mistake
	Used  float64 // calls in the last minute, about; not counted without a limit
	Full  bool    // slots are taken ahead of their time just now: it is the quota that limits
	Pace  float64 // calls per second at present; 0 is no limit, or unknown
	// Throttled is when the vendor last slowed the action down; zero once the pace is back.
	Throttled time.Time
}

func quotaOf(action string, v fleet.Overview, now time.Time) Quota {
	var q Quota
	for _, w := range v.Workers {
		q.Rates = append(q.Rates, w.Rate)
	}
	slices.Sort(q.Rates)
	q.Rates = slices.Compact(q.Rates)
	if i := slices.IndexFunc(q.Rates, func(r int) bool { return r > 0 }); i >= 0 {
		q.Limit = q.Rates[i]
	}
	q.Known = len(q.Rates) > 0
	if set, ok := v.Limits[action]; ok {
		q.Set, q.Limit, q.Known = &set, set.Rate, true
	}
	usage := v.Usage[action]
	q.Used, q.Pace, q.Full = usage.LastMinute, float64(q.Limit), usage.Free.Sub(now) > usage.Gap
	if pushed, ok := v.Pushed[action]; ok && q.Limit > 0 {
		if pace := pushed.Now(q.Limit, now); pace < q.Pace {
			q.Pace, q.Throttled = pace, pushed.At
		}
	}
	return q
}
