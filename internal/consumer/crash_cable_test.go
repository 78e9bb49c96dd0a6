package consumer_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/topology"
)

// point is a place in a worker's doings: its nth step of a kind, and which side of it.
// The zero point never comes.
type point struct {
	step string
	nth  int // from 1
	side side
}

func (p point) String() string {
	if p.step == "" {
		return "not cut off"
	}
	return fmt.Sprintf("cut off %s %q %d", p.side, p.step, p.nth)
}

type side string

const (
	before side = "before" // the step has not left the worker
	within side = "within" // all but its last byte has
	after  side = "after"  // it has arrived, and what comes of it is not heard any more
	late   side = "late"   // nothing is cut: it and all behind it arrives when others have taken over
)

// standstill is how long a cable holds up what is late: several ack waits.
const standstill = 8 * time.Second

// cable is all that a worker has to do with the world: its connection to the server and
// its calls to the vendor. What goes out by it are the worker's steps; whatever it does
// between two of them nobody can see, so a worker can be killed in two places only,
// before a step and after it. The cable notes the steps, and at one point it is cut:
// nothing comes out of the worker any more or into it, as kill -9 looks to everybody else.
// Or else it stands still for a while, as when a machine is suspended.
type cable struct {
	server nats.InProcessConnProvider
	vendor http.RoundTripper
	names  topology.Names
	whole  context.Context //nolint:containedctx // ends when the cable is cut, and calls under way with it
	end    context.CancelFunc
	moving context.Context //nolint:containedctx // ends when the cable comes to a standstill
	halt   context.CancelFunc

	mu    sync.Mutex
	at    point
	steps []string
	dead  bool      // it is being cut, or was: what comes now comes too late
	until time.Time // the end of a standstill
	conns []net.Conn
}

func newCable(server nats.InProcessConnProvider, vendor http.RoundTripper, names topology.Names, at point) *cable {
	c := &cable{server: server, vendor: vendor, names: names, at: at}
	c.whole, c.end = context.WithCancel(context.Background())
	c.moving, c.halt = context.WithCancel(context.Background())
	return c
}

// step notes a step that is about to be made. The cable is to be cut on the side that
// it gives; it is none as a rule.
func (c *cable) step(name string) side {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return before
	}
	c.steps = append(c.steps, name)
	if name != c.at.step {
		return ""
	}
	if c.at.nth--; c.at.nth != 0 {
		return ""
	}
	if c.at.side == late {
		c.until = time.Now().Add(standstill)
		c.halt()
		return ""
	}
	c.dead = true
	return c.at.side
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.end()
}

func (c *cable) isDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// still is how much longer the cable stands still.
func (c *cable) still() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, time.Until(c.until))
}

// wait is for the end of a standstill.
func (c *cable) wait() {
	if d := c.still(); d > 0 {
		select {
		case <-time.After(d):
		case <-c.whole.Done():
		}
	}
}

// taken gives the steps that were made.
func (c *cable) taken() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}

// RoundTrip makes each call to the vendor a step.
func (c *cable) RoundTrip(req *http.Request) (*http.Response, error) {
	side := c.step("call")
	if side == before {
		c.cut()
		return nil, net.ErrClosed
	}
	ctx, cancel := context.WithCancel(req.Context())
	context.AfterFunc(c.whole, cancel)
	resp, err := c.vendor.RoundTrip(req.WithContext(ctx))
	if side == "" {
		return resp, err
	}
	if err == nil {
		_ = resp.Body.Close()
	}
	c.cut()
	return nil, net.ErrClosed
}

// InProcessConn makes the cable a [nats.InProcessConnProvider].
func (c *cable) InProcessConn() (net.Conn, error) {
	if c.isDead() { // the client connects again; the dead do not
		return nil, net.ErrClosed
	}
	conn, err := c.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return &wire{Conn: conn, cable: c}, nil
}

// wire is a connection whose messages to the server are steps, however the client's
// writes put them together or take them apart.
type wire struct {
	net.Conn
	cable *cable
	rest  []byte // the beginning of a message

	mu     sync.Mutex
	late   []byte // what has been held up
	behind bool   // it is not all sent yet
}

func (w *wire) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		m, size := parseMessage(w.rest)
		if size == 0 {
			return len(p), nil
		}
		if err := w.pass(m.step(w.cable.names), w.rest[:size]); err != nil {
			return 0, err
		}
		w.rest = w.rest[size:]
	}
}

func (w *wire) pass(step string, message []byte) error {
	var side side
	if step != "" {
		side = w.cable.step(step)
	}
	switch side {
	case before:
		w.cable.cut()
		return net.ErrClosed
	case within:
		message = message[:len(message)-1]
	case after, late, "":
	}
	if w.holdUp(message) {
		return nil
	}
	_, err := w.Conn.Write(message)
	if side != "" {
		w.cable.cut()
		return net.ErrClosed
	}
	return err
}

// holdUp takes a message that is late. Its writer goes on: it holds a lock of the
// client's, and a bubble in which somebody waits for a lock has no time.
func (w *wire) holdUp(message []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.behind && w.cable.still() == 0 {
		return false
	}
	w.late = append(w.late, message...)
	if !w.behind {
		w.behind = true
		go w.catchUp()
	}
	return true
}

func (w *wire) catchUp() {
	w.cable.wait()
	for {
		w.mu.Lock()
		messages := w.late
		w.late, w.behind = nil, len(messages) > 0
		w.mu.Unlock()
		if len(messages) == 0 {
			return
		}
		_, _ = w.Conn.Write(messages)
	}
}

func (w *wire) Read(p []byte) (int, error) {
	for {
		n, err := w.Conn.Read(p)
		w.cable.wait()
		if !w.cable.isDead() {
			return n, err
		}
		if err != nil { // until then it takes what the server says, or the server would not listen to the last step
			<-w.cable.whole.Done()
			return 0, io.EOF
		}
	}
}
