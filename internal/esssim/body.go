package esssim

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// pieces is into how many parts a slow body is cut.
const pieces = 10

// cutUp divides a body into pieces of about the same size.
func cutUp(body []byte) [][]byte {
	parts := make([][]byte, pieces)
	for i := range parts {
		parts[i] = body[i*len(body)/pieces : (i+1)*len(body)/pieces]
	}
	return parts
}

// inBody is the body of a response that never was on a wire.
type inBody struct {
	ctx   context.Context // the request's: a response's body ends with it
	rest  []byte          // there to be read
	later [][]byte        // comes after a pause each
	pace  time.Duration
	cut   bool // it breaks off at its end

	close  sync.Once
	closed chan struct{}
}

// Read gives the next bytes: what there is, or a piece after its pause.
func (b *inBody) Read(p []byte) (int, error) {
	for {
		select {
		case <-b.closed:
			return 0, http.ErrBodyReadAfterClose
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		default:
		}
		switch {
		case len(b.rest) > 0:
			n := copy(p, b.rest)
			b.rest = b.rest[n:]
			return n, nil
		case len(b.later) > 0:
			b.pause()
			b.rest, b.later = b.later[0], b.later[1:]
		case b.cut:
			return 0, io.ErrUnexpectedEOF
		default:
			return 0, io.EOF
		}
	}
}

// pause waits for the next piece, the end of the request, or Close.
func (b *inBody) pause() {
	t := time.NewTimer(b.pace)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.ctx.Done():
	case <-b.closed:
	}
}

// Close ends a Read that waits.
func (b *inBody) Close() error {
	b.close.Do(func() { close(b.closed) })
	return nil
}

// errReset is what a client reads off a connection its peer has reset.
func errReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}
