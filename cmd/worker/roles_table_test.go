package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"essworker/internal/natsconn"
	"essworker/internal/natsd"
	"essworker/internal/roles"
)

// attempt is something to try at the broker, and the roles that may.
type attempt struct {
	what    string
	subject string
	may     []roles.Role
}

const (
	pub  = roles.Publisher
	work = roles.Worker
	sub  = roles.Subscriber
	ops  = roles.Operator
	view = roles.Viewer
	prov = roles.Provisioner
)

// publishes are tried by a message without a body, which is asked nothing and does
// nothing: who may send it is all that is seen.
func publishes() []attempt {
	nobody := []roles.Role(nil)
	list := []attempt{
		{"publish an event", "ess.events.employee.onboarded", []roles.Role{pub, work, ops}},
		{"publish an event of no type", "ess.events.other", []roles.Role{pub, work, ops}},
		{"store a result", "ess.results.employee.bound.key", []roles.Role{work, ops}},
		{"store a letter", "ess.deadletters.rejected.employee.onboarded.key", []roles.Role{work, ops}},
		{"store a discarded letter", "ess.discarded.rejected.employee.onboarded.key", []roles.Role{ops}},
		{"store a record", "ess.audit.limit", []roles.Role{ops}},
		{"set a limit", "$KV.ESS_FLEET.gate.limit.x", []roles.Role{work, ops}},
		{"order a replay", "$KV.ESS_FLEET.job.x", []roles.Role{work, ops}},
		{"reserve slots of the quota", "$KV.ESS_FLEET.quota.x", []roles.Role{work}},
		{"count an attempt", "$KV.ESS_FLEET.attempts.employee-onboarded.1", []roles.Role{work}},
		{"open a breaker", "$KV.ESS_FLEET.gate.breaker.x", []roles.Role{work}},
		{"be a worker", "$KV.ESS_FLEET.worker.x", []roles.Role{work}},

		{"take events", "$JS.API.CONSUMER.MSG.NEXT.ESS_EVENTS.employee-onboarded", []roles.Role{work}},
		{"acknowledge events", "$JS.ACK.ESS_EVENTS.employee-onboarded.1.1.1.1.0", []roles.Role{work}},
		{"acknowledge events, the new way", "$JS.ACK._.hash.ESS_EVENTS.employee-onboarded.1.1.1.1.0.x", []roles.Role{work}},
		{"take results", "$JS.API.CONSUMER.MSG.NEXT.ESS_RESULTS.subscriber", []roles.Role{sub}},
		{"acknowledge results", "$JS.ACK.ESS_RESULTS.subscriber.1.1.1.1.0", []roles.Role{sub}},
		{"acknowledge results, the new way", "$JS.ACK._.hash.ESS_RESULTS.subscriber.1.1.1.1.0.x", []roles.Role{sub}},
		{"look at the subscriber", "$JS.API.CONSUMER.INFO.ESS_RESULTS.subscriber", []roles.Role{sub, ops, prov}},
		{"take results by another consumer", "$JS.API.CONSUMER.MSG.NEXT.ESS_RESULTS.other", []roles.Role{ops}},

		{"read an event", "$JS.API.STREAM.MSG.GET.ESS_EVENTS", []roles.Role{work, ops, view}},
		{"read results", "$JS.API.DIRECT.GET.ESS_RESULTS", []roles.Role{work, ops, view}},
		{"read letters", "$JS.API.DIRECT.GET.ESS_DEADLETTERS", []roles.Role{work, ops, view}},
		{"read discarded letters", "$JS.API.DIRECT.GET.ESS_DISCARDED", []roles.Role{work, ops, view}},
		{"read records", "$JS.API.DIRECT.GET.ESS_AUDIT", []roles.Role{ops, view}},
		{"read what the fleet has agreed on", "$JS.API.DIRECT.GET.KV_ESS_FLEET", []roles.Role{work, ops, view}},

		{"remove a letter", "$JS.API.STREAM.MSG.DELETE.ESS_DEADLETTERS", []roles.Role{work, ops}},
		{"remove a discarded letter", "$JS.API.STREAM.MSG.DELETE.ESS_DISCARDED", []roles.Role{work, ops}},
		{"remove an event", "$JS.API.STREAM.MSG.DELETE.ESS_EVENTS", []roles.Role{ops}},
		{"remove a result", "$JS.API.STREAM.MSG.DELETE.ESS_RESULTS", nobody},
		{"remove a record", "$JS.API.STREAM.MSG.DELETE.ESS_AUDIT", nobody},
		{"remove what the fleet has agreed on", "$JS.API.STREAM.MSG.DELETE.KV_ESS_FLEET", nobody},

		{"pause a lane", "$JS.API.CONSUMER.PAUSE.ESS_EVENTS.employee-onboarded", []roles.Role{ops}},
		{"make a lane's consumer", "$JS.API.CONSUMER.CREATE.ESS_EVENTS.employee-onboarded.ess.events.employee.onboarded", []roles.Role{prov}},
		{"make another consumer of events", "$JS.API.CONSUMER.CREATE.ESS_EVENTS.other.ess.events.employee.onboarded", []roles.Role{prov}},
		{"make the subscriber's consumer", "$JS.API.CONSUMER.CREATE.ESS_RESULTS.subscriber.ess.results.>", []roles.Role{prov}},
		{"make a consumer of results", "$JS.API.CONSUMER.CREATE.ESS_RESULTS.other.ess.results.>", []roles.Role{ops}},
		{"make a consumer of letters", "$JS.API.CONSUMER.CREATE.ESS_DEADLETTERS.other.ess.deadletters.>", []roles.Role{ops}},
		{"make a consumer the old way", "$JS.API.CONSUMER.DURABLE.CREATE.ESS_EVENTS.other", nobody},
		{"make a nameless consumer", "$JS.API.CONSUMER.CREATE.ESS_EVENTS", nobody},
		{"remove a lane's consumer", "$JS.API.CONSUMER.DELETE.ESS_EVENTS.employee-onboarded", nobody},
		{"remove the subscriber's consumer", "$JS.API.CONSUMER.DELETE.ESS_RESULTS.subscriber", nobody},
		{"reset a lane's consumer", "$JS.API.CONSUMER.RESET.ESS_EVENTS.employee-onboarded", nobody},

		{"make a stream of another name", "$JS.API.STREAM.CREATE.OTHER", nobody},
		{"list streams", "$JS.API.STREAM.LIST", nobody},
		{"name streams", "$JS.API.STREAM.NAMES", nobody},
		{"publish anything else", "other", nobody},
		{"answer for the server", "_INBOX_worker.x", nobody},
		{"ask the servers", "$SYS.REQ.SERVER.PING", nobody},
	}
	for _, s := range deployment().Streams() {
		list = append(list,
			attempt{"look at " + s, "$JS.API.STREAM.INFO." + s, []roles.Role{work, ops, view, prov}},
			attempt{"make " + s, "$JS.API.STREAM.CREATE." + s, []roles.Role{prov}},
			attempt{"change " + s, "$JS.API.STREAM.UPDATE." + s, []roles.Role{prov}},
			attempt{"delete " + s, "$JS.API.STREAM.DELETE." + s, nobody},
			attempt{"purge " + s, "$JS.API.STREAM.PURGE." + s, nobody},
			attempt{"copy out " + s, "$JS.API.STREAM.SNAPSHOT." + s, nobody},
			attempt{"put back a copy of " + s, "$JS.API.STREAM.RESTORE." + s, nobody},
			attempt{"move the leader of " + s, "$JS.API.STREAM.LEADER.STEPDOWN." + s, nobody},
		)
	}
	return list
}

