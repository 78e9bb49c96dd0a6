package replay

import (
	"cmp"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/essapi"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/schemas"
)

// Verdict says whether a letter may be replayed, and if not, why.
type Verdict string

// The verdicts. The last three give way to force: they are about prudence, the others
// about replays that would come to nothing.
const (
	Eligible  Verdict = "eligible"
	NoLane    Verdict = "no lane"         // nobody handles its type any more
	Unfit     Verdict = "unfit"           // it cannot be read, or its data does not fit the schema as it is now
	Expired   Verdict = "expired"         // too late to be of use
	Succeeded Verdict = "succeeded"       // another event of the same source and id has: a replay would cost nothing and do nothing
	Elsewhere Verdict = "in another job"  // which has it under way just now
	Often     Verdict = "too often"       // replayed as many times as a letter may be
	Cooling   Verdict = "cooling"         // its last replay has failed a short while ago
	Unseen    Verdict = "outcome unknown" // nobody has seen the vendor's answer to its last call
)

// Verdicts lists those that keep a letter from being replayed, in the order in which
// they are asked.
func Verdicts() []Verdict {
	return []Verdict{NoLane, Unfit, Expired, Succeeded, Elsewhere, Often, Cooling, Unseen}
}

// Means says a verdict in a few words, for people.
func (v Verdict) Means() string {
	switch v {
	case NoLane:
		return "no lane handles this type"
	case Unfit:
		return "cannot be read, or breaks the schema: edit or discard it"
	case Expired:
		return "too late to be of use: edit or discard it"
	case Succeeded:
		return "its event has succeeded since: discard it"
	case Elsewhere:
		return "another job has it under way"
	case Often:
		return "replayed three times already; --force --why"
	case Cooling:
		return "failed a short while ago; wait, or --force --why"
	case Unseen:
		return "the vendor's last answer was not seen; --force --why"
	case Eligible:
	}
	return "will be replayed"
}

const (
	// mostReplays is how many times a letter may be replayed without force.
	mostReplays = 3
	// coolFirst is how long a letter rests after its first replay has failed; it doubles
	// with each further one.
	coolFirst = time.Minute
)

// ready is when a letter has rested long enough.
func ready(l dlq.Letter) time.Time {
	if l.Replays == 0 {
		return l.FailedAt
	}
	return l.FailedAt.Add(coolFirst << min(l.Replays-1, 10))
}

// rules judges letters.
type rules struct {
	routes map[string]event.Route // by event type
	force  bool
	// planned is when the plan of a job was made: what cooled down then stays out of it,
	// however long the job takes. Zero is now.
	planned time.Time
}

// judge gives the verdict on a letter, read whole. Done says that its event has
// succeeded; now is the server's time.
func (r rules) judge(l dlq.Letter, done bool, now time.Time) Verdict {
	route, ok := r.routes[l.Type]
	if !ok {
		return NoLane
	}
	if v := fits(route, l, now); v != Eligible {
		return v
	}
	switch {
	case done:
		return Succeeded
	case r.force:
		return Eligible
	}
	return Prudent(l, cmp.Or(r.planned, now))
}

// Prudent is what of a verdict is about prudence: whether a letter may go back into its
// stream without force, as it is or edited. It is one of Eligible, Often, Cooling, Unseen.
func Prudent(l dlq.Letter, now time.Time) Verdict {
	switch {
	case l.Replays >= mostReplays:
		return Often
	case now.Before(ready(l)):
		return Cooling
	case l.Reason == fault.Poison, l.Reason == fault.Exhausted && essapi.Unseen(l.Code):
		return Unseen
	}
	return Eligible
}

// unread says that a letter must be read whole before it can be judged. One need not
// whose worker has held the event's data to the same schema, nor what is poison: reading
// it may be what crashes.
func unread(l dlq.Letter) bool {
	return l.Reason != fault.Poison && (l.Schema == "" || l.Schema != schemas.Digest(l.Type))
}

// fits reads an event as its lane will. That a default of ours is missing is no fault
// of the event.
func fits(route event.Route, l dlq.Letter, now time.Time) (v Verdict) {
	switch {
	case !l.Expires.IsZero() && !l.Expires.After(now):
		return Expired
	case !unread(l):
		return Eligible
	}
	defer func() {
		if recover() != nil { // it is the lane's to tell of
			v = Eligible
		}
	}()
	e, err := event.Parse(route.Type, l.Header, l.Data)
	if err == nil {
		_, err = route.Prepare(e.Data())
	}
	switch f := fault.Of(err); {
	case f == nil || f.Kind != fault.Permanent:
		return Eligible
	case f.LetterReason() == fault.Expired:
		return Expired
	}
	return Unfit
}
