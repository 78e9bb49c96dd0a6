//go:build unix

package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
)

// hangUp is a handler that answers properly and then hangs up without a word.
func hangUp(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, out, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = out.WriteString(ok)
	_ = out.Flush()
	_ = conn.Close()
}

// A kept connection that the host has closed meanwhile is not used.
func TestTransport_stale(t *testing.T) {
	for _, secure := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(hangUp))
		base := start(server, secure)
		dial := base.DialContext
		var socket net.Conn // dialled last
		base.DialContext = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			socket, err = dial(ctx, network, addr)
			return socket, err
		}
		tr := newTransport(t, base)
		for i := range 3 {
			if got := outcomeOf(t.Context(), tr, server.URL); got.Body != "{}" {
				t.Errorf("TLS %t, request %d = %+v, want an answer", secure, i, got)
			}
			await(t, socket)
		}
		server.Close()
	}
}

// await waits until something has come by a connection that nobody reads, its end perhaps,
// and leaves it there.
func await(t *testing.T, conn net.Conn) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		return !errors.Is(err, syscall.EAGAIN)
	})
	if err != nil {
		t.Fatal(err)
	}
}
