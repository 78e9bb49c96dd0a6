package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzQuick holds quick to net/http: what it reads, that reads alike.
func FuzzQuick(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nServer: nginx\r\ncontent-type: a/b; c=\"d\"\r\nContent-Length: 2\r\nConnection: keep-alive\r\nX-A:  b \t \r\n\r\n{}x",
		"HTTP/1.1 200 \r\nContent-Length: 02\r\n\r\n{",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nPragma: no-cache\r\nTrailer: X\r\n\r\n{}",
		"HTTP/1.1 200  OK\r\nContent-Length: 2\r\nx_y: \r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n z\r\n\r\n{}",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		req := &http.Request{Method: http.MethodPost}
		in := bufio.NewReaderSize(bytes.NewReader(answer), 1<<16)
		_, _ = in.Peek(1)
		got := quick(in, req)
		if got == nil {
			if in.Buffered() != min(len(answer), 1<<16) {
				t.Error("quick has read what it left to others")
			}
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), req)
		if err != nil {
			t.Fatalf("net/http: %v, but quick reads it", err)
		}
		wantBody, wantErr := io.ReadAll(want.Body)
		b := body{inner: in, left: got.ContentLength}
		var gotBody bytes.Buffer
		var gotErr error
		for p := make([]byte, 512); gotErr == nil; {
			var n int
			n, gotErr = b.read(p)
			gotBody.Write(p[:n])
		}
		if gotErr == io.EOF { //nolint:errorlint // as ReadAll does
			gotErr = nil
		}
		if gotErr != wantErr || !bytes.Equal(gotBody.Bytes(), wantBody) { //nolint:errorlint // the very same
			t.Errorf("body %q, error %v, want %q, %v", gotBody.Bytes(), gotErr, wantBody, wantErr)
		}
		want.Body = nil
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(), cmp.Comparer(func(a, b *http.Request) bool { return a == b })); diff != "" {
			t.Errorf("head (-net/http +quick):\n%s", diff)
		}
	})
}

// Answers as servers mostly write them are read by quick, or it is of no use.
func TestQuick(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 03:21:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sun, 22 Nov 2026 03:21:00 GMT\r\nContent-Length: 2\r\n\r\n{}",
	} {
		in := bufio.NewReader(bytes.NewReader([]byte(answer)))
		_, _ = in.Peek(1)
		if quick(in, &http.Request{Method: http.MethodPost}) == nil {
			t.Errorf("quick(%q) = nil, want the answer", answer)
		}
	}
}
