//go:build !unix

package http1

// checkable says that a kept connection can be asked whether it still lives. Where it
// cannot, net/http does all the work: it has a goroutine that notices.
const checkable = false

func silent(uintptr) bool { return false }
