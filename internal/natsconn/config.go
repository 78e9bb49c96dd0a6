package natsconn

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"essworker/internal/mask"
)

// Config says where the servers are and who we are to them. Names and meaning are
// the nats command's.
type Config struct {
	URL      URLs        `name:"nats-url" default:"nats://127.0.0.1:4222" env:"NATS_URL" placeholder:"URL" help:"NATS servers, several with commas between them."`
	Creds    string      `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"Credentials file (a JWT and its key)."`
	NKey     string      `name:"nats-nkey" env:"NATS_NKEY" placeholder:"FILE" help:"NKey seed file."`
	User     mask.Secret `name:"nats-user" env:"NATS_USER" placeholder:"USER" help:"User; without a password it is taken as a token."`
	Password mask.Secret `name:"nats-password" env:"NATS_PASSWORD" placeholder:"PASSWORD" help:"Password of the user."`
	CA       string      `name:"nats-ca" env:"NATS_CA" placeholder:"FILE" help:"Certificates to trust in place of the system's, PEM."`
	Cert     string      `name:"nats-cert" env:"NATS_CERT" placeholder:"FILE" help:"Client certificate, PEM."`
	Key      string      `name:"nats-key" env:"NATS_KEY" placeholder:"FILE" help:"Key of the client certificate, PEM."`

	InboxPrefix    string `name:"nats-inbox-prefix" env:"NATS_INBOX_PREFIX" placeholder:"PREFIX" help:"Where answers come: the user may subscribe to PREFIX.>. Without it the prefix is that of the user's role, see worker roles."`
	AllowPlaintext bool   `name:"nats-allow-plaintext" env:"NATS_ALLOW_PLAINTEXT" help:"Allow connections without TLS beyond loopback: events carry personal data in the clear."`
}

// URLs is a comma-separated list of server addresses. A URL may carry a password or
// a token, so it prints without its user part; Reveal gives it whole.
type URLs string

// Validate reports the first setting that cannot work, by its flag.
func (c Config) Validate() error {
	if err := errors.Join(c.checkURL(), c.checkInbox()); err != nil {
		return err
	}
	files := []struct{ flag, path string }{
		{"--nats-creds", c.Creds},
		{"--nats-nkey", c.NKey},
		{"--nats-ca", c.CA},
		{"--nats-cert", c.Cert},
		{"--nats-key", c.Key},
	}
	for _, f := range files {
		if err := readable(f.path); err != nil {
			return fmt.Errorf("%s: %w", f.flag, err)
		}
	}
	var who []string
	for _, w := range []struct{ flag, value string }{
		{"--nats-creds", c.Creds}, {"--nats-nkey", c.NKey}, {"--nats-user", c.User.Reveal()},
	} {
		if w.value != "" {
			who = append(who, w.flag)
		}
	}
	switch {
	case len(who) > 1:
		return fmt.Errorf("%s: say who you are in one way only", strings.Join(who, " and "))
	case c.Password != "" && c.User == "":
		return errors.New("--nats-password: needs --nats-user")
	case c.Cert != "" && c.Key == "":
		return errors.New("--nats-cert: needs its key, --nats-key")
	case c.Key != "" && c.Cert == "":
		return errors.New("--nats-key: needs its certificate, --nats-cert")
	}
	return nil
}

// checkURL never lets the client see a URL that it would quote, password and all.
func (c Config) checkURL() error {
	if err := c.URL.validate(); err != nil {
		return fmt.Errorf("--nats-url: %w", err)
	}
	if c.AllowPlaintext || c.URL.loopback() {
		return nil
	}
	// Whether nats:// becomes TLS is the server's and the client's to agree on; ws:// never does.
	for _, s := range c.URL.list() {
		if strings.HasPrefix(s, "ws://") {
			return fmt.Errorf("--nats-url: %q is not TLS: use wss://, or set NATS_ALLOW_PLAINTEXT=true", redact(s))
		}
	}
	return nil
}

func (c Config) checkInbox() error {
	for token := range strings.SplitSeq(c.InboxPrefix, ".") {
		if c.InboxPrefix != "" && (token == "" || strings.ContainsAny(token, "*> \t")) {
			return fmt.Errorf("--nats-inbox-prefix: %q must be words without wildcards, with dots between them", c.InboxPrefix)
		}
	}
	return nil
}

