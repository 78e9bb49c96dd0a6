package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/http1"
)

// start starts a server and gives settings that trust it.
func start(server *httptest.Server, secure bool) *http.Transport {
	base := settings()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if !secure {
		server.Start()
		return base
	}
	server.StartTLS()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	return base
}

// faulty dials connections of which some fail to write.
type faulty struct {
	dials   atomic.Int32
	written atomic.Int32
	failing func(conn, write int32) bool
}

type faultyConn struct {
	*net.TCPConn
	faulty *faulty
	number int32
	writes int32
}

func (f *faulty) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &faultyConn{TCPConn: conn.(*net.TCPConn), faulty: f, number: f.dials.Add(1)}, nil
}

func (c *faultyConn) Write(p []byte) (int, error) {
	c.writes++
	if c.faulty.failing(c.number, c.writes) {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	c.faulty.written.Add(1)
	return c.TCPConn.Write(p)
}

// A request is sent again only if nothing of it was, on a connection that was kept.
func TestTransport_resends(t *testing.T) {
	url, _ := answering(t, ok, true)
	f := &faulty{failing: func(conn, write int32) bool { return conn == 1 && write == 2 }}
	base := settings()
	base.DialContext = f.dial
	tr := newTransport(t, base)
	for i := range 3 {
		if got := outcomeOf(t.Context(), tr, url); got.Body != "{}" {
			t.Errorf("request %d = %+v, want an answer", i, got)
		}
	}
	if d, w := f.dials.Load(), f.written.Load(); d != 2 || w != 3 {
		t.Errorf("%d dials, %d requests written, want 2 and 3", d, w)
	}

	f = &faulty{failing: func(int32, int32) bool { return true }}
	base = settings()
	base.DialContext = f.dial
	_, err := post(t.Context(), newTransport(t, base), url, "{}")
	if !errors.Is(err, syscall.EPIPE) || f.dials.Load() != 1 {
		t.Errorf("a new connection that cannot be written to: error %v after %d dials, want %v after one", err, f.dials.Load(), syscall.EPIPE)
	}
}

// A request that the host may have seen is never sent again.
func TestTransport_neverTwice(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if requests.Add(1) == 1 {
			_, _ = io.WriteString(w, "{}")
			return
		}
		panic(http.ErrAbortHandler) // hangs up
	}))
	defer server.Close()
	tr := newTransport(t, settings())
	outcomeOf(t.Context(), tr, server.URL)
	if got := outcomeOf(t.Context(), tr, server.URL); !got.Failed || requests.Load() != 2 {
		t.Errorf("a kept connection that ended without an answer = %+v after %d requests, want an error after 2", got, requests.Load())
	}
}

// The end of a request's context ends the exchange, wherever it is, and its connection.
func TestTransport_cancelled(t *testing.T) {
	why := errors.New("enough")
	for name, part := range map[string]string{
		"before the answer": "",
		"in the head":       "HTTP/1.1 200 OK\r\nContent-",
		"in the body":       "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
		"in a chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{",
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		url, ended := half(t, part, func() { cancel(why) })
		resp, err := post(ctx, newTransport(t, settings()), url, "{}")
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if !errors.Is(err, why) {
			t.Errorf("%s: error %v, want %v", name, err, why)
		}
		<-ended
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	url, connections := answering(t, ok, true)
	if _, err := post(ctx, newTransport(t, settings()), url, "{}"); !errors.Is(err, why) || connections.Load() != 0 {
		t.Errorf("before the dial: error %v after %d connections, want %v after none", err, connections.Load(), why)
	}
}

// half is a server that gives a part of an answer, calls then, and tells when its
// caller has hung up.
func half(t *testing.T, part string, then func()) (url string, ended <-chan struct{}) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close() //nolint:errcheck // a test's
		in := bufio.NewReader(conn)
		if req, err := http.ReadRequest(in); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
		}
		_, _ = io.WriteString(conn, part)
		then()
		_, _ = in.ReadByte()
	}()
	return "http://" + l.Addr().String(), done
}