// listens are tried by a subscription.
func listens() []attempt {
	list := []attempt{
		{"listen to everything", ">", nil},
		{"listen to events", "ess.events.>", nil},
		{"listen to results", "ess.results.>", nil},
		{"listen to letters", "ess.deadletters.>", nil},
		{"listen to the fleet", "$KV.ESS_FLEET.gate.>", []roles.Role{work}},
		{"listen to anybody's answers", "_INBOX.>", nil},
		{"listen to the API", "$JS.API.>", nil},
		{"listen to advisories", "$JS.EVENT.ADVISORY.>", nil},
	}
	for _, r := range roles.All() {
		list = append(list, attempt{"listen to the answers of " + string(r), r.Inbox() + ".>", []roles.Role{r}})
	}
	return list
}

// TestRoles tries everything as everybody, logged in as both forms of `worker roles` have it.
func TestRoles(t *testing.T) {
	t.Parallel()
	t.Run("conf", func(t *testing.T) {
		server := serveConf(t, rolesConf(t))
		tryAll(t, func(r roles.Role) natsconn.Config {
			cfg := loginOf(r)
			cfg.URL = natsconn.URLs(server.URL())
			return cfg
		})
	})
	t.Run("jwt", func(t *testing.T) {
		server, creds := serveJWT(t)
		tryAll(t, func(r roles.Role) natsconn.Config {
			return natsconn.Config{URL: natsconn.URLs(server.URL()), Creds: filepath.Join(creds, userOf(r)+".creds")}
		})
	})
}

