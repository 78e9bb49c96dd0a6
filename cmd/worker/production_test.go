package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"essworker/internal/esssim"
	"essworker/internal/mask"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/roles"
)

// production is what docker-compose.yml starts, as plain processes: three servers with
// the shipped configuration, which takes TLS only, the keys that `worker keys` makes, the
// simulator. Its users may do what their role may.
type production struct {
	t    *testing.T
	keys string
	url  string // of all three servers
	sim  string
}

// TestProduction goes the whole path with each part of it done by its role, and sees that
// nobody was denied anything.
func TestProduction(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers and two workers")
	}
	t.Parallel()
	p := startProduction(t)
	p.as(roles.Provisioner, "", "setup", "--replicas=3", "--subscriber="+roles.DefaultSubscriber)
	workers := []*process{p.worker(), p.worker()}
	metrics := make([]string, len(workers))
	for i, w := range workers {
		metrics[i] = "http://" + w.says(`"msg":"working".*"http":"([^"]+)"`)[1] + "/metrics"
	}

	p.refuseOnce("BindEmployeeUserIdWithClientOpenId")
	for i, typ := range []string{"employee.onboarded", "seal.grant.requested", "autosign.link.requested"} {
		p.as(roles.Publisher, good(typ, i), "publish", typ)
	}
	subscribed(t, p.login(roles.Subscriber), 3)
	if out := p.as(roles.Viewer, "", "dlq", "ls"); !strings.Contains(out, "rejected") {
		t.Errorf("the refused event is no letter:\n%s", out)
	}
	p.as(roles.Operator, "", "dlq", "replay", "1", "--why=mended", "--wait")
	subscribed(t, p.login(roles.Subscriber), 1)
	for _, want := range []string{"employee.bound", "employee.bind.failed", "seal.granted", "autosign.link.created"} {
		if out := p.as(roles.Operator, "", "results"); !strings.Contains(out, want) {
			t.Errorf("no result %s:\n%s", want, out)
		}
	}
	p.as(roles.Worker, "", "doctor", "--no-vendor", "--replicas=3")

	for i, w := range workers {
		figures, err := scrape(metrics[i])
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range figures {
			if strings.HasPrefix(name, "nats_permission_violations_total") && value > 0 {
				t.Errorf("%s is %v", name, value)
			}
		}
		if len(figures) < 50 {
			t.Errorf("%d metrics of worker %d: they are not read", len(figures), i)
		}
		w.signal(syscall.SIGTERM)
	}
	for _, w := range workers {
		if code := w.ended(); code != 0 {
			t.Errorf("exit code of a worker after SIGTERM = %d, want 0", code)
		}
		if text, _ := w.said.read(); strings.Contains(text, "denied by the NATS server") {
			t.Errorf("a worker was denied something:\n%s", text)
		}
	}
}

func startProduction(t *testing.T) *production {
	t.Helper()
	const size = 3
	addrs := natstest.FreeAddrs(t, 3*size+1)
	clients, routes, monitors := addrs[:size], addrs[size:2*size], addrs[2*size:]
	place := []string{}
	var names, urls []string
	for i, route := range routes {
		names = append(names, fmt.Sprintf("nats-%d", i+1))
		urls = append(urls, "nats://"+clients[i])
		place = append(place, "nats-route://"+names[i]+":6222", "nats-route://"+route)
	}
	p := &production{t: t, keys: newKeys(t, names...), url: strings.Join(urls, ",")}
	for i, name := range names {
		file := shippedConf(t, "cluster.conf", p.keys, name)
		own := strings.NewReplacer(append(place, "0.0.0.0:6222", routes[i], "127.0.0.1:8222", monitors[i])...).Replace(read(t, file))
		if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, []string{"NATS_SERVER_NAME=" + name}, "natsd", t.TempDir(), clients[i], file).says("natsd listens")
	}
	p.sim = "http://" + addrs[3*size]
	start(t, nil, "worker", "sim", "--addr="+addrs[3*size]).says("simulator answers")
	return p
}

// file is a role's login or the certificate of the authority.
func (p *production) file(r roles.Role, name string) string {
	return filepath.Join(p.keys, string(r), name)
}

// as gives a command as the role, and expects it to be done.
func (p *production) as(r roles.Role, in string, args ...string) (text string) {
	p.t.Helper()
	login := []string{"--nats-url=" + p.url, "--config=" + p.file(r, "login.yaml"), "--nats-ca=" + p.file(r, "ca.crt")}
	code, out, errOut := worked(p.t.Context(), in, append(args, login...)...)
	if code != 0 {
		p.t.Errorf("%s %q: exit code %d:\n%s%s", r, args, code, out, errOut)
	}
	return out + errOut
}

func (p *production) worker() *process {
	p.t.Helper()
	s := &site{t: p.t, url: p.url, vendor: &httptest.Server{URL: p.sim}}
	s.topo.AckWait, s.topo.Replicas = time.Minute, 3
	return s.worker("WORKER_CONFIG="+p.file(roles.Worker, "login.yaml"), "NATS_CA="+p.file(roles.Worker, "ca.crt"), "WORKER_HTTP_ADDR=127.0.0.1:0")
}

// login is a role's, for a program that is not ours.
func (p *production) login(r roles.Role) natsconn.Config {
	p.t.Helper()
	var login struct {
		User     string `yaml:"nats-user"`
		Password string `yaml:"nats-password"`
	}
	if err := yaml.Unmarshal([]byte(read(p.t, p.file(r, "login.yaml"))), &login); err != nil {
		p.t.Fatal(err)
	}
	return natsconn.Config{
		URL: natsconn.URLs(p.url), CA: p.file(r, "ca.crt"), User: mask.Secret(login.User), Password: mask.Secret(login.Password),
	}
}

// refuseOnce has the vendor refuse the next call of an action for good.
func (p *production) refuseOnce(action string) {
	p.t.Helper()
	body := fmt.Sprintf(`{"kind":%q,"action":%q,"code":"InvalidParameter","message":"no","count":1}`, esssim.Code, action)
	resp, err := http.Post(p.sim+"/sim/faults", "application/json", strings.NewReader(body)) //nolint:noctx // it is up, on this machine
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		p.t.Fatalf("the simulator says %s", resp.Status)
	}
}

// newKeys is what `worker keys` makes for the servers.
func newKeys(t *testing.T, servers ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if code, _, errOut := worked(t.Context(), "", "keys", dir, "--server="+strings.Join(servers, ",")); code != 0 {
		t.Fatalf("worker keys: exit code %d: %s", code, errOut)
	}
	return dir
}

// shippedConf lays out a shipped configuration as on the server: beside it are the roles,
// and the keys that were made for it.
func shippedConf(t *testing.T, name, keys, server string) (file string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{name, "roles.conf"} {
		text := strings.ReplaceAll(read(t, filepath.Join(shipped, name)), "/etc/nats/", dir+"/")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(keys, server), filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}
