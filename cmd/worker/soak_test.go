package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/dlq"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/internal/natstest"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

var soak = flag.Duration("soak", 0, "how long TestSoak goes on; 0 is not at all")

const (
	soakEvents = 60 // a second
	soakQuota  = 30 // calls a second and action: half as much again as comes in
	soakBad    = 200
)

// TestSoak is the whole path for as long as is asked: 60 events a second, a vendor that
// fails in every way it knows, a worker that is killed, a server that is killed or asked
// to go, letters that are replayed in vain and then discarded. One worker lives through it all: what it
// holds must not grow. Then every law must hold. Play it with make soak.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes half an hour: make soak")
	}
	s := newSoak(t)
	steady := natstest.FreeAddrs(t, 1)[0]
	s.start("WORKER_HTTP_ADDR=" + steady)
	restless := s.start()
	published := make(chan struct{})
	go func() { defer close(published); s.feed() }()

	var samples []holdings
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for n := 1; time.Since(s.began) < *soak; n++ {
		<-tick.C
		s.misbehave()
		switch {
		case n%30 == 0: // every five minutes
			s.renew()
		case n%30 == 15:
			start(t, s.settings(), "worker", "dlq", "replay", "--all", "--yes", "--force", "--why=soak", "--stop-at=1")
		case n%30 == 25: // as much to do in the last five minutes as in the first
			start(t, s.settings(), "worker", "dlq", "discard", "--all", "--yes", "--why=soak")
		case n%6 == 3: // every minute
			restless.kill()
			restless = s.start()
		}
		samples = append(samples, s.sample(steady, n))
	}
	s.sim.ClearFaults()
	<-published
	t.Logf("%d events accepted", s.accepted.Load())
	s.drained()
	s.flat(samples)
	s.laws()
}

// soaking is a site for a long time.
type soaking struct {
	*site

	began    time.Time
	server   *process
	dir      string
	addr     string
	accepted atomic.Int64
	chance   *rand.Rand
}

func newSoak(t *testing.T) *soaking {
	t.Helper()
	s := &soaking{dir: t.TempDir(), addr: natstest.FreeAddrs(t, 1)[0], chance: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))}
	s.server = start(t, nil, "natsd", s.dir, s.addr)
	s.server.says("natsd listens")
	s.site = newSite(t, "nats://"+s.addr, 10*time.Second, nil)
	s.began = time.Now()
	return s
}

func (s *soaking) start(settings ...string) *process {
	return s.launch(append(settings, "WORKER_RATE="+strconv.Itoa(soakQuota), "WORKER_POISON_AFTER=1000",
		"WORKER_MAX_ATTEMPTS=1000", "WORKER_BACKOFF_MAX=20s", "WORKER_BREAKER_COOLDOWN=2s", "WORKER_LOG_LEVEL=error", "ESS_TIMEOUT=5s")...)
}

// feed publishes at the rate, each event until it is accepted. One in soakBad names
// somebody the vendor does not know, and becomes a letter.
func (s *soaking) feed() {
	tick := time.NewTicker(time.Second / soakEvents)
	defer tick.Stop()
	for n := 0; time.Since(s.began) < *soak; n++ {
		<-tick.C
		_, msg, err := s.compose(n)
		if n%soakBad == 0 {
			msg, err = s.unknown(n)
		}
		for err == nil {
			if _, err = s.js.PublishMsg(s.t.Context(), msg); err == nil {
				break
			}
			if s.t.Context().Err() != nil {
				return
			}
			err = nil // the server is away: the same again, with the same message id
			<-tick.C
		}
		if err != nil {
			s.t.Error(err)
			return
		}
		s.accepted.Add(1)
	}
}

// unknown is an event that the vendor refuses for good.
func (s *soaking) unknown(n int) (*nats.Msg, error) {
	header, body, err := event.Write(event.New("employee.onboarded", source, fmt.Sprintf("e%d", n), fmt.Appendf(nil, `{"userId":"yDNOBODY%024d","openId":"n%d"}`, n, n)))
	if err != nil {
		return nil, err
	}
	header.Set(nats.MsgIdHdr, fmt.Sprintf("%s|e%d", source, n))
	return &nats.Msg{Subject: s.topo.EventSubject("employee.onboarded"), Header: header, Data: body}, nil
}

// misbehave has the vendor fail in another way for the next ten seconds.
func (s *soaking) misbehave() {
	s.sim.ClearFaults()
	s.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: time.Duration(5+s.chance.IntN(100)) * time.Millisecond})
	faults := []esssim.Fault{
		{},
		{}, // a good vendor, now and then
		{Kind: esssim.Status, Status: 502, Ratio: 0.3},
		{Kind: esssim.ResetAfter, Ratio: 0.2},
		{Kind: esssim.ResetBefore, Ratio: 0.5},
		{Kind: esssim.HangAfter, Delay: 7 * time.Second, Ratio: 0.05},
		{Kind: esssim.SlowBody, Delay: 3 * time.Second, Ratio: 0.2},
		{Kind: esssim.Throttle, Ratio: 0.2},
		{Kind: esssim.Truncated, Ratio: 0.2},
		{Kind: esssim.Gzip, Ratio: 0.3},
		{Kind: esssim.Code, Code: "InternalError", Message: "not now"},
		{Kind: esssim.NotJSON, Ratio: 0.3},
	}
	if f := faults[s.chance.IntN(len(faults))]; f.Kind != "" {
		s.sim.Inject(f)
	}
}

