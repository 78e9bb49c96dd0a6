package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"essworker/internal/natsd"
)

var update = flag.Bool("update", false, "write what scripts compare into the scripts")

// TestScripts runs testdata/script: what a person types, and what comes of it. Beside
// the commands of testscript the scripts have those of scriptCommands.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", Cmds: scriptCommands(), RequireUniqueNames: true, UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, environment(env.WorkDir)...)
			return nil
		},
	})
}

func scriptCommands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"nats":    scriptNATS,
		"stream":  scriptStream,
		"dev":     scriptDev,
		"stop":    scriptStop,
		"exits":   scriptExits,
		"await":   scriptAwait,
		"keys":    scriptKeys,
		"fetch":   scriptFetch,
		"address": scriptAddress,
	}
}

// scriptNATS starts a server with nothing on it: `nats`. NATS_URL names it.
func scriptNATS(ts *testscript.TestScript, _ bool, _ []string) {
	server, err := natsd.Start(natsd.Config{Dir: ts.MkAbs("nats"), Addr: "127.0.0.1:0", NoSync: true})
	ts.Check(err)
	ts.Defer(func() { ts.Check(server.Close()) })
	ts.Setenv("NATS_URL", server.URL())
}

// scriptStream makes a stream by its configuration in JSON: `stream FILE`.
func scriptStream(ts *testscript.TestScript, _ bool, args []string) {
	var cfg jetstream.StreamConfig
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &cfg))
	nc, js, err := dial(context.Background(), natsConfig(ts.Getenv("NATS_URL")), "_INBOX_test")
	ts.Check(err)
	defer nc.Close()
	_, err = js.CreateStream(context.Background(), cfg)
	ts.Check(err)
}

// scriptDev starts worker dev on free ports and returns when it takes events:
// `dev [FLAGS]`. NATS_URL, SIM and HTTP are its addresses, dev.out is what it said.
func scriptDev(ts *testscript.TestScript, _ bool, args []string) {
	ports := []string{"dev", "--nats-port=0", "--sim-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--log-level=warn"}
	cmd := exec.CommandContext(context.Background(), "worker", append(ports, args...)...)
	cmd.Env, cmd.Dir = environment(ts.MkAbs(".")), ts.MkAbs(".")
	said := &transcript{}
	cmd.Stdout, cmd.Stderr = said, said
	ts.Check(cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	ts.Defer(func() { _ = cmd.Process.Kill(); <-ended })
	up := regexp.MustCompile(`(?s)NATS server +(\S+).*?simulator +(\S+).*?worker +(\S+).*Ctrl-C ends it`)
	for limit := time.After(patience); ; {
		text, more := said.read()
		if found := up.FindStringSubmatch(text); found != nil {
			for i, name := range []string{"NATS_URL", "SIM", "HTTP"} {
				ts.Setenv(name, found[i+1])
			}
			ts.Check(os.WriteFile(ts.MkAbs("dev.out"), []byte(text), 0o600))
			fmt.Fprint(ts.Stdout(), text)
			break
		}
		select {
		case <-more:
		case <-ended:
			ts.Fatalf("worker dev ended: %s", said.end())
		case <-limit:
			ts.Fatalf("worker dev does not come up: %s", said.end())
		}
	}
	ts.SetCmd("stop", func(ts *testscript.TestScript, _ bool, _ []string) {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
		select {
		case <-ended:
		case <-time.After(patience):
			ts.Fatalf("worker dev does not end: %s", said.end())
		}
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			ts.Fatalf("worker dev: %v: %s", cmd.ProcessState, said.end())
		}
	})
}

// scriptStop ends what dev has started, which must end well: `stop`.
func scriptStop(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("stop: there was no dev") }

// scriptExits runs a command that must end with an exit code: `exits CODE COMMAND...`.
func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// scriptAwait runs a command again and again until what it prints matches:
// `await PATTERN COMMAND...`.
func scriptAwait(ts *testscript.TestScript, _ bool, args []string) {
	re := regexp.MustCompile("(?m)" + args[0])
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); ; {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); err == nil && re.MatchString(out) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			ts.Fatalf("%q never prints what matches %q", args[1:], args[0])
		}
	}
}

// scriptAddress takes a variable's value from a file: `address NAME PATTERN FILE`. The
// pattern's group is the value.
func scriptAddress(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile(args[2]))
	if found == nil {
		ts.Fatalf("nothing in %s matches %q", args[2], args[1])
	}
	ts.Setenv(args[0], found[1])
}

// scriptKeys wants each line of standard output, and one at least, to be a JSON object
// with these fields in this order: `keys FIELD...`.
func scriptKeys(ts *testscript.TestScript, _ bool, want []string) {
	out := strings.TrimSpace(ts.ReadFile("stdout"))
	for line := range strings.SplitSeq(out, "\n") {
		got, err := fields(line)
		if err != nil || !slices.Equal(got, want) {
			ts.Fatalf("fields %q (%v), want %q, of the line\n%s", got, err, want, line)
		}
	}
}

// fields lists the names in a JSON object, in the order in which they stand there.
func fields(object string) (names []string, err error) {
	dec := json.NewDecoder(strings.NewReader(object))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return nil, fmt.Errorf("not an object: %w", err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		names = append(names, fmt.Sprint(name))
		if err := dec.Decode(new(json.RawMessage)); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind it")
	}
	return names, nil
}

// scriptFetch asks a web server and prints its answer: `fetch URL [BODY]`. An answer
// other than 2xx fails, unless with `! fetch`.
func scriptFetch(ts *testscript.TestScript, neg bool, args []string) {
	method, body := http.MethodGet, ""
	if len(args) > 1 {
		method, body = http.MethodPost, args[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, args[0], strings.NewReader(body))
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	var answer bytes.Buffer
	_, err = answer.ReadFrom(resp.Body)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), answer.String())
	if good := resp.StatusCode/100 == 2; good == neg {
		ts.Fatalf("%s: %s: %s", args[0], resp.Status, answer.String())
	}
}
