package esssim

import (
	"cmp"
	"maps"
	"net"
	"net/http"
	"strconv"
)

// ServeHTTP is the vendor at "/", and its controls below "/sim/": faults, state
// and calls (README.md). Resets and cut bodies are real ones.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rep, err := s.handle(r, r.Host)
	if err != nil {
		hangUp(w, false) // the caller has left, or sent only half of a body
		return
	}
	if rep.status == 0 {
		hangUp(w, true)
		return
	}
	body := rep.packed()
	maps.Copy(w.Header(), rep.header)
	if rep.gzip {
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(rep.status)
	if rep.cut {
		_, _ = w.Write(body[:len(body)/2])        //nolint:gosec // no browser is meant to read this
		_ = http.NewResponseController(w).Flush() // a taken-over connection forgets what is buffered
		hangUp(w, false)
		return
	}
	rep.write(w, r, body)
}

// write sends a body, at once or in pieces.
func (r reply) write(w http.ResponseWriter, req *http.Request, body []byte) {
	if r.over == 0 {
		_, _ = w.Write(body) //nolint:gosec // no browser is meant to read this; a caller who has left needs no answer
		return
	}
	flush := http.NewResponseController(w).Flush
	for _, part := range cutUp(body) {
		if flush() != nil || sleep(req.Context(), r.over/pieces) != nil {
			return
		}
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}

// hangUp closes the connection: with a reset, or just so. Where there is no
// connection to take over, the server is asked to.
func hangUp(w http.ResponseWriter, withReset bool) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && withReset {
		_ = tcp.SetLinger(0) // sends RST instead of FIN
	} else {
		_ = buf.Flush()
	}
	_ = conn.Close()
}

// RoundTrip answers like ServeHTTP, without sockets: a reset is an error in the
// shape of the net package's, a cut body ends in io.ErrUnexpectedEOF. It waits
// by timers only, ends when the request's context does, and leaves no goroutine
// behind. As http.Transport does, it unpacks a gzip answer the caller did not ask for.
func (s *Sim) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	rep, err := s.handle(req, cmp.Or(req.Host, req.URL.Host))
	if err != nil {
		return nil, err
	}
	if rep.status == 0 {
		return nil, errReset()
	}
	return rep.response(req), nil
}

// response builds what a transport would have read.
func (r reply) response(req *http.Request) *http.Response {
	header := r.header
	body := r.body
	length := int64(len(body))
	unpacked := false
	if r.gzip {
		if req.Header.Get("Accept-Encoding") == "" {
			unpacked, length = true, -1
		} else {
			header.Set("Content-Encoding", "gzip")
			body = r.packed()
			length = int64(len(body))
		}
	}
	if !unpacked {
		header.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	in := &inBody{ctx: req.Context(), rest: body, closed: make(chan struct{})}
	switch {
	case r.cut:
		in.rest, in.cut = body[:len(body)/2], true
	case r.over > 0:
		in.rest, in.later, in.pace = nil, cutUp(body), r.over/pieces
	}
	return &http.Response{
		Status:        strconv.Itoa(r.status) + " " + http.StatusText(r.status),
		StatusCode:    r.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          in,
		ContentLength: length,
		Uncompressed:  unpacked,
		Request:       req,
	}
}
