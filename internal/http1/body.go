package http1

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
)

// ending is what becomes of a connection when an answer ends.
type ending struct {
	conn    *conn
	ctx     context.Context //nolint:containedctx // the request's, which governs its answer too
	release func() bool     // false if ctx has ended, and with it the connection
	keep    bool
	over    bool
}

// reached keeps the connection if it can be used again.
func (e *ending) reached() {
	e.over = true
	if e.release() && e.keep && e.conn.in.Buffered() == 0 {
		e.conn.host.put(e.conn)
		return
	}
	e.conn.close()
}

// missed closes the connection: what is left of the answer stands in its way.
func (e *ending) missed() {
	e.over = true
	e.release()
	e.conn.close()
}

// body is the body of an answer. One goroutine reads and closes it.
type body struct {
	inner io.Reader
	left  int64 // if above 0: inner is the connection, and so much of it is the body
	end   ending
	err   error // of the last Read, for those that come after
}

// Read gives what net/http reads. Its error is that of the network, of an answer cut
// short, or why the request was given up.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		b.end.reached()
	default:
		err = cause(b.end.ctx, err)
		b.end.missed()
	}
	b.err = err
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if b.left == 0 {
		return b.inner.Read(p)
	}
	n, err := b.inner.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// Close gives the connection up unless the body was read to its end.
func (b *body) Close() error {
	if !b.end.over {
		b.end.missed()
		b.err = http.ErrBodyReadAfterClose
	}
	return nil
}

// unzip undoes the compression that every request offers to take.
func unzip(resp *http.Response) {
	if !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		return
	}
	resp.Body = &unzipped{ReadCloser: resp.Body}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength, resp.Uncompressed = -1, true
}

// unzipped is a body that was compressed.
type unzipped struct {
	io.ReadCloser
	zip *gzip.Reader
	err error
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.err == nil && u.zip == nil {
		u.zip, u.err = gzip.NewReader(u.ReadCloser)
	}
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.zip.Read(p)
	u.err = err
	return n, err
}
