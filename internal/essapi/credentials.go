package essapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"essworker/internal/mask"
)

const (
	// recheck is the shortest time between two looks at the files.
	recheck = time.Second
	// settled is the age from which files are taken for completely written.
	settled = 2 * time.Second
	// maxSecret bounds what is read of one file; session tokens reach 4 KiB.
	maxSecret = 64 << 10
)

// credential is one identity at the vendor: id, key and token belong together.
// It is immutable and told from another by its address.
type credential struct{ id, key, token string }

// secret is one part of a credential as configured: a value, a file, or neither.
type secret struct {
	name  string // of the flag, without dashes in front
	value mask.Secret
	file  string
}

// secrets are id, key and token, in this order.
type secrets [3]secret

// files are the paths of those parts that are files.
func (s secrets) files() (paths []string) {
	for _, p := range s {
		if p.file != "" {
			paths = append(paths, p.file)
		}
	}
	return paths
}

func (s secrets) given() bool {
	for _, p := range s {
		if p.value != "" || p.file != "" {
			return true
		}
	}
	return false
}

// validate wants id and key, each from one place only. The token is optional.
func (s secrets) validate() error {
	var errs []error
	for i, p := range s {
		switch {
		case p.value != "" && p.file != "":
			errs = append(errs, fmt.Errorf("--%s and --%s-file: both given, keep one", p.name, p.name))
		case p.file != "":
		case p.value != "":
			if err := p.check(p.value.Reveal()); err != nil {
				errs = append(errs, fmt.Errorf("--%s: %w", p.name, err))
			}
		case i < 2:
			variable := strings.ToUpper(strings.ReplaceAll(p.name, "-", "_"))
			errs = append(errs, fmt.Errorf("--%s: missing, set %s or %s_FILE", p.name, variable, variable))
		}
	}
	return errors.Join(errs...)
}

// check refuses what cannot stand in a header, which is also what a file looks
// like that holds something else. Its error never shows the value.
func (p secret) check(value string) error {
	value = strings.TrimSpace(value)
	if value == "" {
		return errors.New("is empty")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ',' }) {
		return errors.New("holds characters that no credential has")
	}
	return nil
}

// read gives the part's value and, for a file, when it was last written.
func (p secret) read() (string, time.Time, error) {
	if p.file == "" {
		return strings.TrimSpace(p.value.Reveal()), time.Time{}, nil
	}
	wrap := func(err error) error { return fmt.Errorf("--%s-file: %w", p.name, err) }
	info, err := os.Stat(p.file)
	if err != nil {
		return "", time.Time{}, wrap(err)
	}
	if !info.Mode().IsRegular() { // a pipe would hold the call up, and cannot be read again
		return "", time.Time{}, wrap(fmt.Errorf("%q is not a regular file", p.file))
	}
	f, err := os.Open(p.file)
	if err != nil {
		return "", time.Time{}, wrap(err)
	}
	defer f.Close() //nolint:errcheck // read only
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", time.Time{}, wrap(err)
	}
	if err := p.check(string(raw)); err != nil {
		return "", time.Time{}, wrap(fmt.Errorf("%q %w", p.file, err))
	}
	return strings.TrimSpace(string(raw)), info.ModTime(), nil
}

// read gives the whole credential and when the youngest of its files was written.
func (s secrets) read() (credential, time.Time, error) {
	var part [3]string
	var youngest time.Time
	for i, p := range s {
		value, written, err := p.read()
		if err != nil {
			return credential{}, time.Time{}, err
		}
		part[i] = value
		if written.After(youngest) {
			youngest = written
		}
	}
	return credential{id: part[0], key: part[1], token: part[2]}, youngest, nil
}

// keyring holds the credential in force and looks at its files at most once a
// second, when a call is made: no watcher, nothing to stop. Files are compared
// by content, since a rewrite within one tick of the file system's clock, or
// one that keeps size and time, shows in nothing else.
//
// A rotation writes one file after the other. A changed set is therefore taken
// only once its files are [settled] or it was seen twice; whatever was taken, the
// next look compares again, so a mismatch never stays. A set that cannot be read
// leaves the one in force.
type keyring struct {
	secrets secrets
	watched bool
	start   time.Time
	reloads metric.Int64Counter
	log     *slog.Logger

	current atomic.Pointer[credential]
	due     atomic.Int64 // time since start of the next look, as a time.Duration
	mu      sync.Mutex   // held while looking; guards what follows
	pending *credential  // a changed set, seen once
	unfit   string       // what the last look found wrong with the files; empty is nothing
}

func newKeyring(s secrets, reloads metric.Int64Counter, log *slog.Logger) (*keyring, error) {
	cred, _, err := s.read()
	if err != nil {
		return nil, err
	}
	k := &keyring{secrets: s, start: time.Now(), reloads: reloads, log: log}
	for _, p := range s {
		k.watched = k.watched || p.file != ""
	}
	k.current.Store(&cred)
	k.due.Store(int64(recheck))
	return k, nil
}

// get gives the credential in force. One caller in a second looks at the files
// first; the others do not wait for it.
func (k *keyring) get(ctx context.Context, now time.Time) *credential {
	if k.watched && int64(now.Sub(k.start)) >= k.due.Load() && k.mu.TryLock() {
		k.look(ctx, now, false)
		k.mu.Unlock()
	}
	return k.current.Load()
}

// replaced reports whether a credential the vendor refused has a successor by
// now. It looks at the files at once and takes any complete set that differs:
// nothing can be worse than the one refused.
func (k *keyring) replaced(ctx context.Context, refused *credential, now time.Time) bool {
	if !k.watched {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current.Load() == refused {
		k.look(ctx, now, true)
	}
	return k.current.Load() != refused
}

// look reads the files and takes what they hold if it differs and is to be
// trusted. The caller holds mu.
func (k *keyring) look(ctx context.Context, now time.Time, trust bool) {
	k.due.Store(int64(now.Sub(k.start) + recheck))
	next, written, err := k.secrets.read()
	k.tell(err)
	switch age := now.Sub(written); {
	case err != nil:
		k.pending = nil
		k.count(ctx, "failed")
	case next == *k.current.Load():
		k.pending = nil
	case trust, age >= settled, k.pending != nil && *k.pending == next:
		k.pending = nil
		k.current.Store(&next)
		k.count(ctx, "taken")
		k.log.Info("the vendor's credential was replaced", "files", k.secrets.files())
	default:
		k.pending = &next
	}
}

// tell says once what is wrong with the files, and once that it is over: their looks
// are a second apart.
func (k *keyring) tell(err error) {
	switch {
	case err != nil && err.Error() != k.unfit:
		k.unfit = err.Error()
		k.log.Warn("the vendor's credential files cannot be used; the last good credential stays in force", "why", err)
	case err == nil && k.unfit != "":
		k.unfit = ""
		k.log.Info("the vendor's credential files can be used again", "files", k.secrets.files())
	}
}

func (k *keyring) count(ctx context.Context, outcome string) {
	k.reloads.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
}
