package natstest

import (
	"bytes"
	"net"
	"sync"

	"github.com/nats-io/nats.go"
)

// Lossy is a way to a server on which answers get lost: what was asked for is done, and
// the client does not hear of it. It is for Options.InProcess of [Bed.Connect].
type Lossy struct {
	Server nats.InProcessConnProvider

	mu   sync.Mutex
	lose map[string]int // by how a message's subject begins, how many times more
}

// Lose loses the answers to the next n messages whose subject begins as said.
func (l *Lossy) Lose(subject string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lose == nil {
		l.lose = map[string]int{}
	}
	l.lose[subject] = n
}

// InProcessConn implements [nats.InProcessConnProvider].
func (l *Lossy) InProcessConn() (net.Conn, error) {
	conn, err := l.Server.InProcessConn()
	if err != nil {
		return nil, err
	}
	return lossyConn{conn, l}, nil
}

type lossyConn struct {
	net.Conn
	link *Lossy
}

// Write has the server answer to a subject that nobody listens to, as long as the true one.
func (c lossyConn) Write(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for subject, n := range c.link.lose {
		at := bytes.Index(p, []byte("PUB "+subject))
		if n == 0 || at < 0 {
			continue
		}
		reply := bytes.IndexByte(p[at+len("PUB "):], ' ')
		p = bytes.Clone(p)
		p[at+len("PUB ")+reply+1] = '-'
		c.link.lose[subject]--
	}
	return c.Conn.Write(p)
}
