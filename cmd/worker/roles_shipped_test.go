package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"essworker/internal/esssim"
	"essworker/internal/natstest"
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
	file, _ := shippedConf(t, "cluster.conf", "nats-1")
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
	file := filepath.Join(filepath.Dir(rolesConf(t)), roles.PasswordsFile)
	text := read(t, file)
	lines := slices.Collect(strings.Lines(text))
	for _, missing := range []string{"", strings.Join(lines[1:], "")} {
		if err := os.WriteFile(file, []byte(missing), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.ProcessConfigFile(filepath.Join(filepath.Dir(file), "nats.conf")); err == nil {
			t.Errorf("with the passwords %q the server starts", missing)
		}
	}
}

// shippedConf is a shipped configuration beside passwords and a real certificate for the
// host, and where the certificate of its authority is.
func shippedConf(t *testing.T, name, host string) (file, authority string) {
	t.Helper()
	dir := filepath.Dir(rolesConf(t))
	a := natstest.NewAuthority(t)
	cert, key := a.Issue(host)
	text := strings.NewReplacer(
		"/etc/nats/tls/ca.crt", a.File, "/etc/nats/tls/server.crt", cert, "/etc/nats/tls/server.key", key,
	).Replace(read(t, filepath.Join(shipped, name)))
	file = filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, a.File
}

// TestRoles_clusterRuns starts three servers as they are shipped, but for their
// addresses, and sends an event through the whole path.
func TestRoles_clusterRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers and a worker")
	}
	t.Parallel()
	file, ca := shippedConf(t, "cluster.conf", "127.0.0.1")
	addrs := natstest.FreeAddrs(t, 9)
	clients, routes, monitors := addrs[:3], addrs[3:6], addrs[6:]
	conf := read(t, file)
	for i, route := range routes {
		conf = strings.Replace(conf, fmt.Sprintf("nats-route://nats-%d:6222", i+1), "nats-route://"+route, 1)
	}
	var urls []string
	for i, addr := range clients {
		own := strings.NewReplacer("0.0.0.0:6222", routes[i], "127.0.0.1:8222", monitors[i]).Replace(conf)
		file := filepath.Join(filepath.Dir(file), fmt.Sprintf("nats-%d.conf", i+1))
		if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, []string{fmt.Sprintf("NATS_SERVER_NAME=nats-%d", i+1)}, "natsd", t.TempDir(), addr, file)
		urls = append(urls, "nats://"+addr)
	}
	url := strings.Join(urls, ",")
	as := func(r roles.Role, in string, args ...string) (code int, text string) {
		code, out, errOut := worked(t.Context(), in, append(args, "--nats-url="+url, "--nats-ca="+ca, "--nats-user="+userOf(r), "--nats-password="+password)...)
		return code, out + errOut
	}
	until(t, "the streams are made", func() bool {
		code, _ := as(roles.Provisioner, "", "setup", "--replicas=3") // fails while they elect
		return code == 0
	})
	vendor := httptest.NewServer(esssim.New(esssim.Config{}))
	t.Cleanup(vendor.Close)
	s := &site{t: t, url: url, vendor: vendor}
	s.topo.AckWait, s.topo.Replicas = time.Minute, 3
	s.worker("NATS_CA="+ca, "NATS_USER="+userOf(roles.Worker), "NATS_PASSWORD="+password)
	if code, text := as(roles.Publisher, good("employee.onboarded", 1), "publish", "employee.onboarded"); code != 0 {
		t.Fatal(text)
	}
	until(t, "there is a result", func() bool {
		_, text := as(roles.Operator, "", "results")
		return strings.Contains(text, "employee.bound")
	})
	if _, text := as(roles.Viewer, "", "status"); !strings.Contains(text, "employee.onboarded") {
		t.Error(text)
	}
}
