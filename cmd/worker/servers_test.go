package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"essworker/internal/natstest"

	"github.com/nats-io/nats.go/jetstream"
)

// cluster is three NATS servers, each a process of its own, that keep every message
// three times and sync it before they confirm it.
type cluster struct {
	t       *testing.T
	servers []*member
}

// member is one of a cluster. It keeps its place, and what is on its disk, when it is
// stopped or killed.
type member struct {
	t       *testing.T
	process *process
	name    string
	dir     string
	file    string
	addr    string // for clients
	monitor string // where it says how it is
}

// newCluster makes the servers and starts none.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	const size = 3
	c := &cluster{t: t}
	addrs := natstest.FreeAddrs(t, 3*size)
	routes := addrs[2*size:]
	for i := range size {
		s := &member{t: t, name: fmt.Sprintf("s%d", i), dir: t.TempDir(), addr: addrs[i], monitor: addrs[size+i]}
		s.file = filepath.Join(t.TempDir(), "nats.conf")
		text := fmt.Sprintf("server_name: %s\nhttp: %q\ncluster { name: c, listen: %q, routes: [\"nats://%s\"] }",
			s.name, s.monitor, routes[i], strings.Join(routes, `", "nats://`))
		if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.servers = append(c.servers, s)
	}
	return c
}

// start starts all servers that were not started before.
func (c *cluster) start() {
	c.t.Helper()
	for _, s := range c.servers {
		if s.process == nil {
			s.launch()
		}
	}
	for _, s := range c.servers {
		s.back()
	}
	c.metaLeader()
}

func (s *member) url() string { return "nats://" + s.addr }

func (s *member) launch() {
	s.t.Helper()
	s.process = start(s.t, nil, "natsd", s.dir, s.addr, s.file)
	s.process.says("natsd listens")
}

// restart starts a server again that has ended, and waits until it has all it missed.
func (s *member) restart() {
	s.t.Helper()
	s.launch()
	s.back()
}

func (s *member) kill() { s.process.kill() }

func (s *member) stop() {
	s.t.Helper()
	s.process.signal(syscall.SIGTERM)
	if code := s.process.ended(); code != 0 {
		s.t.Errorf("exit code of server %s after SIGTERM = %d, want 0", s.name, code)
	}
}

// freeze stops a server as a stalled machine does: nothing is closed, nobody answers.
func (s *member) freeze() { s.process.signal(syscall.SIGSTOP) }

// thaw lets a frozen server go on, and waits until it has all it missed.
func (s *member) thaw() {
	s.t.Helper()
	s.process.signal(syscall.SIGCONT)
	s.back()
}

// back waits until the server has all that the others have.
func (s *member) back() {
	s.t.Helper()
	until(s.t, "server "+s.name+" is as far as the others", func() bool { return s.get("/healthz", nil) == nil })
}

// get asks the server how it is.
func (s *member) get(path string, into any) error {
	resp, err := http.Get("http://" + s.monitor + path) //nolint:noctx // it is up, on this machine
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", path, resp.Status)
	case into == nil:
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// metaLeader is who decides about streams and consumers.
func (c *cluster) metaLeader() *member {
	c.t.Helper()
	return c.named("the cluster", func() string {
		var state struct {
			Meta struct {
				Leader string `json:"leader"`
			} `json:"meta_cluster"`
		}
		if err := c.servers[0].get("/jsz", &state); err != nil {
			return ""
		}
		return state.Meta.Leader
	})
}

// streamLeader is who takes in a stream's messages.
func (c *cluster) streamLeader(js jetstream.JetStream, stream string) *member {
	c.t.Helper()
	return c.named(stream, func() string {
		s, err := js.Stream(c.t.Context(), stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return ""
		}
		return s.CachedInfo().Cluster.Leader
	})
}

// consumerLeader is who hands out a consumer's messages.
func (c *cluster) consumerLeader(js jetstream.JetStream, stream, consumer string) *member {
	c.t.Helper()
	return c.named(consumer, func() string {
		cons, err := js.Consumer(c.t.Context(), stream, consumer)
		if err != nil || cons.CachedInfo().Cluster == nil {
			return ""
		}
		return cons.CachedInfo().Cluster.Leader
	})
}

// named waits until there is a leader, and gives the server of that name.
func (c *cluster) named(what string, leader func() string) (found *member) {
	c.t.Helper()
	until(c.t, "a leader of "+what, func() bool {
		name := leader()
		i := slices.IndexFunc(c.servers, func(s *member) bool { return s.name == name })
		if i >= 0 {
			found = c.servers[i]
		}
		return i >= 0
	})
	return found
}

// makeLeader moves a stream's leadership to one server.
func (c *cluster) makeLeader(js jetstream.JetStream, stream string, m *member) {
	c.t.Helper()
	body := fmt.Appendf(nil, `{"placement":{"preferred":%q}}`, m.name)
	until(c.t, m.name+" leads "+stream, func() bool {
		if c.streamLeader(js, stream) == m {
			return true
		}
		_, err := js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, body, 2*time.Second)
		return err == nil && c.streamLeader(js, stream) == m
	})
}
