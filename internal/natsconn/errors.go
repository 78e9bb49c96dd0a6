package natsconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nats-io/nats.go"
)

// DeniedError says what the server does not let this user do. The server tells it to
// the connection only, not to the one who asked.
type DeniedError struct {
	Operation string // "publish" or "subscribe"
	Subject   string
	User      string // as far as it is known: of a password login
}

// Error says what can be done about it, too.
func (e *DeniedError) Error() string {
	who := "this user"
	if e.User != "" {
		who = fmt.Sprintf("the user %q", e.User)
	}
	advice := "log in as one who may; `worker roles` tells what each role may do"
	if e.Operation == "subscribe" && strings.HasPrefix(e.Subject, "_INBOX") {
		advice = "allow it, or set NATS_INBOX_PREFIX to the prefix the user has"
	}
	return fmt.Sprintf("the NATS server does not let %s %s to %q: %s", who, e.Operation, e.Subject, advice)
}

// final says whether trying again cannot help until someone changes something.
// Failing at once shows it where it is looked for: in the start of the process.
func final(err error) bool {
	for _, e := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrSecureConnWanted, nats.ErrSecureConnRequired, nats.ErrNkeysNotSupported,
		fs.ErrNotExist, fs.ErrPermission,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}

func refused(at string, err error) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Errorf("nats: %s refuses the login (NATS_CREDS, NATS_NKEY, NATS_USER, NATS_PASSWORD): %w", at, err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("nats: %s does not speak TLS: turn it on there; else use nats:// in NATS_URL, without NATS_CA or NATS_CERT, and beyond loopback NATS_ALLOW_PLAINTEXT=true, if what is sent may be read on the way: %w", at, err)
	}
	return fmt.Errorf("nats: connect to %s: %w", at, err)
}

func absent(at string, err error) error {
	const advice = "start one with `worker dev`, or set NATS_URL"
	if errors.Is(err, nats.ErrNoServers) {
		// Nobody listens there: the client's own text would say it a second time.
		return &absentError{fmt.Sprintf("nats: no server at %s: %s", at, advice), err}
	}
	if errors.Is(err, nats.ErrTLS) { // TLS 1.3 tells of a certificate that is missing in no other way
		return fmt.Errorf("nats: %s has ended the connection after the TLS handshake: it may want a client certificate of an authority it knows (NATS_CERT, NATS_KEY): %w", at, err)
	}
	return fmt.Errorf("nats: no answer from %s: %s: %w", at, advice, err)
}

type absentError struct {
	text string
	err  error
}

func (e *absentError) Error() string { return e.text }
func (e *absentError) Unwrap() error { return e.err }