func serveConf(t *testing.T, file string) *natsd.Server {
	t.Helper()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", File: file, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

func tryAll(t *testing.T, login func(roles.Role) natsconn.Config) {
	t.Helper()
	may := map[string][]string{} // by what is tried
	want := map[string][]string{}
	for _, r := range roles.All() {
		denied := tryAs(t, r, login(r))
		for how, list := range map[string][]attempt{"publish ": publishes(), "subscribe ": listens()} {
			for _, a := range list {
				if !slices.Contains(denied, how+a.subject) {
					may[a.what] = append(may[a.what], string(r))
				}
				if slices.Contains(a.may, r) {
					want[a.what] = append(want[a.what], string(r))
				}
			}
		}
	}
	if diff := cmp.Diff(want, may); diff != "" {
		t.Errorf("who may (-want +got):\n%s", diff)
	}
}

// tryAs tries everything as one user and gives what was denied. That the connection is
// closed is the last that it hears.
func tryAs(t *testing.T, r roles.Role, cfg natsconn.Config) []string {
	t.Helper()
	var denied denials
	nc, err := natsconn.Connect(t.Context(), cfg, natsconn.Options{
		Name: "try", InboxPrefix: inboxOf(cfg, "nobody"), NoRetry: true, Denied: denied.add,
	})
	if err != nil {
		t.Fatalf("log in as %s: %v", r, err)
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	if inbox := nc.NewInbox(); !strings.HasPrefix(inbox, r.Inbox()+".") {
		t.Errorf("the inbox of %s is %s", r, inbox)
	}
	for _, a := range publishes() {
		if err := nc.Publish(a.subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range listens() {
		if _, err := nc.SubscribeSync(a.subject); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	<-closed
	return denied.all()
}

// serveJWT starts a server whose users are those of the nsc commands, and gives the
// folder of their credentials. In place of nsc, which signs with the same library,
// the script calls a function that prints what it was given.
func serveJWT(t *testing.T) (server *natsd.Server, creds string) {
	t.Helper()
	code, script, errOut := worked(t.Context(), "", "roles", "--format=jwt-nsc")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	sh := exec.CommandContext(t.Context(), "sh", "-c", `nsc() { printf '%s\n' "$@" --; }`+"\n"+script)
	sh.Dir = t.TempDir()
	var told bytes.Buffer
	sh.Stdout, sh.Stderr = &told, &told
	if err := sh.Run(); err != nil {
		t.Fatalf("%v: %s", err, told.String())
	}
	operator, account := key(t, nkeys.CreateOperator), key(t, nkeys.CreateAccount)
	signed := jwt.NewAccountClaims(public(t, account))
	creds = t.TempDir()
	for command := range strings.SplitSeq(told.String(), "--\n") {
		args := strings.Split(strings.TrimSpace(command), "\n")
		switch strings.Join(args[:min(2, len(args))], " ") {
		case "add account":
			signed.Name = args[3]
		case "edit account":
			signed.Limits.DiskStorage, signed.Limits.Streams, signed.Limits.Consumer = -1, -1, -1
		case "add user":
			addUser(t, account, args[2:], creds)
		}
	}
	sys := key(t, nkeys.CreateAccount)
	system := jwt.NewAccountClaims(public(t, sys))
	op := jwt.NewOperatorClaims(public(t, operator))
	op.SystemAccount = public(t, sys)
	conf := fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n",
		encode(t, op, operator), public(t, account), encode(t, signed, operator), public(t, sys), encode(t, system, operator))
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return serveConf(t, file), creds
}

// addUser is nsc add user, and nsc generate creds.
func addUser(t *testing.T, account nkeys.KeyPair, args []string, creds string) {
	t.Helper()
	user := key(t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public(t, user))
	for flag := range slices.Chunk(args, 2) {
		switch flag[0] {
		case "--name":
			claims.Name = flag[1]
		case "--allow-pub":
			claims.Pub.Allow.Add(flag[1])
		case "--deny-pub":
			claims.Pub.Deny.Add(flag[1])
		case "--allow-sub":
			claims.Sub.Allow.Add(flag[1])
		case "--account":
		default:
			t.Fatalf("nsc add user %s", flag)
		}
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(encode(t, claims, account), seed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(creds, claims.Name+".creds"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func key(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	k, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t *testing.T, k nkeys.KeyPair) string {
	t.Helper()
	p, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func encode(t *testing.T, c jwt.Claims, by nkeys.KeyPair) string {
	t.Helper()
	text, err := c.Encode(by)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
