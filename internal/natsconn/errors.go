package natsconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nats-io/nats.go"
)

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
		return fmt.Errorf("nats: %s does not speak TLS: use nats:// in NATS_URL, or turn TLS on there: %w", at, err)
	}
	return fmt.Errorf("nats: connect to %s: %w", at, err)
}

func absent(at string, err error) error {
	const advice = "start one with `worker dev`, or set NATS_URL"
	if errors.Is(err, nats.ErrNoServers) {
		// Nobody listens there: the client's own text would say it a second time.
		return &absentError{fmt.Sprintf("nats: no server at %s: %s", at, advice), err}
	}
	return fmt.Errorf("nats: no answer from %s: %s: %w", at, advice, err)
}

type absentError struct {
	text string
	err  error
}

func (e *absentError) Error() string { return e.text }
func (e *absentError) Unwrap() error { return e.err }