// options turns the settings into the client's. Files are read again at each
// connection, so that renewed credentials and certificates need no restart.
func (c Config) options() ([]nats.Option, error) {
	var opts []nats.Option
	switch {
	case c.Creds != "":
		opts = append(opts, nats.UserCredentials(c.Creds))
	case c.NKey != "":
		nkey, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("--nats-nkey: read the seed: %w", err)
		}
		opts = append(opts, nkey)
	case c.User != "" && c.Password == "":
		opts = append(opts, nats.Token(c.User.Reveal()))
	case c.User != "":
		opts = append(opts, nats.UserInfo(c.User.Reveal(), c.Password.Reveal()))
	}
	if c.CA != "" {
		opts = append(opts, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		opts = append(opts, nats.ClientCert(c.Cert, c.Key))
	}
	return append(opts, c.guard()...), nil
}

// Login is the name of the user, as far as the settings tell it: that of NATS_USER, of
// the URL, or of the JWT in the credentials file. It is empty for a token or an NKey,
// and for a file that cannot be read, which connecting reports.
func (c Config) Login() string {
	switch {
	case c.Creds != "":
		return nameInCreds(c.Creds)
	case c.User != "" && c.Password != "":
		return c.User.Reveal()
	case c.User != "" || c.NKey != "":
		return ""
	}
	for _, s := range c.URL.list() {
		p, err := url.Parse(withScheme(s))
		if err != nil {
			continue
		}
		if _, ok := p.User.Password(); ok { // without one it is a token
			return p.User.Username()
		}
	}
	return ""
}

// nameInCreds reads the name a JWT gives its user. Its signature is the server's to check.
func nameInCreds(path string) string {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return ""
	}
	token, err := nkeys.ParseDecoratedJWT(text)
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	var claims struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(body, &claims) != nil {
		return ""
	}
	return claims.Name
}

// Reveal gives the addresses whole, for the client.
func (u URLs) Reveal() string { return string(u) }

// String gives the addresses without user, password or token.
func (u URLs) String() string {
	list := u.list()
	for i, s := range list {
		list[i] = redact(s)
	}
	return strings.Join(list, ",")
}

// GoString is String, for %#v.
func (u URLs) GoString() string { return u.String() }

// LogValue is String, for slog.
func (u URLs) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText is String, for JSON and YAML.
func (u URLs) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText takes the value as it is.
func (u *URLs) UnmarshalText(b []byte) error {
	*u = URLs(b)
	return nil
}

func (u URLs) list() []string {
	var list []string
	for s := range strings.SplitSeq(string(u), ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// validate never quotes what url.Parse says: it may hold half a password.
func (u URLs) validate() error {
	list := u.list()
	if len(list) == 0 {
		return errors.New("is empty: give a server such as nats://127.0.0.1:4222")
	}
	web := 0
	for _, s := range list {
		p, err := url.Parse(withScheme(s))
		if err != nil || p.Hostname() == "" {
			return fmt.Errorf("%q is not an address such as nats://host:4222", redact(s))
		}
		if !slices.Contains([]string{"nats", "tls", "ws", "wss"}, p.Scheme) {
			return fmt.Errorf("%q: the scheme must be nats, tls, ws or wss", redact(s))
		}
		if strings.HasPrefix(p.Scheme, "ws") {
			web++
		}
	}
	if web != 0 && web != len(list) {
		return errors.New("cannot mix websocket servers (ws, wss) with others")
	}
	return nil
}

// withScheme lets "host:port" pass, as the client and the nats command do.
func withScheme(s string) string {
	if strings.Contains(s, "://") {
		return s
	}
	return "nats://" + s
}

// redact hides everything before the last @ of an address, which also covers a
// password with a / or an @ that should have been escaped; an address that is none
// is hidden whole, since it may be a piece of a password with a comma.
func redact(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		if p, err := url.Parse(withScheme(s)); err != nil || p.Hostname() == "" {
			return mask.Hidden
		}
		return s
	}
	scheme, _, ok := strings.Cut(s, "://")
	if !ok {
		return mask.Hidden + s[at:]
	}
	return scheme + "://" + mask.Hidden + s[at:]
}

func readable(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	if _, err := f.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
