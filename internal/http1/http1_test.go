package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/http1"
)

// settings are those of essapi, as far as they matter here.
func settings() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 4 << 10,
	}
}

func newTransport(t *testing.T, base *http.Transport) *http1.Transport {
	t.Helper()
	tr := http1.New(base)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func post(ctx context.Context, tr http.RoundTripper, url, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return tr.RoundTrip(req)
}

// outcome is what a caller sees of an answer.
type outcome struct {
	Failed bool
	Status string
	Proto  string
	Header http.Header
	Length int64
	Body   string
	Cut    bool // the body ended with an error
}

func outcomeOf(ctx context.Context, tr http.RoundTripper, url string) outcome {
	resp, err := post(ctx, tr, url, "{}")
	if err != nil {
		return outcome{Failed: true}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return outcome{false, resp.Status, resp.Proto, resp.Header, resp.ContentLength, string(body), err != nil}
}

// answering is a server that gives every request this answer and then, unless it
// keeps the connection, hangs up. It counts connections.
func answering(t testing.TB, answer string, keep bool) (url string, connections *atomic.Int32) {
	t.Helper()
	connections = new(atomic.Int32)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(conn net.Conn) {
		defer conn.Close() //nolint:errcheck // a test's
		in := bufio.NewReader(conn)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if _, err := io.WriteString(conn, answer); err != nil || !keep {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go serve(conn)
		}
	}()
	return "http://" + l.Addr().String(), connections
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// answers are answers of all kinds, and whether the connection can be used again.
var answers = []struct {
	name, answer string
	again        bool
}{
	{"plain", ok, true},
	{"with more fields", "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 03:21:00 GMT\r\ncontent-type: application/json\r\nContent-Length: 2\r\nConnection: keep-alive\r\nX-A:  b  \r\n\r\n{}", true},
	{"without a reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}", true},
	{"no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
	{"status without a body", "HTTP/1.1 204 No Content\r\n\r\n", true},
	{"another status", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nsorry", true},
	{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n", true},
	{"chunked with a trailer", "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n", true},
	{"chunked and long", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true},
	{"closes", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", false},
	{"ends with the connection", "HTTP/1.1 200 OK\r\n\r\n{}", false},
	{"old", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", false},
	{"announced", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok, true},
	{"announced only", "HTTP/1.1 100 Continue\r\n\r\n", false},
	{"repeated field", "HTTP/1.1 200 OK\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\n{}", true},
	{"folded field", "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\n{}", true},
	{"two equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", true},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", false},
	{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", true},
	{"length with zeros", "HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\n{}", true},
	{"length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}", false},
	{"length that is none", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}", false},
	{"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", false},
	{"cut in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{}", false},
	{"cut in the head", "HTTP/1.1 200 OK\r\nContent-Le", false},
	{"nothing", "", false},
	{"a field without a colon", "HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\n{}", false},
	{"a field with a space in its name", "HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 2\r\n\r\n{}", true},
	{"a status that is none", "HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\n{}", false},
	{"another protocol", "SSH-2.0-OpenSSH_9.9\r\n", false},
	{"another transfer encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}", false},
	{"a head without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 1000), false},
	{"compressed, it says", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", true},
	{"another content encoding", "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", true},
}

// A caller sees the same of every answer as through net/http.
func TestTransport_answers(t *testing.T) {
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := answering(t, tt.answer, false)
			base := settings()
			want, got := outcomeOf(t.Context(), base, url), outcomeOf(t.Context(), newTransport(t, base), url)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answer (-net/http +http1):\n%s", diff)
			}
		})
	}
}

// A connection is used again where the answer allows it, and only there.
func TestTransport_keepsConnections(t *testing.T) {
	for _, tt := range answers {
		if strings.Contains(tt.name, "cut") || strings.Contains(tt.name, "end") || tt.name == "nothing" || tt.name == "announced only" || tt.name == "another protocol" || tt.name == "another transfer encoding" {
			continue // there is no such answer on a connection that stays open
		}
		t.Run(tt.name, func(t *testing.T) {
			url, connections := answering(t, tt.answer, true)
			tr := newTransport(t, settings())
			for range 3 {
				outcomeOf(t.Context(), tr, url)
			}
			want := int32(3)
			if tt.again {
				want = 1
			}
			if n := connections.Load(); n != want {
				t.Errorf("3 requests took %d connections, want %d", n, want)
			}
		})
	}
}

// What is left of an answer, or comes unasked, is not taken for the next answer.
func TestTransport_leftovers(t *testing.T) {
	for name, answer := range map[string]string{"behind a plain answer": ok + ok, "behind a chunked one": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + ok} {
		url, connections := answering(t, answer, true)
		tr := newTransport(t, settings())
		for range 3 {
			if got := outcomeOf(t.Context(), tr, url); got.Body != "{}" {
				t.Errorf("%s: %+v, want the body {}", name, got)
			}
		}
		if n := connections.Load(); n != 3 {
			t.Errorf("%s: 3 requests took %d connections, want 3", name, n)
		}
	}
	url, connections := answering(t, ok, true)
	tr := newTransport(t, settings())
	for range 3 { // bodies that nobody reads to their end
		resp, err := post(t.Context(), tr, url, "{}")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("Read after Close = %v, want %v", err, http.ErrBodyReadAfterClose)
		}
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("3 answers not read took %d connections, want 3", n)
	}
}

// The host sees the request that net/http would send.
func TestTransport_request(t *testing.T) {
	seen := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		seen <- r
	}))
	defer server.Close()
	base := settings()
	for name, change := range map[string]func(*http.Request){
		"plain":            func(*http.Request) {},
		"path and query":   func(r *http.Request) { r.URL.Path, r.URL.RawQuery = "/a b/ü", "c=d&e" },
		"another host":     func(r *http.Request) { r.Host = "ess.tencentcloudapi.com" },
		"repeated field":   func(r *http.Request) { r.Header["X-A"] = []string{"1", "2", ""} },
		"lower case":       func(r *http.Request) { r.Header["x-tc-action"] = []string{"A"} },
		"own encoding":     func(r *http.Request) { r.Header.Set("Accept-Encoding", "identity") },
		"closing":          func(r *http.Request) { r.Close = true },
		"another method":   func(r *http.Request) { r.Method = http.MethodPut },
		"no method":        func(r *http.Request) { r.Method = "" },
		"length not known": func(r *http.Request) { r.ContentLength = -1 },
		"large": func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, 1<<20))), 1<<20
		},
		"expecting": func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
	} {
		t.Run(name, func(t *testing.T) {
			var got [2]*http.Request
			for i, tr := range []http.RoundTripper{base, newTransport(t, base)} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/", strings.NewReader(`{"a":1}`))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("User-Agent", "test")
				change(req)
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				got[i] = <-seen
			}
			if diff := cmp.Diff(show(t, got[0]), show(t, got[1])); diff != "" {
				t.Errorf("request (-net/http +http1):\n%s", diff)
			}
		})
	}
}

