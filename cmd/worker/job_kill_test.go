package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/handlers"
	"essworker/internal/natstest"
	"essworker/internal/replay"
	"essworker/internal/topology"
	"essworker/schemas"
)

var seeds = flag.Uint64("seeds", 1, "how many random evenings TestKillReplay has")

// TestKillReplay kills with -9, at random moments and in any order, the terminal that has
// begun a replay and watches it, the worker that runs it, and the server, while another
// operator discards some of the letters and edits one. In the end each letter is one of
// replayed, edited, discarded and still a letter.
func TestKillReplay(t *testing.T) {
	t.Parallel()
	for seed := range *seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			e := newEvening(t, rand.New(rand.NewPCG(seed, 1)))
			e.play()
			e.eachOne()
			e.carriedOutOnce()
		})
	}
}

// evening is a replay on a site where much goes wrong.
type evening struct {
	*site

	chance *rand.Rand
	server *process
	dir    string
	addr   string
	office *replay.Office
	box    *dlq.Box
	keys   map[string]string // the events' ids by their keys
}

func newEvening(t *testing.T, chance *rand.Rand) *evening {
	t.Helper()
	e := &evening{chance: chance, dir: t.TempDir(), addr: natstest.FreeAddrs(t, 1)[0], keys: map[string]string{}}
	e.server = start(t, nil, "natsd", e.dir, e.addr)
	e.server.says("natsd listens")
	e.site = newSite(t, "nats://"+e.addr, 2*time.Second, nil)
	e.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: time.Duration(1+chance.IntN(100)) * time.Millisecond})
	var err error
	if e.box, err = dlq.Open(t.Context(), e.js, e.topo.Names, "test"); err != nil {
		t.Fatal(err)
	}
	if e.office, err = replay.Open(t.Context(), e.js.Conn(), e.js, e.topo.Names, handlers.Routes(nil, handlers.Defaults{})); err != nil {
		t.Fatal(err)
	}
	for n := range 20 + chance.IntN(20) {
		e.letter(n)
	}
	return e
}

// letter stores the n-th letter, which has the id n+1: about an event of each type in
// turn that succeeds when it is replayed, but for a few.
func (e *evening) letter(n int) {
	e.t.Helper()
	typ := handlers.Types()[n%len(handlers.Types())]
	data := good(typ, n)
	if typ == "employee.onboarded" && e.chance.IntN(4) == 0 {
		data = fmt.Sprintf(`{"userId":"yDNOBODY%024d","openId":"n%d"}`, n, n)
	}
	ev := event.New(typ, source, fmt.Sprintf("e%d", n), []byte(data))
	header, body, err := event.Write(ev)
	if err != nil {
		e.t.Fatal(err)
	}
	e.keys[event.Key(source, ev.ID())] = ev.ID()
	id, err := e.box.Put(e.t.Context(), dlq.Failed{
		Type: typ, Action: "Any", Consumer: topology.Consumer(typ), Stream: e.topo.EventsStream(), StreamSeq: uint64(1_000_000 + n),
		Stored: time.Now().Add(-time.Minute), Deliveries: 1, Subject: e.topo.EventSubject(typ), Header: header, Data: body, Event: ev,
		Fault: &fault.Error{Kind: fault.Permanent, Code: "InvalidParameter", Message: "not today"}, Reason: fault.Rejected, Attempts: 1,
		FailedAt: time.Now().Add(-time.Minute), Schema: schemas.Digest(typ),
	})
	if err != nil || id != uint64(n+1) {
		e.t.Fatalf("Put = %d, %v; want letter %d", id, err, n+1)
	}
}

// play has everything happen, in any order and at any time, and waits for the end of it.
func (e *evening) play() {
	e.t.Helper()
	begin := func() *process {
		return start(e.t, e.settings(), "worker", "dlq", "replay", "--all", "--yes", "--rate=30", "--stop-at=1", "--wait")
	}
	settings := []string{"WORKER_RATE=0", "WORKER_POISON_AFTER=1000", "WORKER_BACKOFF_MIN=50ms"}
	worker, terminal := e.worker(settings...), begin()
	var others []*process
	beside := func(words ...string) {
		others = append(others, start(e.t, e.settings(), "worker", append([]string{"dlq"}, append(words, "--why=seed", "--yes")...)...))
	}
	patch := filepath.Join(e.t.TempDir(), "patch.json")
	if err := os.WriteFile(patch, []byte(`{"openId":"edited"}`), 0o600); err != nil {
		e.t.Fatal(err)
	}
	some := func(every int) string { return strconv.Itoa(1 + every*e.chance.IntN(len(e.keys)/every)) }
	happens := []func(){
		func() { terminal.kill() },
		func() { worker.kill(); worker = e.launch(settings...) },
		func() { e.server.kill(); e.server = start(e.t, nil, "natsd", e.dir, e.addr) },
		func() { beside("discard", some(1), some(1), some(1)) },
		func() { beside("edit", some(len(handlers.Types())), "--patch="+patch) },
	}
	for _, i := range e.chance.Perm(len(happens)) {
		<-time.After(time.Duration(e.chance.IntN(600)) * time.Millisecond)
		happens[i]()
	}
	for _, p := range others {
		p.ended() // well or not: the server may have been away
	}
	until(e.t, "the replay is over", func() bool {
		jobs, err := e.office.List(e.t.Context())
		if err != nil {
			return false
		}
		if len(jobs) == 0 { // its terminal was killed before it had begun
			terminal = begin()
			<-terminal.done
			return false
		}
		return jobs[0].Over()
	})
	e.settled()
}

// eachOne holds each event to the law: it is one thing in the end.
func (e *evening) eachOne() {
	e.t.Helper()
	fates, count := map[string][]string{}, map[string]int{}
	is := func(id, what string) {
		count[what]++
		if key, edited := dlq.EditOf(id); edited {
			id, what = e.keys[key], what+", edited"
			count["edited"]++
		}
		fates[id] = append(fates[id], what)
	}
	for id, types := range e.results() {
		for _, typ := range types {
			if isSuccess(typ) {
				is(id, "a success")
			}
		}
	}
	discarded, err := dlq.OpenDiscarded(e.t.Context(), e.js, e.topo.Names)
	if err != nil {
		e.t.Fatal(err)
	}
	for l, err := range e.box.Letters(e.t.Context(), dlq.Filter{}) {
		if err != nil {
			e.t.Fatal(err)
		}
		is(l.EventID, "a letter")
	}
	for l, err := range discarded.Letters(e.t.Context(), dlq.Filter{}) {
		if err != nil {
			e.t.Fatal(err)
		}
		is(l.EventID, "discarded")
	}
	e.t.Logf("%d events: %d have succeeded, %d are letters, %d discarded, %d of them edited", len(e.keys),
		count["a success"], count["a letter"], count["discarded"], count["edited"])
	for _, id := range e.keys {
		if len(fates[id]) != 1 {
			e.t.Errorf("event %s is %q, want it to be one thing", id, fates[id])
		}
	}
	if len(fates) != len(e.keys) {
		e.t.Errorf("%d events came out of %d", len(fates), len(e.keys))
	}
}
