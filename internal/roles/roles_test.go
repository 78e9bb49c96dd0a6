package roles_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"essworker/internal/roles"
	"essworker/internal/topology"
)

func TestOf(t *testing.T) {
	tests := map[string]roles.Role{
		"ess-worker": roles.Worker, "a-b-viewer": roles.Viewer, "operator": roles.Operator,
		"": "", "anna": "", "worker-1": "", "essworker": "", "ess-": "",
	}
	for user, want := range tests {
		got, ok := roles.Of(user)
		if ok != (want != "") || ok && got != want {
			t.Errorf("Of(%q) = %q, %t, want %q", user, got, ok, want)
		}
	}
}

func TestDeployment_Validate(t *testing.T) {
	tests := []struct {
		prefix, subscriber, want string // begin of the error; none if empty
	}{
		{"ess", "subscriber", ""},
		{"ess", "", `--subscriber: "" must be`},
		{"ess", "a.b", `--subscriber: "a.b" must be`},
		{"ess", "it's", `--subscriber: "it's" must be`},
		{"e s", "subscriber", `--prefix: "e s" must be`},
	}
	for _, tt := range tests {
		err := roles.Deployment{Names: topology.Names{Prefix: tt.prefix}, Subscriber: tt.subscriber}.Validate()
		if (tt.want == "") != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %q", tt, err, tt.want)
		}
	}
}

// TestWrite has both forms say the same, to the server's and the shell's own readers, of
// whatever name.
func TestWrite(t *testing.T) {
	for _, prefix := range []string{"ess", "9-a_B", "true", "-"} {
		d := roles.Deployment{Names: topology.Names{Prefix: prefix}, Subscriber: "billing-2"}
		want := map[string]roles.Permissions{}
		for _, u := range d.Users() {
			want[u.Name] = u.May
		}
		if diff := cmp.Diff(want, fromConf(t, d)); diff != "" {
			t.Errorf("%q as conf (-want +got):\n%s", prefix, diff)
		}
		if diff := cmp.Diff(want, fromNSC(t, d)); diff != "" {
			t.Errorf("%q as nsc commands (-want +got):\n%s", prefix, diff)
		}
	}
}

func fromConf(t *testing.T, d roles.Deployment) map[string]roles.Permissions {
	t.Helper()
	var text bytes.Buffer
	if err := d.WriteConf(&text); err != nil {
		t.Fatal(err)
	}
	var passwords strings.Builder
	for _, u := range d.Users() {
		passwords.WriteString(u.PasswordVariable() + ": \"$2a$11$hash\"\n")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, filepath.Dir(roles.PasswordsFile)), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"roles.conf": text.String(), roles.PasswordsFile: passwords.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "roles.conf"))
	if err != nil {
		t.Fatalf("%q: %v", d.Prefix, err)
	}
	got := map[string]roles.Permissions{}
	for _, u := range opts.Users {
		if u.Account.Name != d.Account() || u.Password != "$2a$11$hash" {
			t.Errorf("user %s is of account %s, with the password %q", u.Username, u.Account.Name, u.Password)
		}
		p := u.Permissions
		if p.Subscribe.Deny != nil || p.Response != nil {
			t.Errorf("user %s: more permissions than were asked for: %+v", u.Username, p)
		}
		got[u.Username] = roles.Permissions{Publish: p.Publish.Allow, Deny: p.Publish.Deny, Subscribe: p.Subscribe.Allow}
	}
	return got
}

func fromNSC(t *testing.T, d roles.Deployment) map[string]roles.Permissions {
	t.Helper()
	var text bytes.Buffer
	if err := d.WriteNSC(&text); err != nil {
		t.Fatal(err)
	}
	sh := exec.CommandContext(t.Context(), "sh", "-c", `nsc() { printf '%s\n' "$@" .; }`+"\n"+text.String())
	sh.Dir = t.TempDir()
	out, err := sh.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]roles.Permissions{}
	for command := range strings.SplitSeq(string(out), "\n.\n") {
		args := strings.Split(command, "\n")
		if strings.Join(args[:min(2, len(args))], " ") != "add user" {
			continue
		}
		name, p := "", roles.Permissions{}
		for flag := range slices.Chunk(args[2:], 2) {
			switch flag[0] {
			case "--name":
				name = flag[1]
			case "--allow-pub":
				p.Publish = append(p.Publish, flag[1])
			case "--deny-pub":
				p.Deny = append(p.Deny, flag[1])
			case "--allow-sub":
				p.Subscribe = append(p.Subscribe, flag[1])
			}
		}
		got[name] = p
	}
	return got
}