// show is what a server can tell of a request.
func show(t *testing.T, r *http.Request) any {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return []any{r.Method, r.RequestURI, r.Proto, r.Host, r.Header, r.ContentLength, r.TransferEncoding, r.Close, string(body)}
}

// A request that cannot be sent as it is, is not sent.
func TestTransport_badRequest(t *testing.T) {
	url, connections := answering(t, ok, true)
	tr := newTransport(t, settings())
	for name, change := range map[string]func(*http.Request){
		"line break in a value": func(r *http.Request) { r.Header.Set("X-A", "1\r\nX-B: 2") },
		"line break in a name":  func(r *http.Request) { r.Header["X-A: 1\r\nX-B"] = []string{"2"} },
		"shorter body":          func(r *http.Request) { r.ContentLength = 7 },
		"longer body":           func(r *http.Request) { r.ContentLength = 1 },
		"no URL":                func(r *http.Request) { r.URL = nil },
		"no host":               func(r *http.Request) { r.URL.Host = "" },
		"another scheme":        func(r *http.Request) { r.URL.Scheme = "ftp" },
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		closed := new(closing)
		req.Body = struct {
			io.Reader
			io.Closer
		}{req.Body, closed}
		change(req)
		resp, err := tr.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: sent, want an error", name)
		}
		if !closed.Load() {
			t.Errorf("%s: the body was not closed", name)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were opened, want none", n)
	}
}

type closing struct{ atomic.Bool }

func (c *closing) Close() error { c.Store(true); return nil }

// Proxies and settings that are not ours to know are net/http's.
func TestTransport_proxy(t *testing.T) {
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.RequestURI) }))
	defer proxy.Close()
	base := settings()
	base.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	resp, err := post(t.Context(), newTransport(t, base), "http://vendor.invalid/", "{}")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := asked.Load(); got != "http://vendor.invalid/" {
		t.Errorf("the proxy was asked for %v, want the vendor", got)
	}
}

// The hook that a new connection's caller relies on comes before anything is sent.
func TestTransport_gotConn(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer server.Close()
	tr := newTransport(t, settings())
	for i, reused := range []bool{false, true, true} {
		calls := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			calls++
			if info.Reused != reused || int(requests.Load()) != i {
				t.Errorf("request %d: reused %t with %d requests sent, want %t and %d", i, info.Reused, requests.Load(), reused, i)
			}
		}})
		outcomeOf(ctx, tr, server.URL)
		if calls != 1 {
			t.Errorf("request %d: GotConn was called %d times, want once", i, calls)
		}
	}
}

// A call that is given up while the hook waits, for the quota say, is not sent.
func TestTransport_givenUpInHook(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer server.Close()
	tr := newTransport(t, settings())
	for range 100 { // a connection that is being closed may still be written to
		ctx, cancel := context.WithCancel(t.Context())
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { cancel() }})
		if _, err := post(ctx, tr, server.URL, "{}"); !errors.Is(err, context.Canceled) {
			t.Fatalf("RoundTrip: %v, want %v", err, context.Canceled)
		}
	}
	server.Close() // waits for what it has been sent
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were sent, want none", n)
	}
}

func TestTransport_concurrent(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	tr := newTransport(t, settings())
	var wg sync.WaitGroup
	for i := range 16 {
		want := strings.Repeat(string(rune('a'+i)), 1<<i)
		wg.Go(func() {
			for range 20 {
				resp, err := post(t.Context(), tr, server.URL, want)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != want {
					t.Errorf("the answer has %d bytes, error %v, want the %d bytes of the request", len(got), err, len(want))
				}
			}
		})
	}
	wg.Wait()
}
