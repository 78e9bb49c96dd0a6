package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/topology"
)

// The promises that only processes can break: these tests run the real binary, kill
// it and the server with SIGKILL, and count what is left.

// field is a server and a vendor for processes of the real binary.
type field struct {
	t      *testing.T
	topo   topology.Config
	url    string
	dir    string
	worker string // the binaries
	natsd  string
	server *exec.Cmd
	vendor *httptest.Server
	sim    *esssim.Sim
	nc     *nats.Conn
	js     jetstream.JetStream
}

// binaries are built once for all tests of this file.
var binaries = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "essworker-kill-"); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", ".", "./testdata/natsd").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func newField(t *testing.T) *field {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	addr := port.Addr().String()
	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	f := &field{
		t: t, url: "nats://" + addr, dir: t.TempDir(), sim: esssim.New(esssim.Config{}),
		worker: filepath.Join(dir, "worker"), natsd: filepath.Join(dir, "natsd"),
		topo: topology.Config{Names: topology.Names{Prefix: "ess"}, Replicas: 1, ResultsMaxAge: 168 * time.Hour, AckWait: 2 * time.Second},
	}
	f.vendor = httptest.NewServer(f.sim)
	t.Cleanup(f.vendor.Close)
	f.startServer()
	f.nc, err = natsconn.Connect(t.Context(), natsconn.Config{URL: natsconn.URLs(f.url)}, natsconn.Options{Name: t.Name(), InboxPrefix: "_INBOX_test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.nc.Close)
	if f.js, err = jetstream.New(f.nc); err != nil {
		t.Fatal(err)
	}
	if _, err := topology.Apply(t.Context(), f.js, f.topo, handlers.Types()); err != nil {
		t.Fatal(err)
	}
	return f
}

// startServer starts the NATS server as a process, on the same directory and port each time.
func (f *field) startServer() {
	f.t.Helper()
	cmd := exec.Command(f.natsd, f.dir, strings.TrimPrefix(f.url, "nats://")) //nolint:noctx // killed by the test
	stdin, err := cmd.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		f.t.Fatalf("the server did not start: %v", err)
	}
	f.server = cmd
	f.t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // killed or not
	})
}

// start runs a worker process with small waits and a pace that makes the work last.
func (f *field) start(rate int) *exec.Cmd {
	f.t.Helper()
	cmd := exec.Command(f.worker, "run") //nolint:noctx // killed by the test
	cmd.Env = append(os.Environ(),
		"NATS_URL="+f.url, "ESS_ENDPOINT="+f.vendor.URL, "ESSBASIC_ENDPOINT="+f.vendor.URL,
		"TENCENTCLOUD_SECRET_ID="+esssim.SecretID, "TENCENTCLOUD_SECRET_KEY="+esssim.SecretKey,
		"ESS_OPERATOR_USER_ID="+esssim.OperatorUserID, "ESS_APP_ID="+esssim.AppID,
		"WORKER_ACK_WAIT=2s", "WORKER_HTTP_ADDR=", "WORKER_LOG_LEVEL=error", fmt.Sprint("WORKER_RATE=", rate),
		"WORKER_POISON_AFTER=1000", // here it is the test that kills, not the event
	)
	cmd.Stdout, cmd.Stderr = io.Discard, f.t.Output()
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("kill: %v", err)
	}
	_ = cmd.Wait() // it was killed
}

