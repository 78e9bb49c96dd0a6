package main

import (
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"essworker/internal/natsd"
)

// TestMain puts this test binary on PATH under the names of the programs that the
// tests start as processes of their own: real ones, with their own signals and
// sockets, compiled once and, under -race, watched too.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"worker": main, "natsd": natsdMain})
}

// natsdMain is a NATS server as its own process, to be killed. It takes a store
// directory and an address, and lives as long as its standard input.
func natsdMain() {
	server, err := natsd.Start(natsd.Config{Dir: os.Args[1], Addr: os.Args[2]})
	if err != nil {
		fmt.Fprintln(os.Stderr, "natsd:", err)
		return
	}
	fmt.Fprintln(os.Stdout, "natsd listens at", server.URL())
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that counts
	if err := server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "natsd:", err)
	}
}
