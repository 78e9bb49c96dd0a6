package esssim

import (
	"maps"
	"slices"
	"time"
)

// Call is one request to the vendor, as kept for assertions. It holds no
// person's data: a link's Entity is a hash.
type Call struct {
	Seq        int       `json:"seq"` // from 1, in order of arrival
	At         time.Time `json:"at"`  // arrival: the moment the gateway counts
	Action     string    `json:"action"`
	Product    string    `json:"product"` // the service it was signed for
	SecretID   string    `json:"secretId"`
	Tenant     string    `json:"tenant,omitempty"` // ess: the subsidiary, else the operator; essbasic: the organisation
	Entity     string    `json:"entity,omitempty"` // BindEntity, GrantEntity or LinkEntity
	Outcome    string    `json:"outcome"`          // "ok", the code answered or lost on the way, or empty if nothing was decided
	HTTPStatus int       `json:"httpStatus"`       // 0 if no answer went out
	Counted    bool      `json:"counted"`          // it reached the rate counter
	Committed  bool      `json:"committed"`        // state changed, or a link was minted
	Fault      Kind      `json:"fault,omitempty"`  // the one it met, the later of two
	RequestID  string    `json:"requestId"`
}

// Counters sum up the calls of one action since the start.
type Counters struct {
	Arrived    int `json:"arrived"`    // all that came
	Counted    int `json:"counted"`    // those that reached the rate counter
	OK         int `json:"ok"`         // successes, answered or lost on the way
	Refused    int `json:"refused"`    // everything with a code, throttled included
	Throttled  int `json:"throttled"`  // refused by a rate limit
	Committed  int `json:"committed"`  // state changed, or a link was minted
	Unanswered int `json:"unanswered"` // reset, or the caller left
}

// record is what a Sim remembers of its calls. The lock of its Sim guards it.
type record struct {
	off      bool
	maximum  int
	seq      int
	calls    []*Call
	commits  map[string]int
	counters map[string]*Counters
}

func newRecord(cfg Config) record {
	return record{off: cfg.NoRecord, maximum: cfg.MaxCalls, commits: map[string]int{}, counters: map[string]*Counters{}}
}

// begin puts a call on record, with its time of arrival.
func (r *record) begin(c *call, at time.Time) {
	r.seq++
	c.rec = &Call{Seq: r.seq, At: at, Action: c.action, Product: c.auth.service, SecretID: c.auth.secretID, RequestID: c.requestID}
	r.counter(c.action).Arrived++
	if r.off {
		return
	}
	if act, ok := actions[c.action]; ok && c.data != nil {
		c.rec.Tenant = c.tenant()
		c.rec.Entity = act.entity(c)
	}
	r.calls = append(r.calls, c.rec)
	if len(r.calls) > r.maximum {
		r.calls[0] = nil
		r.calls = r.calls[1:]
	}
}

// counter gives the counters of an action. What is no action counts as one.
func (r *record) counter(action string) *Counters {
	if _, ok := actions[action]; !ok {
		action = "other"
	}
	n := r.counters[action]
	if n == nil {
		n = &Counters{}
		r.counters[action] = n
	}
	return n
}

// done notes a success of the business.
func (r *record) done(c *call, committed bool) {
	c.rec.Outcome = "ok"
	if !committed {
		return
	}
	c.rec.Committed = true
	r.counter(c.action).Committed++
	if !r.off {
		r.commits[c.rec.Entity]++
	}
}

// note puts the fault a call meets on record.
func (c *call) note(f Fault) { c.rec.Fault = f.Kind }

// tenant is the one the call is for.
func (c *call) tenant() string {
	for _, path := range [][]string{{"Agent", "ProxyOrganizationOpenId"}, {"Agent", "ProxyOrganizationId"}, {"Operator", "UserId"}} {
		if id := c.text(path...); id != "" {
			return id
		}
	}
	return ""
}

// settle notes how a call was answered, just before it is.
func (s *Sim) settle(c *call, rep reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.rec.HTTPStatus = rep.status
	c.rec.Outcome = rep.outcome
	n := s.record.counter(c.action)
	if c.rec.Counted {
		n.Counted++
	}
	switch {
	case rep.outcome == "ok":
		n.OK++
	case rep.outcome != "":
		n.Refused++
	}
	if slices.Contains(throttled, rep.outcome) {
		n.Throttled++
	}
	if rep.status == 0 {
		n.Unanswered++
	}
}

// throttled are the codes of refusals for speed.
var throttled = slices.Collect(maps.Values(throttleCodes))

// Calls gives the record, oldest first. Calls still under way are in it, without
// their HTTPStatus.
func (s *Sim) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Call, 0, len(s.record.calls))
	for _, c := range s.record.calls {
		list = append(list, *c)
	}
	return list
}

// ClearCalls empties the record. Counters, commits and state stay.
func (s *Sim) ClearCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.calls = nil
}

// Commits says how often each Entity was committed: an employee bound, a seal
// newly granted to at least one, a link minted.
func (s *Sim) Commits() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.record.commits)
}

// MaxPerSecond gives the most calls of an action that reached the rate counter
// in any one second: sliding, from t up to but not including t+1s, and by the
// calendar, as the vendor counts. An empty action counts all.
func MaxPerSecond(calls []Call, action string) (sliding, calendar int) {
	var at []time.Time
	for _, c := range calls {
		if c.Counted && (action == "" || c.Action == action) {
			at = append(at, c.At)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	bySecond := map[int64]int{}
	oldest := 0
	for i, t := range at {
		for t.Sub(at[oldest]) >= time.Second {
			oldest++
		}
		sliding = max(sliding, i-oldest+1)
		bySecond[t.Unix()]++
		calendar = max(calendar, bySecond[t.Unix()])
	}
	return sliding, calendar
}
