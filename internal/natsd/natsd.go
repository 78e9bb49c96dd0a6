// Package natsd runs a NATS server inside the process, for the commands dev,
// demo and bench and for tests. Production has its own servers.
//
// Its one rule: what the server says it has stored is on the disk. Every message
// is synced before it is confirmed, the store directory belongs to one process
// at a time, and a server that did not come up is an error, never a silence.
package natsd

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
)

// The server's stores share one ticker, which the first of them starts and the
// last one stops through a channel made when the program started. Started within
// a testing/synctest bubble, that goroutine would belong to the bubble and wait on
// a channel from outside it, and the bubble's clock would stand still for ever.
// So it is started here, before any bubble, and never stopped: ten wake-ups a second.
func init() { ats.Register() }

const (
	readyWait       = 10 * time.Second
	defaultMaxStore = 16 << 30
	maxMemory       = 64 << 20 // memory storage is refused by topology: this is for guests
)

// Config says where the server keeps its data and how it is reached.
type Config struct {
	Dir string // required: the store directory, made if missing; one server at a time
	// Addr is where to listen, "host:port". Port 0 takes a free port, an empty host
	// is 127.0.0.1. An empty Addr listens nowhere: only this process can connect.
	Addr string
	// File is a nats-server configuration file to start from, for accounts, users
	// and permissions. The other fields win over what it says.
	File string
	// NoSync confirms messages before they are synced. A process may be killed and
	// nothing is lost; a machine may not. For tests and benchmarks.
	NoSync   bool
	MaxStore int64        // bytes on disk; 0 is 16 GiB. The server's own default takes most of the disk
	Log      *slog.Logger // the server's warnings and errors; nil drops them
}

// Server is a running NATS server with JetStream. Its methods may be called by
// any goroutine.
type Server struct {
	srv    *server.Server
	cfg    Config
	listen bool
	unlock func() error
	closed atomic.Bool
	done   chan struct{}
}

// Start starts a server and returns once it takes connections. It fails if the
// directory is in use, by this process or another, and with the server's own words
// if it cannot start.
func Start(cfg Config) (*Server, error) {
	opts, err := options(cfg)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the store directory: %w", err)
	}
	unlock, err := lock(filepath.Join(cfg.Dir, "natsd.lock"))
	if err != nil {
		return nil, fmt.Errorf("store directory %q: %w", cfg.Dir, err)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("configure the server: %w", err), unlock())
	}
	s := &Server{srv: srv, cfg: cfg, listen: !opts.DontListen, unlock: unlock, done: make(chan struct{})}
	log := &logger{log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	// The server reports what kept it from starting only to its logger, and keeps
	// saying that it is running.
	if fatal := log.fatal.Load(); fatal != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %s", *fatal), s.Close())
	}
	if !srv.ReadyForConnections(readyWait) {
		return nil, errors.Join(fmt.Errorf("start the server: not ready after %v", readyWait), s.Close())
	}
	return s, nil
}

// Connect opens a connection to the server: over its port if it listens, else
// within the process. A connection within the process never reaches a server
// started later on the same directory.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	if s.listen {
		return nats.Connect(s.URL(), opts...)
	}
	return nats.Connect("", append(opts, nats.InProcessServer(s))...)
}

// InProcessConn makes the Server a [nats.InProcessConnProvider].
func (s *Server) InProcessConn() (net.Conn, error) { return s.srv.InProcessConn() }

// URL is where clients of other processes connect, or "" if the server does not
// listen.
func (s *Server) URL() string {
	if !s.listen {
		return ""
	}
	return s.srv.ClientURL()
}

// Close stops the server, waits until it has written everything, and frees its
// directory. Connections still open see theirs end. Further calls wait for the
// first and return nil.
func (s *Server) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		<-s.done
		return nil
	}
	defer close(s.done)
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	return s.unlock()
}

// LameDuck stops the server as before its maintenance: it says so to its clients, closes
// their connections one after the other, and returns once the last has gone. It does so
// only where it listens. Close must follow.
func (s *Server) LameDuck() { s.srv.LameDuckShutdown() }

// Reload has a running server read Config.File again, for users and permissions.
func (s *Server) Reload() error {
	opts, err := options(s.cfg)
	if err != nil {
		return err
	}
	if err := s.srv.ReloadOptions(opts); err != nil {
		return fmt.Errorf("reload the server: %w", err)
	}
	return nil
}

func options(cfg Config) (*server.Options, error) {
	if cfg.Dir == "" {
		return nil, errors.New("no store directory: the server's default is a temporary one")
	}
	opts := &server.Options{}
	if cfg.File != "" {
		var err error
		if opts, err = server.ProcessConfigFile(cfg.File); err != nil {
			return nil, fmt.Errorf("read the server's configuration: %w", err)
		}
	}
	opts.JetStream = true
	opts.StoreDir = cfg.Dir
	opts.JetStreamMaxStore = cmp.Or(cfg.MaxStore, defaultMaxStore)
	opts.JetStreamMaxMemory = maxMemory
	opts.SyncAlways = !cfg.NoSync
	opts.NoSigs = true // signals are the command's
	opts.DisableJetStreamBanner = true
	opts.DontListen = cfg.Addr == ""
	if opts.DontListen {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen address: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: the port must be a number up to 65535", cfg.Addr)
	}
	opts.Host, opts.Port = cmp.Or(host, "127.0.0.1"), int(n)
	if n == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return opts, nil
}
