package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"

	"essworker/internal/natsd"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"worker": main})
}

// TestScripts plays each file of testdata/script against the real program.
func TestScripts(t *testing.T) {
	t.Parallel()
	dev := &devs{running: map[*testscript.TestScript]*exec.Cmd{}}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("WORKER_LOG_LEVEL", "info")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"address": scriptAddress,
			"await":   scriptAwait,
			"dev":     dev.start,
			"exits":   scriptExits,
			"fetch":   scriptFetch,
			"keys":    scriptKeys,
			"nats":    scriptNATS,
			"stop":    dev.stop,
			"stream":  scriptStream,
		},
	})
}

// patience bounds every wait of a script.
const patience = 30 * time.Second

// scriptExits runs a command and wants this exit code: exits CODE COMMAND...
func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exited, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exited.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d\n%s", got, want, ts.ReadFile("stderr"))
	}
}

// scriptAwait runs a command again and again until its output matches: await REGEXP COMMAND...
func scriptAwait(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	for start := time.Now(); ; <-time.After(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Since(start) > patience {
			ts.Fatalf("no %q within %v, but (%v)\n%s", args[0], patience, err, ts.ReadFile("stdout"))
		}
	}
}

// scriptKeys wants every line of the last output to be an object with these fields, in
// this order, and no others: keys NAME...
func scriptKeys(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	for _, line := range lines {
		dec := json.NewDecoder(strings.NewReader(line))
		if open, err := dec.Token(); err != nil || open != json.Delim('{') {
			ts.Fatalf("not an object: %q", line)
		}
		var got []string
		for dec.More() {
			name, err := dec.Token()
			ts.Check(err)
			var value json.RawMessage
			ts.Check(dec.Decode(&value))
			got = append(got, fmt.Sprint(name))
		}
		if !slices.Equal(got, args) {
			ts.Fatalf("fields %q, want %q", got, args)
		}
	}
}

// scriptFetch gets a page, or posts to it: fetch URL [BODY]
func scriptFetch(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	method, body := http.MethodGet, ""
	if len(args) > 1 {
		method, body = http.MethodPost, args[1]
	}
	req, err := http.NewRequestWithContext(ctx, method, args[0], strings.NewReader(body))
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	if failed := resp.StatusCode >= http.StatusBadRequest; failed != neg {
		ts.Fatalf("%s: %s", args[0], resp.Status)
	}
}

// scriptAddress takes an address out of a file: address VARIABLE REGEXP FILE
func scriptAddress(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile(args[2]))
	if m == nil {
		ts.Fatalf("no %q in %s", args[1], args[2])
	}
	ts.Setenv(args[0], m[1])
}

// scriptNATS starts a server without any streams and points NATS_URL at it.
func scriptNATS(ts *testscript.TestScript, _ bool, _ []string) {
	srv, err := natsd.Start(natsd.Config{Dir: ts.MkAbs("nats"), Addr: "127.0.0.1:0", NoSync: true})
	ts.Check(err)
	ts.Defer(func() { ts.Check(srv.Close()) })
	ts.Setenv("NATS_URL", srv.URL())
}

// scriptStream makes a stream from a file, as somebody else has: stream FILE
func scriptStream(ts *testscript.TestScript, _ bool, args []string) {
	body := ts.ReadFile(args[0])
	var named struct {
		Name string `json:"name"`
	}
	ts.Check(json.Unmarshal([]byte(body), &named))
	nc, err := nats.Connect(ts.Getenv("NATS_URL"))
	ts.Check(err)
	defer nc.Close()
	answer, err := nc.Request("$JS.API.STREAM.CREATE."+named.Name, []byte(body), patience)
	ts.Check(err)
	if bytes.Contains(answer.Data, []byte(`"error"`)) {
		ts.Fatalf("create stream: %s", answer.Data)
	}
}

// devs are the deployments that scripts have running.
type devs struct {
	mu      sync.Mutex
	running map[*testscript.TestScript]*exec.Cmd
}

// start runs worker dev on free ports until it works: dev [FLAG...]
// It sets NATS_URL, HTTP and SIM and keeps the output in dev.out.
func (d *devs) start(ts *testscript.TestScript, _ bool, args []string) {
	args = append([]string{"dev", "--nats-port=0", "--sim-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0"}, args...)
	out, err := os.Create(ts.MkAbs("dev.out"))
	ts.Check(err)
	defer out.Close()
	worker, err := exec.LookPath(filepath.Join(strings.SplitN(ts.Getenv("PATH"), string(os.PathListSeparator), 2)[0], "worker"))
	ts.Check(err)
	cmd := exec.Command(worker, args...) //nolint:noctx // stopped by the script
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), out, io.Discard
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(cmd.Start())
	d.mu.Lock()
	d.running[ts] = cmd
	d.mu.Unlock()
	ts.Defer(func() { d.stop(ts, false, nil) })
	for start := time.Now(); !strings.Contains(ts.ReadFile("dev.out"), "Ctrl-C ends it."); <-time.After(20 * time.Millisecond) {
		if time.Since(start) > patience {
			ts.Fatalf("worker dev did not start: %s", ts.ReadFile("dev.out"))
		}
	}
	text := ts.ReadFile("dev.out")
	_, err = io.WriteString(ts.Stdout(), text)
	ts.Check(err)
	for name, want := range map[string]string{"NATS_URL": `(nats://\S+)`, "SIM": `simulator +(http://\S+)`, "HTTP": `worker +(http://\S+)`} {
		if m := regexp.MustCompile(want).FindStringSubmatch(text); m != nil {
			ts.Setenv(name, m[1])
		}
	}
}

// stop ends worker dev as Ctrl-C does, and wants that to go well.
func (d *devs) stop(ts *testscript.TestScript, _ bool, _ []string) {
	d.mu.Lock()
	cmd := d.running[ts]
	delete(d.running, ts)
	d.mu.Unlock()
	if cmd == nil {
		return
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	ts.Check(cmd.Wait())
}
