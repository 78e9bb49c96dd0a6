// Command natsd is the NATS server of the process tests: one that can be killed. It
// ends when its standard input does, so that it never outlives the test.
package main

import (
	"fmt"
	"io"
	"os"

	"essworker/internal/natsd"
)

func main() {
	srv, err := natsd.Start(natsd.Config{Dir: os.Args[1], Addr: os.Args[2]})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(srv.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = srv.Close()
}
