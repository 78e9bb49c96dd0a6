package essapi_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/fault"
)

// Real sockets, and a network or a vendor that does its worst with them. After each of
// these a connection that nobody can trust is not used again, and the next call is good.

// Time limits of calls: of one that never ends, of one that never ends but has to begin,
// and of one that ends by itself, however busy the machine.
const (
	brief    = time.Second
	moderate = 3 * time.Second
	patient  = time.Minute
)

// caller gives clients of an endpoint with time limits of their own, which have their
// connections in common.
func caller(t *testing.T, endpoint string) (within func(limit time.Duration) *essapi.Client) {
	t.Helper()
	cfg, rt := config(), essapi.NewTransport()
	cfg.Endpoint, cfg.AllowHTTP = endpoint, true
	return func(limit time.Duration) *essapi.Client {
		t.Helper()
		cfg.Timeout = limit
		return newClientWith(t, cfg, essapi.Options{Transport: rt})
	}
}

// host listens, and treats the n-th connection, from 1, after it has read a request, as
// serve does; as long as that gives true it reads the next.
func host(t *testing.T, serve func(n int32, conn *net.TCPConn) bool) (l net.Listener, connections *atomic.Int32) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	connections = new(atomic.Int32)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n := connections.Add(1)
			go func() {
				defer conn.Close() //nolint:errcheck // a test's
				for in := bufio.NewReader(conn); ; {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					if !serve(n, conn.(*net.TCPConn)) {
						return
					}
				}
			}()
		}
	}()
	return l, connections
}

func answers(conn net.Conn) bool {
	_, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(good), good)
	return err == nil
}

// drips writes a text one byte at a time, and then spaces for ever.
func drips(conn net.Conn, text string) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for rest := text + strings.Repeat(" ", 1<<20); rest != ""; rest = rest[1:] {
		if _, err := io.WriteString(conn, rest[:1]); err != nil {
			return false
		}
		<-tick.C
	}
	return false
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	silent := func(conn net.Conn) bool { _, _ = io.Copy(io.Discard, conn); return false } // until the client hangs up
	for _, tt := range []struct {
		name, code string
		limit      time.Duration
		first      func(conn *net.TCPConn) bool
	}{
		{"a header that drips", "Timeout", brief, func(conn *net.TCPConn) bool { return drips(conn, "HTTP/1.1 200 OK\r\nX-Slow: ") }},
		{"a body that drips", "Timeout", brief, func(conn *net.TCPConn) bool {
			return drips(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		}},
		{"chunks that drip", "Timeout", brief, func(conn *net.TCPConn) bool {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			return drips(conn, "fffff\r\n"+good)
		}},
		{"an error page that drips", "HTTP502", moderate, func(conn *net.TCPConn) bool {
			_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 1000000\r\n\r\n")
			return drips(conn, "<html>")
		}},
		{"a reset within the answer", "ConnectionBroken", patient, func(conn *net.TCPConn) bool {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(good), good[:20])
			_ = conn.SetLinger(0)
			return false
		}},
		{"a reset before it", "ConnectionBroken", patient, func(conn *net.TCPConn) bool { _ = conn.SetLinger(0); return false }},
		{"no answer, and no end", "Timeout", brief, func(conn *net.TCPConn) bool { return silent(conn) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, connections := host(t, func(n int32, conn *net.TCPConn) bool {
				if n == 1 {
					return tt.first(conn)
				}
				return answers(conn)
			})
			within := caller(t, "http://"+l.Addr().String())
			_, err := call(t.Context(), within(tt.limit), bind)
			if f := fault.Of(err); f == nil || f.Code != tt.code || meaningOf(f) != transient {
				t.Errorf("the call = %v, want a transient %s", err, tt.code)
			}
			if _, err := call(t.Context(), within(patient), bind); err != nil || connections.Load() != 2 {
				t.Errorf("the next call = %v on connection %d, want success on a new one", err, connections.Load())
			}
		})
	}
}

// TestNetwork_halfOpen has the peer vanish after a good answer, without a word, as when
// a machine loses its power or a firewall forgets: the connection looks as good as any.
func TestNetwork_halfOpen(t *testing.T) {
	t.Parallel()
	served := 0
	l, connections := host(t, func(n int32, conn *net.TCPConn) bool {
		if n == 1 {
			if served++; served > 1 {
				_, _ = io.Copy(io.Discard, conn)
				return false
			}
		}
		return answers(conn)
	})
	within := caller(t, "http://"+l.Addr().String())
	var got []string
	for _, limit := range []time.Duration{patient, brief, patient} {
		_, err := call(t.Context(), within(limit), bind)
		got = append(got, fmt.Sprintf("%s on connection %d", codeOf(err), connections.Load()))
	}
	if want := " on connection 1, Timeout on connection 1,  on connection 2"; strings.Join(got, ", ") != want {
		t.Errorf("calls = %q, want %q", strings.Join(got, ", "), want)
	}
}

// TestNetwork_names has name servers fail, refuse, know nothing and say nothing, and
// then recover. It changes the resolver of the whole process, so it is not parallel.
func TestNetwork_names(t *testing.T) {
	l, _ := host(t, func(_ int32, conn *net.TCPConn) bool { return answers(conn) })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var code atomic.Int32 // of DNS; -1 is silence
	server := nameServer(t, &code)
	was := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server)
	}}
	defer func() { net.DefaultResolver = was }()
	within := caller(t, "http://vendor.invalid.:"+port)
	for _, tt := range []struct {
		code  int32
		fault string
		limit time.Duration
	}{{2, "Unreachable", patient}, {5, "Unreachable", patient}, {3, "Unreachable", patient}, {-1, "Timeout", brief}, {0, "", patient}} {
		code.Store(tt.code)
		_, err := call(t.Context(), within(tt.limit), bind)
		if f := fault.Of(err); codeOf(err) != tt.fault || f != nil && meaningOf(f) != transient {
			t.Errorf("with name servers that answer %d: %v, want %q", tt.code, err, tt.fault)
		}
	}
}

// nameServer answers every question about an IPv4 address with 127.0.0.1, or with a
// code that says why not.
func nameServer(t *testing.T, code *atomic.Int32) (addr string) {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || n < 12 || code.Load() < 0 {
				continue
			}
			end := 12 // of the question: its name, type and class
			for end < n && buf[end] != 0 {
				end += int(buf[end]) + 1
			}
			end += 5
			if end > n {
				continue
			}
			answer := append(make([]byte, 0, 64), buf[:end]...)
			answer[2], answer[3] = 0x84, byte(code.Load()) // an answer, with authority
			binary.BigEndian.PutUint16(answer[6:], 0)
			binary.BigEndian.PutUint32(answer[8:], 0)
			if isA := answer[end-3] == 1; isA && code.Load() == 0 {
				binary.BigEndian.PutUint16(answer[6:], 1)
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1)
			}
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	return conn.LocalAddr().String()
}
