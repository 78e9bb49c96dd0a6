// Package keys makes what the servers and users of a deployment prove themselves with:
// an authority, a certificate for each server, a password for each role. It is for
// machines that have no such thing yet, such as one that runs docker-compose.yml.
//
// Its one rule: what is there and good stays, and nothing is readable for anybody else.
// It may so be run before every start, and be killed at any moment.
package keys

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"golang.org/x/crypto/bcrypt"

	"essworker/internal/roles"
)

// Names of what is made. A server's folder has what deploy/nats/cluster.conf looks for
// in /etc/nats/keys, a role's what a command needs to log in.
const (
	AuthorityDir  = "authority" // not for anybody: who has it can make every certificate
	AuthorityFile = "ca.crt"
	LoginFile     = "login.yaml" // a --config file: user and password
)

const (
	authorityKey = "ca.key"
	serverCert   = "server.crt"
	serverKey    = "server.key"
)

// Config says what to make, and where.
type Config struct {
	Dir     string   // made if missing
	Servers []string // the names or addresses by which the servers are reached
	Users   []roles.User
}

var serverPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?$`)

// Validate reports a server that cannot have a folder, by its flag.
func (c Config) Validate() error {
	for _, s := range c.Servers {
		_, role := roles.Of(s)
		if !serverPattern.MatchString(s) || s == AuthorityDir || role {
			return fmt.Errorf("--server: %q must be a host's name or address, and not that of a role", s)
		}
	}
	return nil
}

// Make makes what is missing, and what is about to end, and gives the files it has
// written, relative to the folder. A folder is one process's at a time.
func (c Config) Make() (written []string, err error) {
	m := maker{dir: c.Dir}
	err = m.all(c)
	return m.written, err
}

type maker struct {
	dir     string
	written []string
}

func (m *maker) all(c Config) error {
	ca, err := m.authority()
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	passwords, err := m.passwords(c.Users)
	if err != nil {
		return fmt.Errorf("passwords: %w", err)
	}
	for _, u := range c.Users {
		if err := m.keep(filepath.Join(string(u.Role), AuthorityFile), ca.pem); err != nil {
			return err
		}
	}
	for _, server := range c.Servers {
		err := errors.Join(
			m.keep(filepath.Join(server, AuthorityFile), ca.pem),
			m.keep(filepath.Join(server, filepath.Base(roles.PasswordsFile)), passwords),
			m.server(ca, server),
		)
		if err != nil {
			return fmt.Errorf("server %s: %w", server, err)
		}
	}
	return nil
}

// passwords gives what the servers know of them, which is hashes. It is written last, so
// that every password it speaks of can be read by its user.
func (m *maker) passwords(users []roles.User) ([]byte, error) {
	file := filepath.Join(AuthorityDir, filepath.Base(roles.PasswordsFile))
	known, err := m.read(file)
	if err != nil {
		return nil, err
	}
	if m.complete(known, users) {
		return known, nil
	}
	text := []byte("# Made by \"worker keys\": hashes of the passwords in each role's " + LoginFile + ".\n")
	for _, u := range users {
		password := rand.Text()
		// Nobody guesses 128 random bits, however quick a guess is; and each login costs
		// the server the hash.
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			return nil, err
		}
		text = fmt.Appendf(text, "%s: %q\n", u.PasswordVariable(), hash)
		login := fmt.Appendf(nil, "nats-user: %q\nnats-password: %q\n", u.Name, password)
		if err := m.write(filepath.Join(string(u.Role), LoginFile), login); err != nil {
			return nil, err
		}
	}
	return text, m.write(file, text)
}

// complete tells whether every user has a password that the servers know.
func (m *maker) complete(known []byte, users []roles.User) bool {
	return !slices.ContainsFunc(users, func(u roles.User) bool {
		login, err := m.read(filepath.Join(string(u.Role), LoginFile))
		return err != nil || !bytes.Contains(login, fmt.Appendf(nil, "%q", u.Name)) ||
			!bytes.Contains(known, []byte(u.PasswordVariable()+": "))
	})
}

// keep makes a file hold the text.
func (m *maker) keep(name string, text []byte) error {
	if there, err := m.read(name); err != nil || bytes.Equal(there, text) {
		return err
	}
	return m.write(name, text)
}

// read gives nothing for a file that is not there.
func (m *maker) read(name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(m.dir, name)) //nolint:gosec // in the folder that the operator names
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// write puts a file in its place whole, for us alone to read.
func (m *maker) write(name string, text []byte) error {
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = cmp.Or(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %q: %w", path, err), os.Remove(f.Name()))
	}
	m.written = append(m.written, name)
	return nil
}
