//go:build unix

package http1

import (
	"errors"
	"syscall"
)

// checkable says that a kept connection can be asked whether it still lives.
const checkable = true

// silent reports whether a socket has nothing to read, not even its end. A byte it
// reads is lost.
func silent(fd uintptr) bool {
	var b [1]byte
	_, err := syscall.Read(int(fd), b[:])
	return errors.Is(err, syscall.EAGAIN)
}
