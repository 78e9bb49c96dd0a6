package natsd_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/natsd"
)

const childDir = "NATSD_TEST_DIR"

// TestMain is also the other process of TestStart_killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	m.Run()
}

func TestStart(t *testing.T) {
	use := func(t *testing.T, cfg natsd.Config) *natsd.Server {
		s := start(t, cfg)
		nc, err := s.Connect()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		publish(t, nc, 1)
		return s
	}
	t.Run("in a bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if url := use(t, natsd.Config{Dir: t.TempDir()}).URL(); url != "" {
				t.Errorf("URL() = %q of a server that does not listen, want none", url)
			}
		})
	})
	t.Run("on a port", func(t *testing.T) {
		url := use(t, natsd.Config{Dir: t.TempDir(), Addr: ":0"}).URL()
		if !strings.HasPrefix(url, "nats://127.0.0.1:") || strings.HasSuffix(url, ":0") {
			t.Errorf("URL() = %q, want a port of 127.0.0.1", url)
		}
		nc, err := nats.Connect(url)
		if err != nil {
			t.Fatalf("connect from outside: %v", err)
		}
		nc.Close()
	})
}

// TestStart_again finds what an earlier server stored.
func TestStart_again(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for i := range 3 {
			s := start(t, natsd.Config{Dir: dir})
			nc, err := s.Connect()
			if err != nil {
				t.Fatal(err)
			}
			publish(t, nc, uint64(i+1))
			nc.Close()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestStart_fails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a port to be taken
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nothing was written
	blocked := t.TempDir()
	if err := os.WriteFile(filepath.Join(blocked, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	start(t, natsd.Config{Dir: used})
	tests := []struct {
		name string
		cfg  natsd.Config
		want string
	}{
		{"no directory", natsd.Config{}, "no store directory"},
		{"a file for a directory", natsd.Config{Dir: filepath.Join(blocked, "jetstream")}, "make the store directory"},
		{"a file in the way", natsd.Config{Dir: blocked}, "start the server: Can't start JetStream"},
		{"a directory in use", natsd.Config{Dir: used}, fmt.Sprintf("in use by the NATS server of process %d", os.Getpid())},
		{"a port in use", natsd.Config{Dir: t.TempDir(), Addr: taken.Addr().String()}, "start the server: Error listening on port"},
		{"no port", natsd.Config{Dir: t.TempDir(), Addr: "127.0.0.1"}, "listen address"},
		{"a port by name", natsd.Config{Dir: t.TempDir(), Addr: "127.0.0.1:nats"}, "the port must be a number"},
		{"no such configuration", natsd.Config{Dir: t.TempDir(), File: "/no/such/file"}, "read the server's configuration"},
	}
	for _, tt := range tests {
		s, err := natsd.Start(tt.cfg)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: no error, want %q", tt.name, tt.want)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	// A start that failed has given everything back.
	if err := os.Remove(filepath.Join(blocked, "jetstream")); err != nil {
		t.Fatal(err)
	}
	start(t, natsd.Config{Dir: blocked})
}

// TestStart_killed has another process hold the directory, and die without a word.
func TestStart_killed(t *testing.T) {
	dir := t.TempDir()
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), childDir+"="+dir)
	other.Stderr = t.Output()
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "stored\n" {
		t.Fatalf("the other process says %q, error %v", line, err)
	}
	_, err = natsd.Start(natsd.Config{Dir: dir})
	if want := fmt.Sprintf("process %d", other.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("while it runs: error %v, want one that names %s", err, want)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed: that is its error
	s := start(t, natsd.Config{Dir: dir})
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	publish(t, nc, 2) // the first is the other's
}

// TestServer_Close may be called by anyone, any number of times, and frees the directory.
func TestServer_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := start(t, natsd.Config{Dir: dir})
		nc, err := s.Connect(nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if _, err := s.InProcessConn(); err == nil {
					t.Error("Close returned before the server had stopped")
				}
			})
		}
		wg.Wait()
		start(t, natsd.Config{Dir: dir})
		synctest.Wait()
		if !nc.IsClosed() {
			t.Errorf("a connection without reconnecting is %v, want closed", nc.Status())
		}
	})
}

// TestConfig_File gives the server users, and its complaints to the log.
func TestConfig_File(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	err := os.WriteFile(file, []byte(`
		port: 4999
		jetstream { store_dir: "/nowhere" }
		authorization { users: [ { user: a, password: b } ] }`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := start(t, natsd.Config{Dir: t.TempDir(), File: file, Log: slog.New(slog.NewTextHandler(&log, nil))})
		nc, err := s.Connect(nats.UserInfo("a", "b"))
		if err != nil {
			t.Fatal(err)
		}
		publish(t, nc, 1)
		nc.Close()
		if nc, err := s.Connect(nats.UserInfo("a", "wrong")); err == nil {
			nc.Close()
			t.Error("a wrong password connects")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "authentication error") {
			t.Errorf("log %q, want the refused login", log.String())
		}
	})
}

func start(t *testing.T, cfg natsd.Config) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(cfg)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// publish stores a message and expects the sequence it gets.
func publish(t *testing.T, nc *nats.Conn, want uint64) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatalf("create a stream: %v", err)
	}
	ack, err := js.Publish(t.Context(), "s", []byte("x"))
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	if ack.Sequence != want {
		t.Errorf("published as %d, want %d", ack.Sequence, want)
	}
}

// child stores one message, says so, and waits to be killed.
func child(dir string) {
	if err := store(dir); err != nil {
		panic(err)
	}
	if _, err := os.Stdout.WriteString("stored\n"); err != nil {
		panic(err)
	}
	select {}
}

func store(dir string) error {
	ctx := context.Background()
	s, err := natsd.Start(natsd.Config{Dir: dir})
	if err != nil {
		return err
	}
	nc, err := s.Connect()
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		return err
	}
	_, err = js.Publish(ctx, "s", nil)
	return err
}
