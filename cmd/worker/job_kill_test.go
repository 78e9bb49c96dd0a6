package main

import (
	"testing"
	"time"

	"essworker/internal/esssim"
	"essworker/internal/handlers"
	"essworker/internal/replay"
)

// TestKillReplay kills with -9, one after the other, the terminal that began a replay,
// the worker that runs it, and the server. The replay goes on and ends, each letter
// replayed once.
func TestKillReplay(t *testing.T) {
	t.Parallel()
	const events = 60
	dir := t.TempDir()
	server := start(t, nil, "natsd", dir, "127.0.0.1:0")
	addr := server.says(`natsd listens at nats://(\S+)\n`)[1]
	s := newSite(t, "nats://"+addr, 2*time.Second, nil)
	s.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "not today [sim]", Count: events})
	settings := []string{"WORKER_RATE=0", "WORKER_POISON_AFTER=1000"}
	worker := s.worker(settings...)
	ids := s.publish(events)
	s.settled()
	terminal := start(t, s.settings(), "worker", "dlq", "replay", "--all", "--yes", "--rate=40", "--wait")
	office, err := replay.Open(t.Context(), s.js.Conn(), s.js, s.topo.Names, handlers.Routes(nil, handlers.Defaults{}))
	if err != nil {
		t.Fatal(err)
	}
	var job replay.Job
	reached := func(what string, is func(replay.Job) bool) {
		t.Helper()
		until(t, what, func() bool {
			jobs, err := office.List(t.Context())
			if err != nil || len(jobs) == 0 { // the server is away
				return false
			}
			job = jobs[0]
			return is(job)
		})
	}
	reached("the worker has taken it", func(j replay.Job) bool { return j.Runner != "" && j.Seen.Succeeded > 0 })
	terminal.kill()
	reached("a quarter is done", func(j replay.Job) bool { return j.Seen.Succeeded > events/4 })
	worker.kill()
	s.worker(settings...)
	reached("half is done", func(j replay.Job) bool { return j.Seen.Succeeded > events/2 })
	server.kill()
	start(t, nil, "natsd", dir, addr)
	reached("the replay is over", replay.Job.Over)
	if job.State != replay.Done || job.Seen.Succeeded != events {
		t.Errorf("the job ended as %+v", job)
	}
	results := s.results()
	for _, id := range ids {
		successes := 0
		for _, typ := range results[id] {
			if isSuccess(typ) {
				successes++
			}
		}
		if successes != 1 || len(results[id]) != 2 {
			t.Errorf("results of event %s = %q, want its failure and one success", id, results[id])
		}
	}
	if n := s.state(s.topo.LettersStream()).Msgs; n > 0 {
		t.Errorf("%d letters, want none", n)
	}
	s.carriedOutOnce()
}
