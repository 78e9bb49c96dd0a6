package consumer_test

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/event"
	"essworker/internal/stream"
)

// standing is how things stand at one moment.
type standing struct {
	events   map[string]string // what is stored of each event, by its name: "event, rejected letter"
	count    map[string]int    // how many there are of each thing
	attempts int               // calls made, as the letters have it
	calls    int               // calls that have arrived at the vendor
}

// look takes it down, from what everybody can see.
func (r *run) look() standing {
	r.t.Helper()
	s := standing{events: map[string]string{}, count: map[string]int{}, calls: len(r.sim.Calls())}
	things := map[string][]string{}
	add := func(key, kind, thing string) {
		s.count[thing]++
		name := r.names[key]
		things[name] = append(things[name], strings.TrimSpace(kind+" "+thing))
	}
	for msg := range r.ours(r.Topology.EventsStream()) {
		add(keyOf(msg, event.KeyOfMessage(msg.Sequence, msg.Time)), "", "event")
	}
	for msg := range r.ours(r.Topology.ResultsStream()) {
		thing := "result"
		if strings.HasSuffix(msg.Header.Get("ce-type"), ".failed") {
			thing = "failure"
		}
		add(lastToken(msg.Subject), "", thing)
	}
	for msg := range r.ours(r.Topology.LettersStream()) {
		add(keyOf(msg, lastToken(msg.Subject)), msg.Header.Get("Dlq-Reason"), "letter")
		made, err := strconv.Atoi(msg.Header.Get("Dlq-Attempts"))
		if err != nil {
			r.t.Errorf("letter %d: %v", msg.Sequence, err)
		}
		s.attempts += made
	}
	for name, list := range things {
		slices.Sort(list)
		s.events[name] = strings.Join(list, ", ")
	}
	for _, times := range r.sim.Commits() {
		s.count["done"] += times
	}
	records, err := stream.Match(r.t.Context(), r.NC, r.Topology.FleetStream(), "$KV."+r.Topology.FleetBucket()+".attempts.>")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, msg := range records {
		if len(msg.Data) > 0 { // not what marks a removal
			s.count["attempts"]++
		}
	}
	return s
}

// keyOf is the key of the event a message holds, if it says so itself.
func keyOf(msg *jetstream.RawStreamMsg, otherwise string) string {
	if id := msg.Header.Get("ce-id"); id != "" {
		return event.Key(msg.Header.Get("ce-source"), id)
	}
	return otherwise
}

func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// since says what there is more and less of than before.
func (s standing) since(before standing) []string {
	var changes []string
	for _, thing := range []string{"event", "attempts", "done", "letter", "failure", "result"} {
		switch n := s.count[thing] - before.count[thing]; {
		case n > 0:
			changes = append(changes, "+"+thing)
		case n < 0:
			changes = append(changes, "-"+thing)
		}
	}
	return changes
}

// checkWhole holds a run without a cut against what its scenario says.
func (r *run) checkWhole() {
	r.t.Helper()
	for name := range maps.Values(r.names) {
		if got := r.end.events[name]; got != r.scenario.want {
			r.t.Errorf("not cut off, event %q comes to %q, want %q", name, got, r.scenario.want)
		}
	}
	if counts := r.end.count["letter"] > 0 && !r.scenario.again; counts && r.end.attempts != r.end.calls {
		r.t.Errorf("not cut off, the letter counts %d calls, want %d", r.end.attempts, r.end.calls)
	}
	if left := r.end.count["attempts"]; left != 0 {
		r.t.Errorf("not cut off, %d records of attempts are left over, want none", left)
	}
}

// check holds a run against the promises, and against the same run without a cut.
func (r *run) check(whole *run) {
	r.t.Helper()
	for _, name := range slices.Sorted(maps.Values(r.names)) {
		if r.cut.events[name] == "" {
			r.t.Errorf("promise 1: event %q is lost: at the cut it is in no stream", name)
		}
		if got, want := r.end.events[name], r.scenario.want; got != want {
			r.t.Errorf("promise %d: event %q comes to %q, want %q", cmp.Or(r.scenario.promise, 2), name, got, want)
		}
	}
	if most := whole.took + r.Topology.AckWait + r.lanes.BackoffMax + r.scenario.late; r.took > most {
		r.t.Errorf("promise 1: everything is settled after %v, want %v at most", r.took, most)
	}
	for entity, times := range r.sim.Commits() {
		most := 1
		if strings.HasPrefix(entity, "link:") {
			most = 2 // the vendor does not know the first again
		}
		if times > most {
			r.t.Errorf("promise 2: %s is done %d times, want %d at most", entity, times, most)
		}
	}
	r.checkQuota() // promise 3
	r.checkCalls(whole)
}

func (r *run) checkCalls(whole *run) {
	r.t.Helper()
	cut, end := r.cut, r.end
	if finished := cut.count["result"] + cut.count["letter"]; finished == len(r.names) && !r.scenario.again && end.calls > cut.calls {
		r.t.Errorf("promise 2: %d calls for what was finished", end.calls-cut.calls)
	}
	underWay := 1 // events that the process may have had in hand
	if r.scenario.many {
		underWay = len(r.names)
	}
	most := whole.end.calls + underWay + r.scenario.probes // what is under way is made again
	if r.at.side == late {
		most++ // an event that is handed back late comes sooner than those want it who have it now
	}
	if end.calls > most {
		r.t.Errorf("promise %d: %d calls, want %d at most", cmp.Or(r.scenario.promise, 4), end.calls, most)
	}
	counted := end.attempts + whole.end.calls - whole.end.attempts
	if end.count["letter"] > 0 && counted != end.calls && counted != end.calls-1 {
		r.t.Errorf("promise 4: the letter counts %d of %d calls, want all or all but the one under way (without a cut: %d of %d)",
			end.attempts, end.calls, whole.end.attempts, whole.end.calls)
	}
	if r.at.step == "hand back" && cut.count["attempts"] == 0 {
		r.t.Error("promise 4: an event is handed back, and there is no record of its attempts")
	}
	if left := end.count["attempts"]; left > underWay {
		r.t.Errorf("promise 4: %d records of attempts are left over, want at most that of the event under way", left)
	}
}