// A connection whose answer came before its request was given up is used again, and
// the end of that request's context has no part in it any more.
func TestTransport_cancelledLater(t *testing.T) {
	url, connections := answering(t, ok, true)
	tr := newTransport(t, settings())
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		if got := outcomeOf(ctx, tr, url); got.Body != "{}" {
			t.Fatalf("answer %+v, want {}", got)
		}
		cancel()
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("10 requests took %d connections, want 1", n)
	}
}

// No more connections are kept than the settings say.
func TestTransport_maxIdle(t *testing.T) {
	var all, open sync.WaitGroup
	all.Add(10)
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		all.Done()
		all.Wait()
	}))
	open.Add(10)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			connections.Add(1)
		case http.StateClosed:
			open.Done()
		case http.StateActive, http.StateIdle, http.StateHijacked:
		}
	}
	base := start(server, false) // which keeps 4
	defer server.Close()
	tr := newTransport(t, base)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { outcomeOf(t.Context(), tr, server.URL) })
	}
	wg.Wait()
	open.Add(-4) // six are closed at once, or this hangs
	open.Wait()
	open.Add(4)
	tr.CloseIdleConnections()
	open.Wait()
	if n := connections.Load(); n != 10 {
		t.Errorf("10 requests at a time took %d connections, want 10", n)
	}
}

// pipe is a connection of a bubble that says it has a socket; nothing ever comes on that.
type pipe struct {
	net.Conn
	socket *os.File
}

func (p pipe) SyscallConn() (syscall.RawConn, error) { return p.socket.SyscallConn() }

// Connections are kept for as long as the settings say, and no longer.
func TestTransport_idleTimeout(t *testing.T) {
	silent, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // a test's
	defer held.Close()   //nolint:errcheck // a test's
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ends []time.Duration
		began := time.Now()
		base := settings()
		base.DialContext = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				defer there.Close() //nolint:errcheck // a test's
				in := bufio.NewReader(there)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						mu.Lock()
						ends = append(ends, time.Since(began))
						mu.Unlock()
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					_, _ = io.WriteString(there, ok)
				}
			}()
			return pipe{here, silent}, nil
		}
		tr := http1.New(base)
		two := func() {
			first, err1 := post(t.Context(), tr, "http://vendor.test/", "{}")
			second, err2 := post(t.Context(), tr, "http://vendor.test/", "{}")
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			for _, resp := range []*http.Response{first, second} { // the second is used last
				_, _ = io.ReadAll(resp.Body)
			}
		}
		two()
		time.Sleep(20 * time.Second)
		outcomeOf(t.Context(), tr, "http://vendor.test/")
		time.Sleep(40 * time.Second)
		mu.Lock()
		got := ends
		mu.Unlock()
		if len(got) != 2 || got[0] != 30*time.Second || got[1] != 50*time.Second {
			t.Errorf("connections ended after %v, want 30s and 50s", got)
		}
	})
}

func TestTransport_tls(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	base := start(server, true)
	defer server.Close()
	tr := newTransport(t, base)
	for range 5 {
		if got := outcomeOf(t.Context(), tr, server.URL); got.Body != "HTTP/1.1" {
			t.Errorf("answer %+v, want one by HTTP/1.1", got)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("5 requests took %d connections, want 1", n)
	}

	if _, err := post(t.Context(), newTransport(t, settings()), server.URL, "{}"); err == nil {
		t.Error("a certificate of nobody we know: no error")
	} else if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("a certificate of nobody we know: %v, want a CertificateVerificationError", err)
	}
}

// A host that does not shake hands is given up, with the error of a network.
func TestTransport_handshakeTimeout(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test's
	base := settings()
	base.TLSHandshakeTimeout = 10 * time.Millisecond
	_, err = post(t.Context(), newTransport(t, base), "https://"+l.Addr().String(), "{}")
	if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
		t.Errorf("error %v, want a timeout", err)
	}
}
