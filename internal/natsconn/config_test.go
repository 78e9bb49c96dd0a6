package natsconn_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"essworker/internal/natsconn"
)

func TestConfig_Validate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none")
	const url = "nats://127.0.0.1:4222"
	tests := []struct {
		name string
		cfg  natsconn.Config
		want string // begin of the error; none if empty
	}{
		{"the default", natsconn.Config{URL: url}, ""},
		{"several", natsconn.Config{URL: "nats://a:1, tls://b:2 ,c:4222"}, ""},
		{"websocket", natsconn.Config{URL: "wss://a:1,wss://b:2"}, ""},
		{"everything", natsconn.Config{URL: url, Creds: file, CA: file, Cert: file, Key: file}, ""},
		{"user and password", natsconn.Config{URL: url, User: "u", Password: "p"}, ""},
		{"a token", natsconn.Config{URL: url, User: "token"}, ""},
		{"no URL", natsconn.Config{}, "--nats-url: is empty"},
		{"commas", natsconn.Config{URL: " , "}, "--nats-url: is empty"},
		{"http", natsconn.Config{URL: "http://a:1"}, `--nats-url: "http://a:1": the scheme must be nats, tls, ws or wss`},
		{"no host", natsconn.Config{URL: "nats://"}, `--nats-url: "***" is not an address`},
		{"mixed", natsconn.Config{URL: "nats://a,ws://b"}, "--nats-url: cannot mix"},
		{"a bad port, with a password", natsconn.Config{URL: "nats://u:s3cr3t@a:x"}, `--nats-url: "nats://***@a:x" is not an address`},
		{"a password with a slash", natsconn.Config{URL: "nats://u:s3/cr3t@a:1"}, `--nats-url: "nats://***@a:1" is not an address`},
		{"a password with a comma", natsconn.Config{URL: "nats://u:s3cr3t,x@a:1"}, `--nats-url: "***" is not an address`},
		{"no such file", natsconn.Config{URL: url, Creds: none}, "--nats-creds: open " + none},
		{"a directory", natsconn.Config{URL: url, CA: dir}, "--nats-ca: read " + dir},
		{"a certificate without key", natsconn.Config{URL: url, Cert: file}, "--nats-cert: needs its key"},
		{"a key without certificate", natsconn.Config{URL: url, Key: file}, "--nats-key: needs its certificate"},
		{"a password without user", natsconn.Config{URL: url, Password: "p"}, "--nats-password: needs --nats-user"},
		{"an inbox", natsconn.Config{URL: url, InboxPrefix: "_INBOX_worker.x"}, ""},
		{"an inbox with a wildcard", natsconn.Config{URL: url, InboxPrefix: "_INBOX.>"}, `--nats-inbox-prefix: "_INBOX.>" must be words`},
		{"plain websocket to loopback", natsconn.Config{URL: "ws://localhost:1"}, ""},
		{"plain websocket beyond", natsconn.Config{URL: "ws://u:s3cr3t@b:2"}, `--nats-url: "ws://***@b:2" is not TLS: use wss://`},
		{"plain websocket beyond, allowed", natsconn.Config{URL: "ws://b:2", AllowPlaintext: true}, ""},
		{"two identities", natsconn.Config{URL: url, Creds: file, User: "u"}, "--nats-creds and --nats-user: say who you are in one way only"},
	}
	for _, tt := range tests {
		err := tt.cfg.Validate()
		if tt.want == "" && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "s3") || strings.Contains(err.Error(), "cr3t")) {
			t.Errorf("%s: error %v shows the password", tt.name, err)
		}
	}
}

func TestURLs(t *testing.T) {
	tests := map[natsconn.URLs]string{
		"nats://127.0.0.1:4222":                "nats://127.0.0.1:4222",
		"nats://u:s3cr3t@a:1":                  "nats://***@a:1",
		"nats://s3cr3t@a:1,b:2":                "nats://***@a:1,b:2",
		"u:s3cr3t@a:1":                         "***@a:1",
		"nats://u:s3@cr3t@a":                   "nats://***@a",
		"nats://u:s3cr3t,x@a:1":                "***,***@a:1",
		"tls://u:s3cr3t@a:1, tls://u:s3cr3t@b": "tls://***@a:1,tls://***@b",
	}
	for u, want := range tests {
		quoted, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		for how, got := range map[string]string{
			"String": u.String(), "%v": fmt.Sprintf("%v", u), "%#v": fmt.Sprintf("%#v", u),
			"slog": slog.AnyValue(u).Resolve().String(), "JSON": strings.Trim(string(quoted), `"`),
			"in a struct": strings.Trim(fmt.Sprintf("%v", struct{ U natsconn.URLs }{u}), "{}"),
		} {
			if got != want {
				t.Errorf("%s of %q = %q, want %q", how, u.Reveal(), got, want)
			}
		}
	}
}

func TestConfig_Login(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "creds")
	if err := os.WriteFile(broken, []byte("-----BEGIN NATS USER JWT-----\nx.y.z\n------END NATS USER JWT------\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		cfg  natsconn.Config
		want string
	}{
		{natsconn.Config{URL: "nats://a:1"}, ""},
		{natsconn.Config{URL: "nats://a:1", User: "u", Password: "p"}, "u"},
		{natsconn.Config{URL: "nats://v:p@a:1", User: "u", Password: "p"}, "u"},
		{natsconn.Config{URL: "nats://a:1", User: "token"}, ""},
		{natsconn.Config{URL: "nats://a:1,nats://v:p@b:1"}, "v"},
		{natsconn.Config{URL: "nats://token@a:1"}, ""},
		{natsconn.Config{URL: "nats://a:1", Creds: broken}, ""},
		{natsconn.Config{URL: "nats://a:1", Creds: "none"}, ""},
	}
	for _, tt := range tests {
		if got := tt.cfg.Login(); got != tt.want {
			t.Errorf("Login of %+v = %q, want %q", tt.cfg, got, tt.want)
		}
	}
}
