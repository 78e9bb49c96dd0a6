package http1

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// host is one place to connect to, and the connections to it that nobody uses.
type host struct {
	base *http.Transport // for its settings
	addr string
	tls  *tls.Config // nil for plain http

	mu    sync.Mutex
	idle  []*conn // the one used last comes last, and goes first
	timer *time.Timer
}

// conn gives a kept connection, or a new one.
func (h *host) conn(ctx context.Context) (*conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for {
		c := h.take()
		if c == nil {
			return h.dial(ctx)
		}
		// Round leaves the wall clock, which goes on while a machine sleeps.
		if time.Now().Round(0).Sub(c.idle.Round(0)) < h.maxIdle() && c.fit() {
			return c, nil
		}
		c.close()
	}
}

func (h *host) take() *conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := len(h.idle) - 1
	if last < 0 {
		return nil
	}
	c := h.idle[last]
	h.idle[last] = nil
	h.idle = h.idle[:last]
	return c
}

// put keeps a connection for the next request.
func (h *host) put(c *conn) {
	c.used, c.idle = true, time.Now()
	h.mu.Lock()
	full := len(h.idle) >= max(h.base.MaxIdleConnsPerHost, http.DefaultMaxIdleConnsPerHost)
	if !full {
		h.idle = append(h.idle, c)
		if h.timer == nil {
			h.timer = time.AfterFunc(h.maxIdle(), h.sweep)
		}
	}
	h.mu.Unlock()
	if full {
		c.close()
	}
}

// sweep closes the connections that were idle for too long, and comes again while
// there are others.
func (h *host) sweep() {
	h.mu.Lock()
	limit := time.Now().Add(-h.maxIdle())
	fresh := slices.IndexFunc(h.idle, func(c *conn) bool { return c.idle.After(limit) })
	if fresh < 0 {
		fresh, h.timer = len(h.idle), nil
	} else {
		h.timer.Reset(h.idle[fresh].idle.Sub(limit))
	}
	old := slices.Clone(h.idle[:fresh])
	h.idle = slices.Delete(h.idle, 0, fresh)
	h.mu.Unlock()
	closeAll(old)
}

func (h *host) closeIdle() {
	h.mu.Lock()
	idle := h.idle
	h.idle = nil
	h.mu.Unlock()
	closeAll(idle)
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.close()
	}
}

// dial opens a connection, with TLS where the host has it.
func (h *host) dial(ctx context.Context) (*conn, error) {
	sock, err := h.base.DialContext(ctx, "tcp", h.addr)
	if err != nil {
		return nil, cause(ctx, err)
	}
	if h.tls == nil {
		return newConn(h, sock, sock), nil
	}
	secure := tls.Client(sock, h.tls)
	if err := h.shakeHands(ctx, secure); err != nil {
		_ = sock.Close()
		return nil, cause(ctx, err)
	}
	return newConn(h, secure, sock), nil
}

func (h *host) shakeHands(ctx context.Context, secure *tls.Conn) error {
	limited := ctx
	if limit := h.base.TLSHandshakeTimeout; limit > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	err := secure.HandshakeContext(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return handshakeTimeout{}
	}
	return err
}

// handshakeTimeout is a [net.Error], as net/http's is.
type handshakeTimeout struct{}

var _ net.Error = handshakeTimeout{}

func (handshakeTimeout) Error() string   { return "TLS handshake timeout" }
func (handshakeTimeout) Timeout() bool   { return true }
func (handshakeTimeout) Temporary() bool { return true }

// maxIdle is how long a connection is kept.
func (h *host) maxIdle() time.Duration {
	if h.base.IdleConnTimeout > 0 {
		return h.base.IdleConnTimeout
	}
	return time.Hour // longer than any host keeps one
}

// maxHead bounds the head of an answer, in bytes.
func (h *host) maxHead() int64 {
	if h.base.MaxResponseHeaderBytes > 0 {
		return h.base.MaxResponseHeaderBytes
	}
	return defaultHead
}
