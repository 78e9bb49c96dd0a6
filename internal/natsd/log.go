package natsd

import (
	"fmt"
	"log/slog"
	"sync/atomic"
)

// logger is the server's logger: warnings and errors go on to slog, the rest is
// of no use to someone who only wanted a server.
type logger struct {
	log   *slog.Logger
	fatal atomic.Pointer[string] // the first error the server would have exited with
}

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}

func (l *logger) Warnf(format string, args ...any) {
	l.log.Warn("nats server", "message", fmt.Sprintf(format, args...))
}

func (l *logger) Errorf(format string, args ...any) {
	l.log.Error("nats server", "message", fmt.Sprintf(format, args...))
}

// Fatalf keeps the text for Start to return. The server expects the process to
// exit here; it does not when it is embedded.
func (l *logger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !l.fatal.CompareAndSwap(nil, &text) {
		l.log.Error("nats server", "message", text)
	}
}
