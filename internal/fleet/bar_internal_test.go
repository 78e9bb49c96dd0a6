package fleet

import (
	"testing"
	"time"

	"essworker/internal/fault"
)

// TestBar_witness is the rule by which a sick vendor is told from a worker with a bad
// network.
func TestBar_witness(t *testing.T) {
	type saw struct {
		worker string
		times  int
		alone  bool
		after  time.Duration // since the one before
	}
	const enough, memory = 5, time.Minute
	for _, tt := range []struct {
		name  string
		saw   []saw
		opens int // with which of them, counted from 1; 0 is never
	}{
		{"five workers once", []saw{{worker: "a", times: 1}, {worker: "b", times: 1}, {worker: "c", times: 1}, {worker: "d", times: 1}, {worker: "e", times: 1}}, 5},
		{"two in turn", []saw{{worker: "a", times: 1}, {worker: "b", times: 1}, {worker: "a", times: 1}, {worker: "b", times: 1}, {worker: "a", times: 1}}, 5},
		{"one of many", []saw{{worker: "a", times: 5}, {worker: "a", times: 100}}, 0},
		{"one that is alone", []saw{{worker: "a", times: 4, alone: true}, {worker: "a", times: 1, alone: true}}, 2},
		{"all at once, alone", []saw{{worker: "a", times: 32, alone: true}}, 1},
		{"one of many, and one call of another", []saw{{worker: "a", times: 100}, {worker: "b", times: 1}}, 0},
		{"one of many, and two of another", []saw{{worker: "a", times: 100}, {worker: "b", times: 1}, {worker: "b", times: 1}}, 3},
		{"one of many, and one of each of two others", []saw{{worker: "a", times: 100}, {worker: "b", times: 1}, {worker: "c", times: 1}}, 3},
		{"two of many", []saw{{worker: "a", times: 100}, {worker: "b", times: 100}}, 2},
		{"three and two", []saw{{worker: "a", times: 3}, {worker: "b", times: 2}}, 2},
		{"two and three", []saw{{worker: "a", times: 2}, {worker: "b", times: 3}}, 2},
		{"one that was alone with one that died", []saw{{worker: "a", times: 2}, {worker: "b", times: 3, alone: true}}, 2},
		{"what is long ago is forgotten", []saw{{worker: "a", times: 3}, {worker: "b", times: 2, after: memory + 1}}, 0},
		{"what is not", []saw{{worker: "a", times: 3}, {worker: "b", times: 2, after: memory}}, 2},
		{"each by its last failure", []saw{{worker: "a", times: 2}, {worker: "a", times: 1, after: memory}, {worker: "b", times: 2, after: memory}}, 3},
	} {
		var b Bar
		now, opened := time.Now(), 0
		for i, s := range tt.saw {
			now = now.Add(s.after)
			if b.witness(s.worker, s.times, now, enough, memory, s.alone) && opened == 0 {
				opened = i + 1
			}
		}
		if opened != tt.opens {
			t.Errorf("%s: opens with number %d, want %d", tt.name, opened, tt.opens)
		}
	}

	for _, enough := range []int{1, 2, 3, 10} {
		var b Bar
		if b.witness("a", 1000, time.Now(), enough, memory, false) {
			t.Errorf("a thousand failures of one worker open a breaker that takes %d", enough)
		}
		if !b.witness("b", 1000, time.Now(), enough, memory, false) {
			t.Errorf("a thousand failures each of two workers do not open a breaker that takes %d", enough)
		}
	}
	shut := Bar{Since: time.Now()}
	if shut.witness("a", 100, time.Now(), enough, memory, true) || len(shut.Failed) > 0 {
		t.Errorf("an open breaker takes in failures: %+v", shut)
	}
}

// TestBar_event: how many different events of a tenant must fail, and how many are
// remembered at most.
func TestBar_event(t *testing.T) {
	var b Bar
	for i, want := range []bool{false, false, false, true, true, true} {
		key := []string{"1", "1", "2", "3", "4", "1"}[i]
		if got := b.event(key); got != want {
			t.Errorf("event %d (%s): enough = %t, want %t", i, key, got, want)
		}
	}
	if len(b.Events) != tenantPatience {
		t.Errorf("%d events are remembered, want no more than %d", len(b.Events), tenantPatience)
	}
}

// TestBar_claim: there is one probe at a time, a claim runs out, and what a server's
// clock that was put back since has set counts for nothing.
func TestBar_claim(t *testing.T) {
	const lease = 40 * time.Second
	now := time.Now()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	b := Bar{Kind: Breaker}
	if b.claim("a", now, lease) {
		t.Error("a bar that is not shut can be probed")
	}
	b.shut(&fault.Error{Code: "Bad", Message: "no", RequestID: "r"}, "a", now, 30*time.Second)
	if b.claim("a", at(30*time.Second-1), lease) || !b.claim("a", at(30*time.Second), lease) {
		t.Error("a probe is possible before its time, or not when it has come")
	}
	for _, who := range []string{"a", "b"} {
		if b.claim(who, at(70*time.Second-1), lease) {
			t.Errorf("%s claims a probe that a makes", who)
		}
	}
	if b.drop("b") || !b.drop("a") || !b.claim("b", at(31*time.Second), lease) {
		t.Error("a claim is given back by somebody else, or not by its owner, or cannot be had then")
	}
	if !b.claim("a", at(71*time.Second), lease) {
		t.Error("a claim does not run out")
	}
	b.again(&fault.Error{Code: "Worse"}, at(80*time.Second), 30*time.Second)
	if got := b.due(at(81 * time.Second)); got != 29*time.Second || b.Code != "Worse" || b.Probe != nil {
		t.Errorf("after a probe that failed %+v is due in %v, want 29s", b, got)
	}
	for name, far := range map[string]Bar{
		"a probe's time": {Since: now, ProbeAt: at(time.Hour)},
		"a claim":        {Since: now, Probe: &Claim{By: "x", Until: at(time.Hour)}},
	} {
		if got := far.due(now); got != 0 {
			t.Errorf("%s set by a clock an hour ahead keeps probes away for %v, want it to count for nothing", name, got)
		}
	}
}
