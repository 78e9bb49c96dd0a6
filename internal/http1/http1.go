// Package http1 sends requests to a near or busy host at a fraction of what net/http
// takes for it: the goroutine that asks writes the request and reads the answer
// itself, where net/http hands both over to two goroutines of the connection.
//
// Its one rule: it does the plain case and nothing else. A POST with its body at hand,
// HTTP/1.1, no proxy: whatever differs goes to the net/http transport it was made
// from, whose settings it shares, and answers are read by net/http in any case.
package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
)

// Transport is an [http.RoundTripper]. It is safe for concurrent use.
//
// It keeps to what net/http does with the same settings. A request is sent again only
// if nothing of it was written, on a kept connection that had died. An answer must
// be read to its end, or its connection is closed. The end of a request's context
// closes its connection, up to the end of the answer. Of [httptrace.ClientTrace] it
// calls GotConn only.
type Transport struct {
	base *http.Transport

	mu      sync.Mutex
	hosts   map[origin]*host // nil for one that is base's
	buffers sync.Pool        // of *buffer
}

// origin is a host under a scheme.
type origin struct{ scheme, host string }

// New makes a Transport with the settings of base, which must not be changed any
// more. It knows Proxy, DialContext, TLSClientConfig, TLSHandshakeTimeout,
// MaxIdleConnsPerHost, IdleConnTimeout and MaxResponseHeaderBytes; with others that
// change how requests are sent, base sends them all.
func New(base *http.Transport) *Transport {
	return &Transport{base: base, hosts: make(map[origin]*host), buffers: sync.Pool{New: newBuffer}}
}

// RoundTrip sends req and gives the answer once its head is there.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	h := t.host(req)
	if h == nil || !plain(req) {
		return t.base.RoundTrip(req)
	}
	out, _ := t.buffers.Get().(*buffer)
	defer t.recycle(out)
	if err := out.fill(req); err != nil {
		return nil, err
	}
	ctx := req.Context()
	trace := httptrace.ContextClientTrace(ctx)
	for {
		c, err := h.conn(ctx)
		if err != nil {
			return nil, err
		}
		if trace != nil && trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{Conn: c.sock, Reused: c.used})
		}
		if ctx.Err() != nil { // while GotConn waited for the quota, say: nothing is to be sent any more
			c.close()
			return nil, context.Cause(ctx)
		}
		resp, err := c.exchange(req, out.b)
		if c.used && errors.Is(err, errUnsent) {
			continue // that connection is no more; the next one is another, or new
		}
		return resp, err
	}
}

// CloseIdleConnections closes the connections that no request is using.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	for _, h := range t.hosts {
		if h != nil {
			h.closeIdle()
		}
	}
	t.mu.Unlock()
	t.base.CloseIdleConnections()
}

// host gives the connections to where a request goes; nil if that is for base to find.
func (t *Transport) host(req *http.Request) *host {
	if req.URL == nil {
		return nil
	}
	at := origin{req.URL.Scheme, req.URL.Host}
	t.mu.Lock()
	defer t.mu.Unlock()
	h, known := t.hosts[at]
	if !known {
		h = t.newHost(req)
		t.hosts[at] = h
	}
	return h
}

func (t *Transport) newHost(req *http.Request) *host {
	u := req.URL
	if !checkable || !t.ordinary() || !printable(u.Host) || u.Hostname() == "" || t.proxied(req) {
		return nil
	}
	h := &host{base: t.base}
	switch u.Scheme {
	case "http":
		h.addr = address(u, "80")
	case "https":
		h.addr = address(u, "443")
		h.tls = t.tlsConfig(u.Hostname())
	default:
		return nil
	}
	return h
}

// ordinary reports whether base has no settings but those that we know.
func (t *Transport) ordinary() bool {
	b := t.base
	return b.DialContext != nil && b.DialTLSContext == nil && !b.DisableKeepAlives && !b.DisableCompression &&
		b.MaxConnsPerHost == 0 && b.ResponseHeaderTimeout == 0
}

// proxied reports whether a proxy stands between, or its setting cannot be read.
func (t *Transport) proxied(req *http.Request) bool {
	if t.base.Proxy == nil {
		return false
	}
	proxy, err := t.base.Proxy(req)
	return proxy != nil || err != nil
}

func (t *Transport) tlsConfig(name string) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.base.TLSClientConfig != nil {
		cfg = t.base.TLSClientConfig.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = name
	}
	cfg.NextProtos = []string{"http/1.1"}
	return cfg
}

func address(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// cause is why a request was given up, if it was, else err.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
