package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
)

// maxBody is the largest body that is sent in one piece with its head. It fits into
// the socket's buffer, so that a host that answers before it has read cannot block us.
const maxBody = 64 << 10

// maxKept is the largest buffer kept for the next request.
const maxKept = 16 << 10

// buffer is a request as it goes over the wire.
type buffer struct{ b []byte }

func newBuffer() any { return &buffer{make([]byte, 0, 2<<10)} }

func (t *Transport) recycle(o *buffer) {
	if cap(o.b) <= maxKept {
		t.buffers.Put(o)
	}
}

// plain reports whether there is nothing about a request that takes more than writing
// it down.
func plain(req *http.Request) bool {
	if req.Method != http.MethodPost || req.Body == nil || req.ContentLength <= 0 || req.ContentLength > maxBody {
		return false
	}
	if req.Close || len(req.TransferEncoding) > 0 || len(req.Trailer) > 0 || req.URL.User != nil || !printable(target(req)) || !printable(req.Host) {
		return false
	}
	for name, values := range req.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Upgrade", "Expect", "Accept-Encoding", "Range":
			return false
		}
		if !isToken(name) {
			return false
		}
		for _, v := range values {
			if !isValue(v) {
				return false
			}
		}
	}
	return true
}

// fill writes the request down and closes its body.
func (o *buffer) fill(req *http.Request) error {
	b := append(o.b[:0], "POST "...)
	b = append(b, target(req)...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if req.Host != "" {
		b = append(b, req.Host...)
	} else {
		b = append(b, req.URL.Host...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, req.ContentLength, 10)
	for name, values := range req.Header {
		for _, v := range values {
			b = append(b, "\r\n"...)
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
		}
	}
	b = append(b, "\r\nAccept-Encoding: gzip\r\n\r\n"...)
	head, size := len(b), int(req.ContentLength)
	b = slices.Grow(b, size+1)[:head+size+1] // one byte more, to see whether the body ends there
	n, err := io.ReadFull(req.Body, b[head:])
	o.b = b[:head+size]
	switch {
	case n == size && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)):
		err = nil
	case err == nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		err = errors.New("it is shorter or longer")
	}
	if err = errors.Join(err, req.Body.Close()); err != nil {
		return fmt.Errorf("read the request's body of %d bytes: %w", size, err)
	}
	return nil
}

func target(req *http.Request) string {
	if u := req.URL; u.Path == "/" && u.Opaque == "" && u.RawQuery == "" && !u.ForceQuery {
		return "/"
	}
	return req.URL.RequestURI()
}

// printable reports whether s is ASCII without spaces and control characters.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// isToken reports whether s may be a header's name (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != ""
}

// isValue reports whether s may be a header's value as it stands.
func isValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[len(s)-1] != ' '
}
