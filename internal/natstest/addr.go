package natstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// The ports that Linux never takes for a client's end, nor for a listener that has not
// asked for one: an address from there is still free when a server comes to listen on it.
// Test programs run side by side and servers come back to their ports, so each program
// takes a block to itself: it listens on the block's first port as long as it runs, and
// gives out each of the others once.
const (
	firstPort = 20_000
	blocks    = 60
	blockSize = 200
)

// ports are this program's blocks; a program has them in common, so there is nowhere else
// to keep them.
var ports struct {
	mu     sync.Mutex
	claims []net.Listener // kept, or the collector would close them
	next   int
	end    int
}

// FreeAddrs are addresses that nobody listens on, for servers that must know each
// other's before any of them has started, and for servers that are not there. No other
// call, in this program or another one, gives the same.
func FreeAddrs(t testing.TB, n int) []string {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	var list []string
	for len(list) < n {
		if ports.next == ports.end {
			claimBlock(t)
		}
		if l := listen(ports.next); l != nil { // nobody else's
			_ = l.Close()
			list = append(list, l.Addr().String())
		}
		ports.next++
	}
	return list
}

// claimBlock takes a block that no program has. One that is used up stays taken: servers
// may still come back to its ports.
func claimBlock(t testing.TB) {
	t.Helper()
	for _, i := range rand.Perm(blocks) { //nolint:gosec // any will do
		first := firstPort + i*blockSize
		if l := listen(first); l != nil {
			ports.claims = append(ports.claims, l)
			ports.next, ports.end = first+1, first+blockSize
			return
		}
	}
	t.Fatal("every block of ports is taken by other test programs")
}

func listen(port int) net.Listener {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // at once
	if err != nil {
		return nil
	}
	return l
}
