package main

import "errors"

// The exit codes of every command.
const (
	exitFailed  = 1 // a setup refused, a publish that stored nothing
	exitUsage   = 2 // wrong usage or settings
	exitPartly  = 3 // done with failures: some of several
	exitNoMatch = 4 // an id or filter named for an action matched nothing
)

// exit is an error that ends the process with a code of its own.
type exit struct {
	code int
	err  error
}

// Error gives the error's own text.
func (e exit) Error() string { return e.err.Error() }

// Unwrap gives the error itself.
func (e exit) Unwrap() error { return e.err }

// exitCode is the code for what a command returned.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[exit](err); ok {
		return e.code
	}
	return exitFailed
}
