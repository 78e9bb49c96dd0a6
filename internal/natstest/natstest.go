// Package natstest gives a test a JetStream with everything in place: a server of
// its own, a connection with production's options, and the streams applied.
//
// Its one rule: it works within a testing/synctest bubble, where hours pass in
// milliseconds. What that asks of a test:
//
//   - One goroutine at most calls Next of a jetstream.MessagesContext: a second one
//     waits on a mutex, which the bubble does not count as waiting, and time stands
//     still. In general: never wait while holding a mutex.
//   - Everything the test started has ended when the bubble's function returns: stop
//     consumers, wait for goroutines. The connections of the Bed and the server are
//     closed by t.Cleanup, which runs within the bubble.
//   - A bubble whose clock stands still hangs. Run with -timeout, and look in the
//     dump for the one goroutine of the bubble not marked "durable".
//   - Connections and timers stay in their bubble: the package drops those that the
//     client would hand on through a pool of its own. Tests of one process that run
//     bubbles in parallel use FlushWithContext, NextMsgWithContext and
//     RequestWithContext in place of their namesakes.
//   - Real sockets, other processes and kill -9 cannot be had in a bubble: NewTCP.
package natstest

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/mask"
	"essworker/internal/natsconn"
	"essworker/internal/natsd"
	"essworker/internal/topology"
)

// Bed is what a test stands on. Its fields are for the goroutine of the test;
// Restart replaces the first three.
type Bed struct {
	Server   *natsd.Server
	NC       *nats.Conn
	JS       jetstream.JetStream
	Topology topology.Config
	Types    []string

	t      testing.TB
	server natsd.Config
	login  natsconn.Config
}

// Setup is all there is to choose about a Bed.
type Setup struct {
	Topology topology.Config // the zero Config is Defaults
	Types    []string        // none: nothing is applied
	Addr     string          // as natsd.Config.Addr
	File     string          // as natsd.Config.File
	Sync     bool            // sync every message, as production does; slower
	MaxStore int64           // as natsd.Config.MaxStore
	// User and Password log the Bed in, where File asks for it; InboxPrefix is that of
	// the user, if it may not subscribe to any.
	User, Password, InboxPrefix string
}

// Defaults is the topology as it is without any setting.
func Defaults() topology.Config {
	return topology.Config{
		Names: topology.Names{Prefix: "ess"}, Replicas: 1, ResultsMaxAge: 168 * time.Hour, AckWait: time.Minute,
	}
}

// New starts a server reached within the process only, on a directory of the test,
// and applies the topology for the event types. It works in and out of a bubble.
func New(t testing.TB, types ...string) *Bed {
	t.Helper()
	return Start(t, Setup{Types: types})
}

// NewTCP is New with a real port on 127.0.0.1, for tests of other processes, of
// reconnecting and of sockets. It does not work in a bubble.
func NewTCP(t testing.TB, types ...string) *Bed {
	t.Helper()
	return Start(t, Setup{Types: types, Addr: "127.0.0.1:0"})
}

// Start is New with everything chosen.
func Start(t testing.TB, s Setup) *Bed {
	t.Helper()
	if inBubble() {
		dropTimers()
		t.Cleanup(func() { // the last to run: connections and server have been closed
			synctest.Wait()
			dropTimers()
		})
	}
	if s.Topology == (topology.Config{}) {
		s.Topology = Defaults()
	}
	if s.Addr == "127.0.0.1:0" { // not one that others may be given while the server is away
		s.Addr = FreeAddrs(t, 1)[0]
	}
	b := &Bed{
		Topology: s.Topology, Types: s.Types, t: t,
		server: natsd.Config{Dir: t.TempDir(), Addr: s.Addr, File: s.File, NoSync: !s.Sync, MaxStore: s.MaxStore, Log: Log(t)},
		login:  natsconn.Config{User: mask.Secret(s.User), Password: mask.Secret(s.Password), InboxPrefix: s.InboxPrefix},
	}
	b.startServer()
	b.NC = b.Connect(natsconn.Options{}, b.login)
	b.useNC()
	b.apply()
	return b
}

// Keeper logs in to a server made by [StartWithKeeper] as somebody who may not remove
// messages.
func Keeper() natsconn.Config { return natsconn.Config{User: "keeper", Password: "p"} }

