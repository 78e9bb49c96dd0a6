package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"essworker/internal/natsd"
)

// TestMain puts this test binary on PATH under the names of the programs that the
// tests start as processes of their own: real ones, with their own signals and
// sockets, compiled once and, under -race, watched too.
//
// Most of a test's time here is waiting: for an election, an ack wait, a process to
// start. So more of them run side by side than there are processors, unless the command
// line has -parallel.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"worker": main, "natsd": natsdMain})
}

// natsdMain is a NATS server as its own process, to be killed. It takes a store
// directory, an address and, for one of a cluster, a configuration file. SIGTERM
// stops it in order, and it lives no longer than its standard input.
func natsdMain() {
	cfg := natsd.Config{Dir: os.Args[1], Addr: os.Args[2]}
	if len(os.Args) > 3 {
		cfg.File = os.Args[3]
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	server, err := natsd.Start(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "natsd:", err)
		return
	}
	fmt.Fprintln(os.Stdout, "natsd listens at", server.URL())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that counts
		cancel()
	}()
	<-ctx.Done()
	if err := server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "natsd:", err)
	}
}
