package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"essworker/internal/roles"
)

var shipped = filepath.Join(root, "deploy", "nats")

// TestRoles_shipped holds what is shipped to what `worker roles` prints; -update writes it.
func TestRoles_shipped(t *testing.T) {
	for file, args := range map[string][]string{
		"roles.conf":   {"roles"},
		"roles-nsc.sh": {"roles", "--format=jwt-nsc"},
	} {
		code, want, errOut := worked(t.Context(), "", args...)
		if code != 0 {
			t.Fatalf("%q: exit code %d: %s", args, code, errOut)
		}
		path := filepath.Join(shipped, file)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, read(t, path)); diff != "" {
			t.Errorf("deploy/nats/%s is not what worker %s prints (-printed +shipped):\n%s", file, strings.Join(args, " "), diff)
		}
	}
}

// TestRoles_cluster reads the shipped configuration of a production server as that would.
func TestRoles_cluster(t *testing.T) {
	t.Setenv("NATS_SERVER_NAME", "nats-1")
	file := shippedConf(t, "cluster.conf", newKeys(t, "nats-1"), "nats-1")
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case !opts.JetStream || !opts.SyncAlways:
		t.Errorf("JetStream %t, synced always %t, want both: else accepted events can be lost", opts.JetStream, opts.SyncAlways)
	case opts.TLSConfig == nil || opts.AllowNonTLS:
		t.Error("clients are not made to use TLS")
	case opts.Cluster.TLSConfig == nil || opts.Cluster.TLSConfig.ClientCAs == nil:
		t.Error("the servers of the cluster do not ask each other for a certificate")
	case len(opts.Routes) != 3 || opts.ServerName != "nats-1":
		t.Errorf("server %q has %d routes, want 3", opts.ServerName, len(opts.Routes))
	case !strings.HasPrefix(opts.HTTPHost, "127."):
		t.Errorf("monitoring listens at %q, which asks nobody who calls", opts.HTTPHost)
	}
	var users []string
	for _, u := range opts.Users {
		users = append(users, u.Username)
		if u.Permissions == nil || u.Password == "" {
			t.Errorf("user %s has permissions %v, password set %t", u.Username, u.Permissions, u.Password != "")
		}
	}
	if len(users) != len(roles.All()) || opts.NoAuthUser != "" {
		t.Errorf("users %q, and %q without a login", users, opts.NoAuthUser)
	}
}

// TestRoles_noPassword starts no server without the passwords.
func TestRoles_noPassword(t *testing.T) {
	conf := rolesConf(t)
	file := filepath.Join(filepath.Dir(conf), roles.PasswordsFile)
	text := read(t, file)
	lines := slices.Collect(strings.Lines(text))
	for _, missing := range []string{"", strings.Join(lines[1:], "")} {
		if err := os.WriteFile(file, []byte(missing), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.ProcessConfigFile(conf); err == nil {
			t.Errorf("with the passwords %q the server starts", missing)
		}
	}
}
