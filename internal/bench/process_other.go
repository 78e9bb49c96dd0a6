//go:build !linux

package bench

import "syscall"

// withUs can do nothing here: a child outlives us if we are killed.
func withUs() *syscall.SysProcAttr { return nil }
