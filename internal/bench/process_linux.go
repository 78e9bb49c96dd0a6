package bench

import "syscall"

// withUs ends a child when we end, be it by kill -9.
func withUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