// publish stores one event that succeeds at the vendor, again and again until the
// server has confirmed it, as a good publisher does.
func (f *field) publish(ctx context.Context, n int) error {
	types := handlers.Types()
	typ := types[n%len(types)]
	data := fmt.Sprintf(`{"userId":"yDSIM%027d","openId":"n%d"}`, n, n)
	switch typ {
	case "seal.grant.requested":
		data = fmt.Sprintf(`{"agent":{"proxyOrganizationOpenId":"org_sim1","proxyOperator":{"openId":"sim1"}},"sealId":"yDSEAL%026d","userIds":["sim%d"]}`, n, n)
	case "autosign.link.requested":
		data = fmt.Sprintf(`{"sceneKey":"OTHER","userInfo":{"name":"某人","idCardType":"ID_CARD","idCardNumber":"990000%012d"}}`, n)
	}
	header, body, err := event.Write(event.New(typ, "/field", fmt.Sprint("e", n), []byte(data)))
	if err != nil {
		return err
	}
	header.Set(jetstream.MsgIDHeader, fmt.Sprint("/field|e", n))
	for {
		_, err := f.js.PublishMsg(ctx, &nats.Msg{Subject: f.topo.EventSubject(typ), Header: header, Data: body})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("publish event %d: %w", n, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// waiting is how many events are not settled; -1 while the server is away.
func (f *field) waiting(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := f.js.Stream(ctx, f.topo.EventsStream())
	if err != nil {
		return -1
	}
	return int(s.CachedInfo().State.Msgs)
}

func (f *field) settle(limit time.Duration) {
	f.t.Helper()
	for start := time.Now(); f.waiting(f.t.Context()) != 0; {
		if time.Since(start) > limit {
			f.t.Fatalf("%d events are not settled after %v", f.waiting(f.t.Context()), limit)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// count holds promises 1 and 2 for events 0 to n-1: one success each, no letter, and
// nothing done twice that the vendor can tell.
func (f *field) count(n int) {
	f.t.Helper()
	successes := map[string]int{}
	s, err := f.js.Stream(f.t.Context(), f.topo.ResultsStream())
	if err != nil {
		f.t.Fatal(err)
	}
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(f.t.Context(), seq)
		if err != nil {
			f.t.Fatalf("result %d: %v", seq, err)
		}
		if typ := msg.Header.Get("ce-type"); strings.HasSuffix(typ, ".failed") {
			f.t.Errorf("event %s failed: %s", msg.Header.Get("ce-causationid"), msg.Data)
		}
		successes[dlq.Decode(msg.Header.Get("ce-causationid"))]++
	}
	for i := range n {
		if got := successes[fmt.Sprint("e", i)]; got != 1 {
			f.t.Errorf("event e%d has %d results, want 1", i, got)
		}
	}
	for entity, times := range f.sim.Commits() {
		if times > 1 && !strings.HasPrefix(entity, "link:") { // a link whose answer was lost is made again
			f.t.Errorf("%s was carried out %d times", entity, times)
		}
	}
}

func TestKill_workers(t *testing.T) {
	t.Parallel()
	f := newField(t)
	f.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 30 * time.Millisecond})
	const events = 400
	workers := []*exec.Cmd{f.start(20), f.start(20), f.start(20)}
	published := make(chan error, 1)
	go func() {
		for i := range events {
			if err := f.publish(t.Context(), i); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	killed := 0
	for deadline := time.Now().Add(30 * time.Second); killed < 12 && time.Now().Before(deadline); killed++ {
		<-time.After(300 * time.Millisecond)
		i := rand.IntN(len(workers))
		kill(t, workers[i])
		workers[i] = f.start(20)
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	f.settle(time.Minute)
	f.count(events)
	t.Logf("%d workers killed", killed)
}

func TestKill_server(t *testing.T) {
	t.Parallel()
	f := newField(t)
	f.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 20 * time.Millisecond})
	const events = 300
	f.start(30)
	f.start(30)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	published := make(chan error, 1)
	go func() {
		for i := range events {
			if err := f.publish(ctx, i); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	for range 4 {
		<-time.After(time.Duration(300+rand.IntN(400)) * time.Millisecond)
		kill(t, f.server)
		f.startServer()
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	f.settle(90 * time.Second)
	f.count(events)
}

// TestTerm: a worker that is told to stop ends well, sees its calls through, and the
// rest is at once another's.
func TestTerm(t *testing.T) {
	t.Parallel()
	f := newField(t)
	f.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 500 * time.Millisecond})
	const events = 60
	for i := range events {
		if err := f.publish(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	first := f.start(20)
	for f.sim.Commits()["bind:yDSIM"+strings.Repeat("0", 27)+":n0"] == 0 { // until it works
		<-time.After(10 * time.Millisecond)
	}
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("after SIGTERM the worker ended with %v, want exit code 0", err)
	}
	f.start(0)
	f.settle(30 * time.Second)
	f.count(events)
	if got := len(f.sim.Calls()); got != events {
		t.Errorf("%d calls for %d events: calls in flight were not seen through", got, events)
	}
}

func TestTerm_secondSignalEndsItNow(t *testing.T) {
	t.Parallel()
	f := newField(t)
	f.sim.Inject(esssim.Fault{Kind: esssim.HangBefore, Delay: time.Minute})
	if err := f.publish(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w := f.start(20)
	for len(f.sim.Calls()) == 0 {
		<-time.After(10 * time.Millisecond)
	}
	start := time.Now()
	ended := make(chan struct{})
	go func() {
		_ = w.Wait() // it does not end well, and need not
		close(ended)
	}()
	for {
		_ = w.Process.Signal(syscall.SIGTERM) // the second one counts once the first is handled
		select {
		case <-ended:
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("ended %v after the first signal, want at once after the second", took)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}
