package natstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// The ports that Linux never takes for a client's end, nor for a listener that has not
// asked for one: an address from there is still free when a server comes to listen on it.
const firstPort, lastPort = 20_000, 32_000

// FreeAddrs are addresses that nobody listens on, for servers that must know each
// other's before any of them has started, and for servers that are not there.
func FreeAddrs(t testing.TB, n int) []string {
	t.Helper()
	var list []string
	for range 100 * n {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort))) //nolint:noctx,gosec // closed at once; any port will do
		if err != nil {
			continue
		}
		defer l.Close() //nolint:errcheck // only when all are found: else one might be found twice
		if list = append(list, l.Addr().String()); len(list) == n {
			return list
		}
	}
	t.Fatalf("found %d free addresses, want %d", len(list), n)
	return nil
}
