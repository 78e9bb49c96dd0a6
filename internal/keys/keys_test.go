package keys_test

import (
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/keys"
	"essworker/internal/roles"
	"essworker/internal/topology"
)

func config(dir string, servers ...string) keys.Config {
	return keys.Config{
		Dir: dir, Servers: servers,
		Users: roles.Deployment{Names: topology.Names{Prefix: "ess"}, Subscriber: roles.DefaultSubscriber}.Users(),
	}
}

func made(t *testing.T, c keys.Config) []string {
	t.Helper()
	written, err := c.Make()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(written)
	return written
}

var (
	ofServer = []string{"nats-1/ca.crt", "nats-1/passwords.conf", "nats-1/server.crt", "nats-1/server.key"}
	logins   = []string{
		"authority/passwords.conf", "operator/login.yaml", "provisioner/login.yaml", "publisher/login.yaml",
		"subscriber/login.yaml", "viewer/login.yaml", "worker/login.yaml",
	}
)

// TestMake_oursAlone: whatever is made, nobody else reads.
func TestMake_oursAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if n := len(made(t, config(dir, "nats-1", "127.0.0.1"))); n != 2+1+2*6+2*4 {
		t.Errorf("%d files", n)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMake_again makes what is missing, and nothing else: also what was cut off.
func TestMake_again(t *testing.T) {
	dir := t.TempDir()
	c := config(dir, "nats-1")
	made(t, c)
	for _, tt := range []struct {
		lost string
		want []string
	}{
		{"", nil},
		{"nats-1", ofServer},
		{"nats-1/server.crt", []string{"nats-1/server.crt", "nats-1/server.key"}},
		{"nats-1/server.key", []string{"nats-1/server.crt", "nats-1/server.key"}},
		{"nats-1/passwords.conf", []string{"nats-1/passwords.conf"}},
		{"worker/ca.crt", []string{"worker/ca.crt"}},
		{"worker/login.yaml", append([]string{"nats-1/passwords.conf"}, logins...)},
		{"authority/passwords.conf", append([]string{"nats-1/passwords.conf"}, logins...)},
		{"authority/ca.key", []string{
			"authority/ca.crt", "authority/ca.key", "nats-1/ca.crt", "nats-1/server.crt", "nats-1/server.key",
			"operator/ca.crt", "provisioner/ca.crt", "publisher/ca.crt", "subscriber/ca.crt", "viewer/ca.crt", "worker/ca.crt",
		}},
	} {
		if tt.lost != "" {
			if err := os.RemoveAll(filepath.Join(dir, tt.lost)); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(tt.want)
		if diff := cmp.Diff(tt.want, made(t, c)); diff != "" {
			t.Errorf("without %q (-want +got):\n%s", tt.lost, diff)
		}
	}
	if diff := cmp.Diff([]string{"nats-2/ca.crt", "nats-2/passwords.conf", "nats-2/server.crt", "nats-2/server.key"}, made(t, config(dir, "nats-1", "nats-2"))); diff != "" {
		t.Errorf("for one more server (-want +got):\n%s", diff)
	}
}

// TestMake_renews makes a server's certificate anew before it ends, by the same authority,
// which clients have.
func TestMake_renews(t *testing.T) {
	dir := t.TempDir()
	c := config(dir, "nats-1")
	synctest.Test(t, func(t *testing.T) {
		made(t, c)
		valid(t, dir)
		time.Sleep(300 * 24 * time.Hour)
		if written := made(t, c); len(written) > 0 {
			t.Errorf("65 days before its end: %q", written)
		}
		time.Sleep(10 * 24 * time.Hour)
		if diff := cmp.Diff([]string{"nats-1/server.crt", "nats-1/server.key"}, made(t, c)); diff != "" {
			t.Errorf("55 days before its end (-want +got):\n%s", diff)
		}
		time.Sleep(60 * 24 * time.Hour)
		valid(t, dir)
	})
}

// valid holds that clients and servers who know the authority believe the server.
func valid(t *testing.T, dir string) {
	t.Helper()
	authority, err := os.ReadFile(filepath.Join(dir, "publisher/ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(authority)
	text, err := os.ReadFile(filepath.Join(dir, "nats-1/server.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nats-1", "localhost", "127.0.0.1", "::1"} {
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			opts := x509.VerifyOptions{DNSName: name, Roots: known, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{use}}
			if _, err := cert.Verify(opts); err != nil {
				t.Errorf("as %s: %v", name, err)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	for _, name := range []string{"", "../nats", "nats/1", "authority", "worker", "ess-worker", ".", "-a"} {
		if err := config("x", name).Validate(); err == nil {
			t.Errorf("a server %q is taken", name)
		}
	}
	for _, name := range []string{"nats-1", "nats-1.nats.svc", "10.0.0.1"} {
		if err := config("x", name).Validate(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
