package essapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/fault"
)

func TestClient_statuses(t *testing.T) {
	for _, tt := range []struct {
		status int
		want   meaning
	}{
		{204, ambiguous},
		{206, ambiguous},
		{301, badAction},
		{307, badAction},
		{400, ambiguous},
		{401, badAction},
		{403, badAction},
		{404, badAction},
		{405, badAction},
		{407, badAction},
		{413, permanent},
		{418, ambiguous},
		{429, throttled},
		{500, transient},
		{502, transient},
		{503, transient},
		{599, transient},
	} {
		for _, body := range []string{"", "<html>" + personName + "</html>", good} {
			f := faultOf(t, says(tt.status, body), link)
			if got := meaningOf(f); got != tt.want || f.Code != fmt.Sprintf("HTTP%d", tt.status) || f.Err != nil {
				t.Errorf("HTTP status %d = %+v, want %+v", tt.status, f, tt.want)
			}
			leaks(t, f)
		}
	}
}

func TestClient_retryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01T00:00:00Z
		for _, tt := range []struct {
			status int
			value  string
			want   time.Duration
		}{
			{429, "", time.Second},
			{429, "0", time.Second},
			{429, "20", 20 * time.Second},
			{429, "99999999", 5 * time.Minute},
			{429, "-5", time.Second},
			{429, "99999999999999999999", time.Second},
			{429, "soon", time.Second},
			{503, "20", 20 * time.Second},
			{503, "Sat, 01 Jan 2000 00:00:30 GMT", 30 * time.Second},
			{503, "Sat, 01 Jan 2000 01:00:00 GMT", 5 * time.Minute},
			{503, "Fri, 31 Dec 1999 00:00:00 GMT", 0},
			{500, "20", 0},
		} {
			f := faultOf(t, wire(func(r *http.Request) (*http.Response, error) {
				resp := response(r, tt.status, http.NoBody)
				resp.Header.Set("Retry-After", tt.value)
				return resp, nil
			}), bind)
			if f.RetryAfter != tt.want {
				t.Errorf("HTTP status %d with Retry-After %q = %s, want %s", tt.status, tt.value, f.RetryAfter, tt.want)
			}
		}
	})
}

// endless never ends and, like a real connection, fails when its request is given up.
type endless struct {
	ctx  context.Context
	slow bool
}

func (e endless) Read(p []byte) (int, error) {
	if e.slow {
		<-e.ctx.Done()
		return 0, e.ctx.Err()
	}
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestClient_endlessBodies(t *testing.T) {
	for _, status := range []int{200, 502} {
		_, err := call(t.Context(), newClient(t, wire(func(r *http.Request) (*http.Response, error) {
			return response(r, status, endless{}), nil
		})), bind)
		if f := fault.Of(err); f.Code != map[int]string{200: "AnswerTooLarge", 502: "HTTP502"}[status] {
			t.Errorf("status %d with an endless body = %v", status, err)
		}
	}
}

func TestClient_noBody(t *testing.T) {
	f := faultOf(t, wire(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: http.StatusOK}, nil }), bind)
	if f.Code != "AnswerNotJSON" {
		t.Errorf("an answer without a body = %v, want AnswerNotJSON", f)
	}
}

// hangs is a vendor that never answers, or never finishes its answer.
func hangs(inBody bool) wire {
	return func(r *http.Request) (*http.Response, error) {
		if inBody {
			return response(r, http.StatusOK, endless{r.Context(), true}), nil
		}
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
}

func TestClient_timeout(t *testing.T) {
	for _, inBody := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			f := faultOf(t, hangs(inBody), bind)
			if f.Code != "Timeout" || meaningOf(f) != transient || f.Message != "no answer within 35s" {
				t.Errorf("no answer, in body %t = %+v, want Timeout", inBody, f)
			}
			if got := time.Since(start); got != 35*time.Second {
				t.Errorf("gave up after %s, want 35s", got)
			}
		})
	}
}

// A call that its caller gives up is no fault: the error is the context's.
func TestClient_cancelled(t *testing.T) {
	draining := errors.New("draining")
	for _, inBody := range []bool{false, true} {
		for name, tt := range map[string]struct {
			give func(context.Context) (context.Context, context.CancelFunc)
			want []error
		}{
			"cancel": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				return ctx, func() { time.AfterFunc(time.Second, cancel) }
			}, []error{context.Canceled}},
			"cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				return ctx, func() { time.AfterFunc(time.Second, func() { cancel(draining) }) }
			}, []error{context.Canceled, draining}},
			"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				return ctx, func() { time.AfterFunc(time.Hour, cancel) }
			}, []error{context.DeadlineExceeded}},
			"deadline with a cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithTimeoutCause(ctx, time.Second, draining)
				return ctx, func() { time.AfterFunc(time.Hour, cancel) }
			}, []error{context.DeadlineExceeded, draining}},
			"before": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx, func() {}
			}, []error{context.Canceled}},
		} {
			synctest.Test(t, func(t *testing.T) {
				ctx, later := tt.give(t.Context())
				later()
				_, err := call(ctx, newClient(t, hangs(inBody)), bind)
				for _, want := range tt.want {
					if !errors.Is(err, want) {
						t.Errorf("%s, in body %t: %v, want %v", name, inBody, err, want)
					}
				}
				if f, ok := errors.AsType[*fault.Error](err); ok {
					t.Errorf("%s, in body %t: fault %+v, want none", name, inBody, f)
				}
			})
		}
	}
}