// renew ends the server, by force or not, and starts it again on what is on the disk.
func (s *soaking) renew() {
	s.server.kill()
	s.server = start(s.t, nil, "natsd", s.dir, s.addr)
}

// holdings are what one worker holds at one moment.
type holdings struct{ goroutines, memory, files float64 }

// sample asks a worker's metrics; once a minute it is told.
func (s *soaking) sample(addr string, n int) (m holdings) {
	s.t.Helper()
	figures, err := scrape("http://" + addr + "/metrics")
	if err != nil {
		s.t.Fatalf("the worker that lives through it all does not answer: %v", err)
	}
	m = holdings{figures["go_goroutines"], figures["process_resident_memory_bytes"], figures["process_open_fds"]}
	if n%6 == 0 {
		s.t.Logf("%5.0f s: %d accepted, %.0f goroutines, %.1f MB, %.0f files", time.Since(s.began).Seconds(), s.accepted.Load(), m.goroutines, m.memory/1e6, m.files)
	}
	return m
}

func scrape(url string) (map[string]float64, error) {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(url) //nolint:noctx // it has a timeout
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	figures := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 1<<20))
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			if figures[name], err = strconv.ParseFloat(value, 64); err != nil {
				return nil, err
			}
		}
	}
	return figures, lines.Err()
}

// drained waits until no event is left, for as long as something is settled.
func (s *soaking) drained() {
	s.t.Helper()
	for left, since := uint64(1<<62), time.Now(); ; <-time.After(time.Second) {
		switch now := s.state(s.topo.EventsStream()).Msgs; {
		case now == 0:
			return
		case now < left:
			left, since = now, time.Now()
		case time.Since(since) > patience:
			s.t.Fatalf("%d events have been left for %v:\n%s", now, patience, s.left())
		}
	}
}

// left says what is known of the events that nobody settles.
func (s *soaking) left() string {
	s.t.Helper()
	var out strings.Builder
	results := s.results()
	name := s.topo.EventsStream()
	for msg, err := range stream.Messages(s.t.Context(), s.js.Conn(), name, ">", 1, s.state(name).LastSeq) {
		if err != nil {
			s.t.Fatal(err)
		}
		id := dlq.Decode(msg.Header.Get("ce-id"))
		fmt.Fprintf(&out, "%s %d: %s of %s, results %q, headers %v\n", msg.Subject, msg.Sequence, id, msg.Time.Format(time.TimeOnly), results[id], msg.Header)
	}
	for _, typ := range handlers.Types() {
		c, err := s.js.Consumer(s.t.Context(), name, topology.Consumer(typ))
		if err != nil {
			s.t.Fatal(err)
		}
		i := c.CachedInfo()
		fmt.Fprintf(&out, "%s: delivered %d, floor %d, %d to acknowledge, %d redelivered, %d pending, %d pulls\n",
			i.Name, i.Delivered.Stream, i.AckFloor.Stream, i.NumAckPending, i.NumRedelivered, i.NumPending, i.NumWaiting)
	}
	return out.String()
}

// flat holds what a worker has to a level: the median of the last third is no more than
// that of the first one, behind two minutes of warming up, and a little.
func (s *soaking) flat(samples []holdings) {
	s.t.Helper()
	samples = samples[min(12, len(samples)/3):]
	third := max(1, len(samples)/3)
	for _, f := range []struct {
		what  string
		of    func(holdings) float64
		least float64 // what is no growth in any case
	}{
		// A goroutine that has had an event waits for the next one: there are as many as
		// events were ever in hand at once, and WORKER_CONCURRENCY a lane at most.
		{"goroutines", func(m holdings) float64 { return m.goroutines }, 3 * 32},
		{"bytes of memory", func(m holdings) float64 { return m.memory }, 4e6},
		{"open files", func(m holdings) float64 { return m.files }, 5},
	} {
		first, last := median(samples[:third], f.of), median(samples[len(samples)-third:], f.of)
		s.t.Logf("%s: %.0f at first, %.0f in the end", f.what, first, last)
		if last > max(1.1*first, first+f.least) {
			s.t.Errorf("%s have grown from %.0f to %.0f", f.what, first, last)
		}
	}
}

func median(samples []holdings, of func(holdings) float64) float64 {
	var values []float64
	for _, m := range samples {
		values = append(values, of(m))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// laws holds each event to one success, or to one failure and one letter; and the calls
// to the quota.
func (s *soaking) laws() {
	s.t.Helper()
	results, bad := s.results(), 0
	for n := range int(s.accepted.Load()) {
		id, want := fmt.Sprintf("e%d", n), isSuccess
		if n%soakBad == 0 {
			bad++
			want = func(typ string) bool { return typ == "employee.bind.failed" }
		}
		if got := results[id]; len(got) != 1 || !want(got[0]) {
			s.t.Errorf("results of event %s = %q, want one", id, got)
		}
	}
	until(s.t, fmt.Sprintf("%d letters, here or discarded", bad), func() bool {
		return s.state(s.topo.LettersStream()).Msgs+s.state(s.topo.DiscardedStream()).Msgs == uint64(bad)
	})
	if len(results) != int(s.accepted.Load()) {
		s.t.Errorf("%d events have results, %d were accepted", len(results), s.accepted.Load())
	}
	s.carriedOutOnce()
	s.within(soakQuota)
}