// StartWithKeeper is New with a second user, [Keeper], who may do all but remove
// messages: whoever works as that one is cut off right before a removal. The Bed's
// own login is Config{User: "all", Password: "p"}.
func StartWithKeeper(t testing.TB, types ...string) *Bed {
	t.Helper()
	users := filepath.Join(t.TempDir(), "users.conf")
	err := os.WriteFile(users, []byte(`authorization { users [
		{ user: all, password: p }
		{ user: keeper, password: p, permissions { publish { deny: "$JS.API.STREAM.MSG.DELETE.>" } } }
	] }`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return Start(t, Setup{Types: types, File: users, User: "all", Password: "p"})
}

// Restart stops the server and starts it again on the same directory and, for one
// that listens, the same port. Over TCP the Bed's connection finds the new server
// by itself, and Restart waits for that; within the process no connection
// can, so NC and JS are new ones and those handed out before are dead.
func (b *Bed) Restart() {
	b.t.Helper()
	b.Stop()
	b.Resume()
}

// Stop stops the server, as the first half of Restart: an outage begins.
func (b *Bed) Stop() {
	b.t.Helper()
	if url := b.Server.URL(); url != "" {
		b.server.Addr = url[len("nats://"):]
	} else {
		b.NC.Close()
	}
	if err := b.Server.Close(); err != nil {
		b.t.Fatalf("stop the server: %v", err)
	}
}

// Resume starts the server again, as the second half of Restart: the outage ends.
func (b *Bed) Resume() {
	b.t.Helper()
	b.startServer()
	if b.server.Addr == "" {
		b.NC = b.Connect(natsconn.Options{}, b.login)
		b.useNC()
		return
	}
	if err := b.NC.ForceReconnect(); err != nil { // now, not at the end of its pause
		b.t.Fatalf("reconnect: %v", err)
	}
	changes := b.NC.StatusChanged(nats.CONNECTED) // not before: it may just have connected, and does so again
	defer b.NC.RemoveStatusListener(changes)
	if b.NC.IsConnected() {
		return
	}
	select {
	case <-changes:
	case <-time.After(20 * time.Second):
		b.t.Fatalf("the client did not reconnect: it is %v", b.NC.Status())
	}
}

// Connect opens one more connection to the Bed's server with production's options,
// as another worker would; the test's cleanup closes it. Of opts all may be left out.
func (b *Bed) Connect(opts natsconn.Options, cfg natsconn.Config) *nats.Conn {
	b.t.Helper()
	if opts.Name == "" {
		opts.Name = b.t.Name()
	}
	if opts.InboxPrefix == "" {
		opts.InboxPrefix = "_INBOX_test"
	}
	opts.NoRetry = true
	if url := b.Server.URL(); url != "" {
		cfg.URL = natsconn.URLs(url)
	} else if opts.InProcess == nil {
		opts.InProcess = b.Server
	}
	nc, err := natsconn.Connect(b.t.Context(), cfg, opts)
	if err != nil {
		b.t.Fatalf("connect: %v", err)
	}
	b.t.Cleanup(nc.Close)
	return nc
}

// Log is a logger for the test's own output, from warnings up.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// inBubble goes by the clock, which a bubble sets to the year 2000.
func inBubble() bool { return time.Now().Year() < 2020 }

// dropTimers empties the pool in which the client keeps the timers of Flush, NextMsg
// and Request for the next to use. A timer belongs to the bubble it was made in: used
// in another bubble, or outside, it is a fatal error; one from outside used in a
// bubble runs by the real clock. A sync.Pool lets go of everything when it has been
// through two collections.
func dropTimers() {
	runtime.GC()
	runtime.GC()
}

func (b *Bed) startServer() {
	b.t.Helper()
	srv, err := natsd.Start(b.server)
	if err != nil {
		b.t.Fatalf("start a NATS server: %v", err)
	}
	b.t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			b.t.Errorf("stop the NATS server: %v", err)
		}
	})
	b.Server = srv
}

func (b *Bed) useNC() {
	b.t.Helper()
	js, err := jetstream.New(b.NC)
	if err != nil {
		b.t.Fatalf("open JetStream: %v", err)
	}
	b.JS = js
}

func (b *Bed) apply() {
	b.t.Helper()
	if len(b.Types) == 0 {
		return
	}
	if _, err := topology.Apply(b.t.Context(), b.JS, b.Topology, b.Types); err != nil {
		b.t.Fatalf("apply the topology: %v", err)
	}
}