// An answer that is there counts, even if its caller has gone.
func TestClient_cancelledTooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := call(ctx, newClient(t, wire(func(r *http.Request) (*http.Response, error) {
		cancel()
		return response(r, http.StatusOK, strings.NewReader(good)), nil
	})), bind)
	if err != nil {
		t.Errorf("an answer before the caller's cancellation was noticed: %v, want success", err)
	}
}

func TestClient_transportErrors(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}
	for _, tt := range []struct {
		name string
		err  error
		code string
		text string // that must be in the error's
	}{
		{"no such host", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "ess.x", IsNotFound: true}}, "Unreachable", "no such host"},
		{"refused", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, "Unreachable", "connection refused"},
		{"proxy", &net.OpError{Op: "proxyconnect", Err: errors.New("connection refused")}, "Unreachable", "proxyconnect"},
		{"handshake", slowHandshake{}, "Unreachable", "TLS handshake timeout"},
		{"reset", fmt.Errorf("net/http: %w", reset), "ConnectionBroken", "connection reset by peer"},
		{"silence", &net.OpError{Op: "read", Net: "tcp", Err: syscall.ETIMEDOUT}, "ConnectionBroken", "timed out"},
		{"end", io.ErrUnexpectedEOF, "ConnectionBroken", "unexpected EOF"},
		{"server's words", fmt.Errorf("net/http: %w", errors.New(personName+personNumber)), "ConnectionBroken", "*errors.errorString"},
	} {
		f := faultOf(t, wire(func(*http.Request) (*http.Response, error) { return nil, tt.err }), link)
		if meaningOf(f) != transient || f.Code != tt.code || !strings.Contains(f.Error(), tt.text) || !errors.Is(f, tt.err) {
			t.Errorf("%s = %v, want transient %s with %q and its cause", tt.name, f, tt.code, tt.text)
		}
		leaks(t, f)
	}
}

type slowHandshake struct{}

func (slowHandshake) Error() string   { return "net/http: TLS handshake timeout" }
func (slowHandshake) Timeout() bool   { return true }
func (slowHandshake) Temporary() bool { return true }

// From here on: the client's own transport, over real sockets on loopback.

func clientOf(t *testing.T, endpoint string) *essapi.Client {
	t.Helper()
	cfg := config()
	cfg.Endpoint, cfg.Timeout = endpoint, time.Minute
	return newClientWith(t, cfg, essapi.Options{})
}

func TestTransport(t *testing.T) {
	var calls, elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	bomb := zip(make([]byte, 3<<20)) // 3 KiB on the wire
	mux := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verify(r, body, sampleKey); err != nil {
			t.Errorf("signature over a real connection: %v", err)
		}
		switch calls.Add(1) {
		case 1:
			w.Header().Set("Location", other.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
		case 2:
			w.Header().Set("Location", "http://%zz")
			w.WriteHeader(http.StatusMovedPermanently)
		case 3:
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Errorf("Accept-Encoding %q, want gzip", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zip([]byte(good)))
		case 4:
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		case 5:
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, good)
		case 6:
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, good)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c := clientOf(t, server.URL)
	for i, want := range []string{"HTTP307", "HTTP301", "", "AnswerTooLarge", "ConnectionBroken", "ConnectionBroken"} {
		_, err := call(t.Context(), c, link)
		if got := codeOf(err); got != want {
			t.Errorf("call %d = %v, want %q", i+1, err, want)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("the redirect's target got %d requests, want 0", n)
	}
}

func zip(b []byte) []byte {
	var buf bytes.Buffer
	z, _ := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	_, _ = z.Write(b)
	_ = z.Close()
	return buf.Bytes()
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.Of(err).Code
}

// Connections are kept for the next call, after refusals and faults too.
func TestTransport_keepsConnections(t *testing.T) {
	var calls, connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, strings.Repeat("<p>sorry</p>", 1000))
			return
		}
		_, _ = io.WriteString(w, good)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := clientOf(t, server.URL)
	for range 20 {
		_, _ = call(t.Context(), c, bind)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("20 calls took %d connections, want 1", n)
	}
}

func TestTransport_faults(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	// Nobody listens on the port of a client's end, and nobody else gets it.
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", plain.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // a test's
	for _, tt := range []struct {
		name, endpoint, code string
		want                 meaning
	}{
		{"certificate of nobody we know", secure.URL, "CertificateInvalid", badAction},
		{"plain http on the port", strings.Replace(plain.URL, "http:", "https:", 1), "NotTLS", badAction},
		{"nobody there", "http://" + client.LocalAddr().String(), "Unreachable", transient},
		{"words of a broken server", babbling(t, personName+" "+personNumber+"\r\n\r\n"), "ConnectionBroken", transient},
		{"words in a header", babbling(t, "HTTP/1.1 200 OK\r\n"+personName+personNumber+"\r\n\r\n"), "ConnectionBroken", transient},
		{"closed at once", babbling(t, ""), "ConnectionBroken", transient},
		{"cut off", babbling(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"+good[:50]), "ConnectionBroken", transient},
		{"headers without end", babbling(t, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X: "+personName+"\r\n", 20000)), "ConnectionBroken", transient},
	} {
		_, err := call(t.Context(), clientOf(t, tt.endpoint), link)
		if err == nil {
			t.Errorf("%s: success, want %s", tt.name, tt.code)
			continue
		}
		if f := fault.Of(err); f.Code != tt.code || meaningOf(f) != tt.want {
			t.Errorf("%s = %v, want %s", tt.name, err, tt.code)
		}
		leaks(t, err)
	}
}

// babbling is a server that reads a request, writes this, and hangs up.
func babbling(t *testing.T, answer string) (url string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(conn, answer)
			}
			_ = conn.Close()
		}
	}()
	return "http://" + l.Addr().String()
}
