package natsconn

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
)

// guard keeps what is sent from being read on the way, unless that is allowed. Beyond
// loopback the connection must become TLS before anything is sent, the login first of
// all; a server without it is an error. To loopback plain text will do, but then
// the connection stays there: the servers of a cluster tell of each other, and the
// client goes on with any of them.
func (c Config) guard() []nats.Option {
	switch {
	case c.AllowPlaintext || c.asksTLS():
		return nil
	case c.URL.loopback():
		return []nats.Option{nats.SetCustomDialer(&net.Dialer{Timeout: nats.DefaultTimeout, Control: stayHere})}
	}
	return []nats.Option{nats.Secure()}
}

// asksTLS is whether the client will take nothing but TLS of any server.
func (c Config) asksTLS() bool {
	if c.CA != "" || c.Cert != "" {
		return true
	}
	for _, s := range c.URL.list() {
		if strings.HasPrefix(s, "tls://") || strings.HasPrefix(s, "wss://") {
			return true
		}
	}
	return false
}

// stayHere refuses to connect to other machines. It sees the address as it was resolved.
func stayHere(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err == nil && isLoopback(host) {
		return nil
	}
	return fmt.Errorf("%s is beyond loopback and TLS was not asked for: name it in NATS_URL, or set NATS_ALLOW_PLAINTEXT=true", address)
}

// loopback is whether all servers are on this machine, by their names.
func (u URLs) loopback() bool {
	for _, s := range u.list() {
		p, err := url.Parse(withScheme(s))
		if err != nil || !isLoopback(p.Hostname()) {
			return false
		}
	}
	return true
}

func isLoopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}
