package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

const (
	// maxInformational is how many 1xx answers may come before the answer.
	maxInformational = 5
	// defaultHead bounds the head of an answer where the settings do not.
	defaultHead = 1 << 20
)

// errUnsent says that a connection failed before anything of the request was written.
var errUnsent = errors.New("nothing of the request was sent")

// conn is a connection. One goroutine uses it at a time.
type conn struct {
	host *host
	sock net.Conn        // TLS, if the host has it
	raw  syscall.RawConn // the socket below; nil if there is none, and then the connection is not kept
	in   *bufio.Reader   // of the conn itself
	room int64           // bytes that the head of an answer may still take
	used bool            // by an earlier request
	idle time.Time       // since when

	loud  bool // what probe has found
	probe func(fd uintptr) bool
	abort func() // close, made once
	spare [1]byte
}

func newConn(h *host, sock net.Conn, below net.Conn) *conn {
	c := &conn{host: h, sock: sock}
	c.in = bufio.NewReader(c)
	if s, ok := below.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn() // nil with an error
	}
	c.probe = func(fd uintptr) bool {
		c.loud = !silent(fd)
		return true
	}
	c.abort = c.close
	return c
}

// Read is how in reads: while the head of an answer is awaited, no more than it may take.
func (c *conn) Read(p []byte) (int, error) {
	if c.room <= 0 {
		return 0, fmt.Errorf("the head of the answer is longer than %d bytes", c.host.maxHead())
	}
	if int64(len(p)) > c.room {
		p = p[:c.room]
	}
	n, err := c.sock.Read(p)
	c.room -= int64(n)
	return n, err
}

// exchange sends a request and reads the head of its answer; the answer's body does
// with the connection what is to be done at its end.
func (c *conn) exchange(req *http.Request, out []byte) (*http.Response, error) {
	ctx := req.Context()
	given := context.AfterFunc(ctx, c.abort) // the only way to wake a goroutine that reads
	n, err := c.sock.Write(out)
	var resp *http.Response
	switch {
	case err == nil:
		resp, err = c.answer(req)
	case n == 0:
		err = fmt.Errorf("%w: %w", errUnsent, err)
	}
	if err != nil {
		given()
		c.close()
		return nil, cause(ctx, err)
	}
	end := ending{conn: c, ctx: ctx, release: given, keep: c.raw != nil && !resp.Close && resp.StatusCode != http.StatusSwitchingProtocols}
	if resp.Body == http.NoBody {
		end.reached()
		return resp, nil
	}
	b := &body{end: end, inner: resp.Body}
	if resp.Body == nil {
		b.inner, b.left = c.in, resp.ContentLength
	}
	resp.Body = b
	unzip(resp)
	return resp, nil
}

// answer reads the head of the answer, and those that only announce it. An answer
// whose body is left to be read from in has none.
func (c *conn) answer(req *http.Request) (*http.Response, error) {
	c.room = c.host.maxHead()
	switch _, err := c.in.Peek(1); {
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	resp := quick(c.in, req)
	for range maxInformational + 1 {
		if resp != nil && (resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols) {
			c.room = math.MaxInt64
			return resp, nil
		}
		var err error
		if resp, err = http.ReadResponse(c.in, req); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("too many informational answers")
}

// fit reports whether a kept connection may be used again: nothing has come on it
// meanwhile, its end included. A host that sends unasked is not to be trusted with
// the next answer.
func (c *conn) fit() bool {
	if c.raw.Read(c.probe) != nil || c.loud {
		return false
	}
	secure, ok := c.sock.(*tls.Conn)
	if !ok {
		return true
	}
	// What was read from the socket along with the last answer, below the record layer.
	if secure.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	_, err := secure.Read(c.spare[:])
	return errors.Is(err, os.ErrDeadlineExceeded) && secure.SetReadDeadline(time.Time{}) == nil
}

func (c *conn) close() { _ = c.sock.Close() }
