//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package natsd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

// lock takes the file at path for this server and writes the process id into it.
// The server has no lock of its own: two of them on one directory both confirm
// messages and lose each other's. The system frees the lock when the process
// ends, however it ends; the file stays, since removing it would let two others lock
// two files of one name.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the directory of the configuration
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close() //nolint:errcheck // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, inUse(f)
		}
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
	if err := sign(f); err != nil {
		return nil, errors.Join(fmt.Errorf("sign %q: %w", path, err), f.Close())
	}
	return f.Close, nil
}

func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func inUse(f *os.File) error {
	pid, err := io.ReadAll(io.LimitReader(f, 32))
	pid = bytes.TrimSpace(pid)
	if err != nil || len(pid) == 0 { // the other has locked it and not yet signed
		return errors.New("in use by another NATS server")
	}
	return fmt.Errorf("in use by the NATS server of process %s", pid)
}
