package main

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/esssim"
	"essworker/internal/natsconn"
	"essworker/internal/natsd"
	"essworker/internal/natstest"
	"essworker/internal/roles"
)

// order is a command, and who may give it.
type order struct {
	as   roles.Role
	args string
	in   string
	code int
	says string // a pattern of what it prints, on either stream
}

// TestRoles_commands runs the commands of every role as that role, against a server that
// lets each user do what `worker roles` says, with a worker that does the work. Both
// sides show certificates.
func TestRoles_commands(t *testing.T) {
	t.Parallel()
	conf := rolesConf(t)
	tls := encrypt(t, conf)
	var said transcript // by the server
	server, err := natsd.Start(natsd.Config{
		Dir: t.TempDir(), Addr: "127.0.0.1:0", File: conf, NoSync: true, Log: slog.New(slog.NewTextHandler(&said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	vendor := httptest.NewServer(esssim.New(esssim.Config{}))
	t.Cleanup(vendor.Close)
	give := func(o order) (out string) {
		t.Helper()
		args := append(strings.Fields(o.args), "--nats-url="+server.URL(), "--nats-user="+userOf(o.as), "--nats-password="+password,
			"--nats-ca="+tls.CA, "--nats-cert="+tls.Cert, "--nats-key="+tls.Key)
		code, out, errOut := worked(t.Context(), o.in, args...)
		if code != o.code || !regexp.MustCompile(o.says).MatchString(out+errOut) {
			t.Errorf("%s %s: exit code %d, want %d and %q:\n%s%s", o.as, o.args, code, o.code, o.says, out, errOut)
		}
		return out
	}
	violations := func() (list []string) {
		text, _ := said.read()
		for line := range strings.Lines(text) {
			if strings.Contains(line, "Violation") {
				list = append(list, line)
			}
		}
		return list
	}

	give(order{as: roles.Provisioner, args: "setup", says: "create stream ESS_EVENTS"})
	give(order{as: roles.Provisioner, args: "setup --ack-wait=50s", says: "update consumer"})
	give(order{as: roles.Provisioner, args: "setup --results-max-age=200h --ack-wait=50s", says: "update stream ESS_RESULTS"})
	tls.URL = natsconn.URLs(server.URL())
	give(order{as: roles.Provisioner, args: "setup --subscriber=subscriber --results-max-age=200h --ack-wait=50s --dry-run", says: "create consumer ESS_RESULTS/subscriber"})
	give(order{as: roles.Provisioner, args: "setup --subscriber=subscriber --results-max-age=200h --ack-wait=50s", says: "^create consumer ESS_RESULTS/subscriber: filter_subject ess.results.>\n$"})
	give(order{as: roles.Provisioner, args: "setup --subscriber=subscriber --results-max-age=200h --ack-wait=50s", says: "nothing to change"})

	login := []string{
		"NATS_URL=" + server.URL(), "NATS_USER=" + userOf(roles.Worker), "NATS_PASSWORD=" + password,
		"NATS_CA=" + tls.CA, "NATS_CERT=" + tls.Cert, "NATS_KEY=" + tls.Key,
		"WORKER_ACK_WAIT=50s", "WORKER_RESULTS_MAX_AGE=200h",
	}
	s := &site{t: t, url: server.URL(), vendor: vendor}
	s.topo.AckWait, s.topo.Replicas = 50e9, 1
	p := s.worker(login...)

	give(order{as: roles.Publisher, args: "publish employee.onboarded", in: good("employee.onboarded", 1), says: "stored as ESS_EVENTS/1"})
	bad := strings.Repeat(`{"userId":"nobodyKnowsThisUser0000","openId":"n9"}`+"\n", 8)
	give(order{as: roles.Publisher, args: "publish employee.onboarded", in: bad})
	subscriber := tls
	subscriber.User, subscriber.Password = loginOf(roles.Subscriber).User, password
	subscribed(t, subscriber, 9)

	for _, o := range []order{
		{as: roles.Viewer, args: "status", says: "employee.onboarded"},
		{as: roles.Viewer, args: "status --json", says: `"kind":"worker"`},
		{as: roles.Viewer, args: "limit", says: "BindEmployeeUserIdWithClientOpenId"},
		{as: roles.Viewer, args: "dlq ls", says: "rejected"},
		{as: roles.Viewer, args: "dlq groups", says: "8 letters"},
		{as: roles.Viewer, args: "dlq show 1", says: "nobodyKnows|userId"},
		{as: roles.Viewer, args: "dlq replay --all", says: "worker dlq replay"},
		{as: roles.Viewer, args: "dlq check", says: "nothing is stranded"},
		{as: roles.Viewer, args: "dlq log", says: "nothing|no record"},

		{as: roles.Operator, args: "status", says: "employee.onboarded"},
		{as: roles.Operator, args: "results --reveal", says: "employee.bound"},
		{as: roles.Operator, args: "limit bind 7 --why=slower", says: "7/s"},
		{as: roles.Operator, args: "limit bind --reset --why=over", says: "WORKER_RATE"},
		{as: roles.Operator, args: "pause seal --why=theirs", says: "paused"},
		{as: roles.Operator, args: "resume seal --why=over", says: "running"},
		{as: roles.Operator, args: "dlq show 1 --reveal --why=look", says: "nobodyKnows"},
		{as: roles.Operator, args: "dlq discard 1 --why=not-needed"},
		{as: roles.Operator, args: "dlq ls --discarded", says: "rejected"},
		{as: roles.Operator, args: "dlq restore 1"},
		{as: roles.Operator, args: "dlq edit 2 --patch - --why=typo --yes", in: `{"openId":"n10"}`, says: "put back"},
		{as: roles.Operator, args: "dlq replay 3 --wait --why=again --force", code: exitPartly},
		{as: roles.Operator, args: "dlq replay --all --yes --why=mended --force --stop-at=1", says: "stored|replayed|again"},
		{as: roles.Operator, args: "dlq jobs", says: "mended"},
		{as: roles.Operator, args: "dlq check --fix", says: "nothing is stranded|mended"},
		{as: roles.Operator, args: "dlq log", says: "not-needed"},
		{as: roles.Viewer, args: "dlq jobs", says: "mended"},
		{as: roles.Worker, args: "doctor --no-vendor --ack-wait=50s --results-max-age=200h", says: "all that the worker publishes and listens to is allowed"},
	} {
		give(o)
	}
	file := filepath.Join(t.TempDir(), "letters")
	if err := os.WriteFile(file, []byte(give(order{as: roles.Operator, args: "dlq export --all --reveal --why=backup"})), 0o600); err != nil {
		t.Fatal(err)
	}
	give(order{as: roles.Operator, args: "dlq import " + file, says: "imported|stored|there"})
	group := regexp.MustCompile(`"group":"(\w+)"`).FindStringSubmatch(give(order{as: roles.Operator, args: "dlq groups --json"}))
	if group == nil {
		t.Fatal("no group")
	}
	give(order{as: roles.Operator, args: "dlq ack " + group[1] + " --why=seen"})
	give(order{as: roles.Operator, args: "dlq reopen " + group[1] + " --why=seen"})
	give(order{as: roles.Operator, args: "dlq discard --code=InvalidParameter.ParamError --limit=2 --why=x --yes"})
	if got := violations(); len(got) > 0 {
		t.Errorf("the server has denied:\n%s", strings.Join(got, ""))
	}

	running := "run --http-addr= --ack-wait=50s --results-max-age=200h --tencentcloud-secret-id=x --tencentcloud-secret-key=y"
	// Whoever may not is told so, at once, and by the subject.
	for _, o := range []order{
		{as: roles.Viewer, args: "dlq discard --all --why=x --yes", says: `does not let the user "ess-viewer" publish to "ess.audit.letters.discard": .*nothing was done`},
		{as: roles.Viewer, args: "dlq replay --all --yes --why=x --force", says: `"ess.audit.`},
		{as: roles.Viewer, args: "limit bind 7 --why=x", says: `"ess.audit.`},
		{as: roles.Viewer, args: "pause seal --why=x", says: `"ess.audit.`},
		{as: roles.Viewer, args: "publish employee.onboarded", in: good("employee.onboarded", 2), says: `"ess.events.employee.onboarded"`},
		{as: roles.Viewer, args: "results", says: `CONSUMER.CREATE.ESS_RESULTS`},
		{as: roles.Viewer, args: "setup --ack-wait=70s", says: `CONSUMER.CREATE.ESS_EVENTS.`},
		{as: roles.Operator, args: "setup --ack-wait=70s", says: `CONSUMER.CREATE.ESS_EVENTS.`},
		{as: roles.Publisher, args: "status", says: `"\$JS.API.STREAM.INFO.`},
		{as: roles.Publisher, args: "dlq ls", says: `"\$JS.API.STREAM.INFO.ESS_DEADLETTERS"`},
		{as: roles.Provisioner, args: "dlq ls", says: `"\$JS.API.`},
		{as: roles.Publisher, args: running, says: `"\$JS.API.INFO"`},
		{as: roles.Worker, args: strings.Replace(running, "50s", "70s", 1), says: `CONSUMER.CREATE.ESS_EVENTS.*worker setup`},
		{as: roles.Viewer, args: running, says: `"\$KV.ESS_FLEET.worker.`},
		{as: roles.Subscriber, args: "results", says: `"\$JS.API.STREAM.INFO.ESS_RESULTS"`},
	} {
		o.code = exitFailed
		give(o)
	}
	p.signal(syscall.SIGTERM)
	if code := p.ended(); code != 0 {
		t.Errorf("exit code of the worker = %d", code)
	}
	text, _ := p.said.read()
	if strings.Contains(text, "denied by the NATS server") {
		t.Errorf("the worker was denied something:\n%s", text)
	}
}

// subscribed reads as many results as the subscriber, whose login it is given.
func subscribed(t *testing.T, login natsconn.Config, n int) {
	t.Helper()
	js := loggedIn(t, login, roles.Subscriber)
	c, err := js.Consumer(t.Context(), "ESS_RESULTS", roles.DefaultSubscriber)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer msgs.Stop()
	for range n {
		msg, err := msgs.Next(jetstream.NextMaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func loggedIn(t *testing.T, login natsconn.Config, r roles.Role) jetstream.JetStream {
	t.Helper()
	nc, err := natsconn.Connect(t.Context(), login, natsconn.Options{
		Name: fmt.Sprint(t.Name(), " ", r), InboxPrefix: r.Inbox(), NoRetry: true,
		Denied: func(err *natsconn.DeniedError) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// encrypt makes a server's configuration ask for TLS with certificates on both sides,
// and gives what a client needs for it. The server takes acknowledgements in the form of
// later versions, too; those of other tests have today's.
func encrypt(t *testing.T, conf string) natsconn.Config {
	t.Helper()
	authority := natstest.NewAuthority(t)
	cert, key := authority.Issue("127.0.0.1")
	text := read(t, conf) + fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n"+
		"feature_flags { js_ack_fc_v2: true }\n", cert, key, authority.File)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key = authority.Issue("client")
	return natsconn.Config{CA: authority.File, Cert: cert, Key: key}
}
