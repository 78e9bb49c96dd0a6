//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package natsd

import (
	"errors"
	"fmt"
)

// lock fails: without a lock two servers could destroy each other's store.
func lock(string) (unlock func() error, err error) {
	return nil, fmt.Errorf("lock it: %w", errors.ErrUnsupported)
}
