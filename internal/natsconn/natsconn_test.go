package natsconn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"essworker/internal/natsconn"
	"essworker/internal/natsd"
	"essworker/internal/natstest"
)

const users = `
	accounts { APP { jetstream: enabled, users: [
		{ user: admin, password: s3cr3t }
		{ user: role, password: s3cr3t, permissions { publish: ["may.>"], subscribe: ["_INBOX_role.>"] } }
	] } }`

func TestConnect_noServer(t *testing.T) {
	url := natsconn.URLs("nats://u:s3cr3t@" + natstest.FreeAddrs(t, 1)[0])
	shown := url.String()
	_, err := natsconn.Connect(t.Context(), natsconn.Config{URL: url}, options(t, natsconn.Options{NoRetry: true}))
	if want := "nats: no server at " + shown + ": start one with `worker dev`, or set NATS_URL"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("error %v is not %v", err, nats.ErrNoServers)
	}
}

// TestConnect_waits starts the server after the worker.
func TestConnect_waits(t *testing.T) {
	addr := natstest.FreeAddrs(t, 1)[0]
	var log bytes.Buffer
	got := make(chan *nats.Conn, 1)
	tried := make(chan struct{}, 100)
	opts := options(t, natsconn.Options{Log: slog.New(notify{slog.NewTextHandler(&log, nil), tried})})
	go func() {
		nc, err := natsconn.Connect(t.Context(), natsconn.Config{URL: natsconn.URLs("nats://u:s3cr3t@" + addr)}, opts)
		if err != nil {
			t.Errorf("Connect: %v", err)
		}
		got <- nc
	}()
	<-tried
	s, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // tested there
	nc := <-got
	if nc == nil || !nc.IsConnected() {
		t.Fatal("not connected")
	}
	nc.Close()
	if !strings.Contains(log.String(), "no NATS server") || strings.Contains(log.String(), "s3cr3t") {
		t.Errorf("log %q, want each attempt and no password", log.String())
	}
}

// TestConnect_ends has the process told to stop while it waits for a server.
func TestConnect_ends(t *testing.T) {
	stopped := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	tried := make(chan struct{}, 100)
	opts := options(t, natsconn.Options{Log: slog.New(notify{slog.DiscardHandler, tried})})
	go func() {
		<-tried
		cancel(stopped)
	}()
	_, err := natsconn.Connect(ctx, natsconn.Config{URL: natsconn.URLs("nats://" + natstest.FreeAddrs(t, 1)[0])}, opts)
	if !errors.Is(err, stopped) {
		t.Errorf("error %v, want %v", err, stopped)
	}
}

func TestConnect_login(t *testing.T) {
	nkey, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := nkey.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := nkey.Seed()
	if err != nil {
		t.Fatal(err)
	}
	seed := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(seed, text, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, server string
		cfg          natsconn.Config
		want         error
	}{
		{"NKey", fmt.Sprintf("authorization { users [ { nkey: %s } ] }", public), natsconn.Config{NKey: seed}, nil},
		{"user", users, natsconn.Config{User: "admin", Password: "s3cr3t"}, nil},
		{"wrong password", users, natsconn.Config{User: "admin", Password: "wr0ng"}, nats.ErrAuthorization},
		{"nobody", users, natsconn.Config{}, nats.ErrAuthorization},
		{"token", `authorization { token: s3cr3t }`, natsconn.Config{User: "s3cr3t"}, nil},
		{"wrong token", `authorization { token: s3cr3t }`, natsconn.Config{User: "wr0ng"}, nats.ErrAuthorization},
	}
	for _, tt := range tests {
		s := serve(t, "127.0.0.1:0", tt.server)
		tt.cfg.URL = natsconn.URLs(s.URL())
		nc, err := natsconn.Connect(t.Context(), tt.cfg, options(t, natsconn.Options{}))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "wr0ng")) {
			t.Errorf("%s: error %v shows a secret", tt.name, err)
		}
		if nc != nil {
			nc.Close()
		}
	}
}

// TestConnect_tls has servers that must be trusted, one that asks for a certificate
// itself, and one that speaks no TLS.
func TestConnect_tls(t *testing.T) {
	ours, theirs := natstest.NewAuthority(t), natstest.NewAuthority(t)
	secure := func(by *natstest.Authority, name string, verify bool) natsconn.URLs {
		cert, key := by.Issue(name)
		return natsconn.URLs(serve(t, "127.0.0.1:0", fmt.Sprintf(
			"tls { cert_file: %q, key_file: %q, ca_file: %q, verify: %t }", cert, key, ours.File, verify)).URL())
	}
	oneWay, mutual := secure(ours, "127.0.0.1", false), secure(ours, "127.0.0.1", true)
	cert, key := ours.Issue("worker")
	strange, strangeKey := theirs.Issue("worker")
	plain := serve(t, "127.0.0.1:0", "").URL()
	// To the client 0.0.0.0 is no loopback address; the system takes it for one.
	beyond := natsconn.URLs(strings.Replace(plain, "127.0.0.1", "0.0.0.0", 1))
	tests := []struct {
		name string
		cfg  natsconn.Config
		want string // part of the error; none if empty
	}{
		{"trusted", natsconn.Config{URL: oneWay, CA: ours.File}, ""},
		{"trusted, and known there", natsconn.Config{URL: mutual, CA: ours.File, Cert: cert, Key: key}, ""},
		{"not known there", natsconn.Config{URL: mutual, CA: ours.File}, "certificate"},
		{"known to somebody else", natsconn.Config{URL: mutual, CA: ours.File, Cert: strange, Key: strangeKey}, "certificate"},
		{"trusted by somebody else", natsconn.Config{URL: oneWay, CA: theirs.File}, "certificate"},
		{"trusted by the system only", natsconn.Config{URL: oneWay}, "certificate"},
		{"another's name", natsconn.Config{URL: secure(ours, "other.example", false), CA: ours.File}, "certificate"},
		{"TLS asked of a server without", natsconn.Config{URL: natsconn.URLs("tls" + strings.TrimPrefix(plain, "nats"))}, "does not speak TLS"},
		{"plain text beyond loopback", natsconn.Config{URL: beyond}, "NATS_ALLOW_PLAINTEXT=true"},
		{"plain text beyond loopback, allowed", natsconn.Config{URL: beyond, AllowPlaintext: true}, ""},
		{"plain websocket beyond loopback", natsconn.Config{URL: "ws://0.0.0.0:1"}, "use wss://"},
	}
	for _, tt := range tests {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		nc, err := natsconn.Connect(ctx, tt.cfg, options(t, natsconn.Options{NoRetry: true}))
		cancel()
		if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
		if nc != nil {
			nc.Close()
		}
	}
}

// TestConnect_staysHere is a connection in plain text to this machine, whose server
// tells of others elsewhere.
func TestConnect_staysHere(t *testing.T) {
	plain := serve(t, "127.0.0.1:0", "").URL()
	nc, err := natsconn.Connect(t.Context(), natsconn.Config{URL: natsconn.URLs(plain)}, options(t, natsconn.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	elsewhere := strings.Replace(strings.TrimPrefix(plain, "nats://"), "127.0.0.1", "0.0.0.0", 1)
	if _, err := nc.Opts.CustomDialer.Dial("tcp", elsewhere); err == nil || !strings.Contains(err.Error(), "beyond loopback") {
		t.Errorf("going on at %s: error %v, want that it is beyond loopback", elsewhere, err)
	}
}

// TestConnect_denied counts what the server denies, and says what it was.
func TestConnect_denied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, "", users)
		reader := metric.NewManualReader()
		var log bytes.Buffer
		var told []string
		nc, err := natsconn.Connect(t.Context(), natsconn.Config{User: "role", Password: "s3cr3t"},
			options(t, natsconn.Options{
				InboxPrefix: "_INBOX_role", InProcess: s, Log: slog.New(slog.NewTextHandler(&log, nil)),
				Meter:  metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"),
				Denied: func(err *natsconn.DeniedError) { told = append(told, err.Error()) },
			}))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		for _, subject := range []string{"may.this", "may.not.be.denied", "must.not", "must.not"} {
			if err := nc.Publish(subject, nil); err != nil {
				t.Fatal(err)
			}
		}
		own, err := nc.SubscribeSync(nc.NewInbox())
		if err != nil {
			t.Fatal(err)
		}
		other, err := nc.SubscribeSync("_INBOX_other.>")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := nc.FlushWithContext(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := other.NextMsgWithContext(ctx); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("reading a denied subscription: error %v, want %v", err, nats.ErrPermissionViolation)
		}
		if _, err := own.NextMsgWithContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("reading an allowed subscription: error %v, want %v", err, context.DeadlineExceeded)
		}
		want := []string{
			`the NATS server does not let the user "role" publish to "must.not": log in as one who may; ` + "`worker roles` tells what each role may do",
			`the NATS server does not let the user "role" subscribe to "_INBOX_other.>": allow it, or set NATS_INBOX_PREFIX to the prefix the user has`,
		}
		if slices.Sort(told); !slices.Equal(slices.Compact(told), want) {
			t.Errorf("told %q, want %q", told, want)
		}
		got := counts(t, reader, "nats.permission_violations")
		if got["publish"] != 2 || got["subscribe"] != 1 {
			t.Errorf("counted %v, want 2 publishes and 1 subscription", got)
		}
		for _, want := range []string{"operation=publish subject=must.not", "operation=subscribe subject=_INBOX_other.>"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log\n%shas no %q", log.String(), want)
			}
		}
	})
}

// TestConnect_outage has the server go and come back: nothing that failed is stored
// later, and the connection is there again.
func TestConnect_outage(t *testing.T) {
	b := natstest.NewTCP(t, "employee.onboarded")
	lost := b.NC.StatusChanged(nats.RECONNECTING)
	b.Stop()
	<-lost
	if err := b.NC.Publish("ess.events.employee.onboarded", nil); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("publish without a server: error %v, want %v", err, nats.ErrReconnectBufExceeded)
	}
	b.Resume()
	s, err := b.JS.Stream(t.Context(), b.Topology.EventsStream())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.LastSeq; n != 0 {
		t.Errorf("%d messages were stored after they had failed", n)
	}
}

// TestConnect_refusedLater has the server refuse the login for a while, as when
// credentials are renewed late. Without the options the client closes for good at the
// second refusal.
func TestConnect_refusedLater(t *testing.T) {
	const config = "authorization { users: [ { user: u, password: %s } ] }"
	s := serve(t, natstest.FreeAddrs(t, 1)[0], fmt.Sprintf(config, "right")) // it comes back there
	url := s.URL()
	logged := make(chan struct{}, 1000)
	nc, err := natsconn.Connect(t.Context(), natsconn.Config{URL: natsconn.URLs(url), User: "u", Password: "right"},
		options(t, natsconn.Options{Log: slog.New(notify{slog.DiscardHandler, logged})}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	restart := func(password string) {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		<-logged // disconnected
		s = serve(t, strings.TrimPrefix(url, "nats://"), fmt.Sprintf(config, password))
	}
	restart("other")
	for range 3 {
		if err := nc.ForceReconnect(); err != nil { // now, not after the pause
			t.Fatalf("the client has given up: %v", err)
		}
		<-logged // refused
	}
	back := nc.StatusChanged(nats.CONNECTED)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = serve(t, strings.TrimPrefix(url, "nats://"), fmt.Sprintf(config, "right"))
	if err := nc.ForceReconnect(); err != nil {
		t.Fatalf("the client has given up: %v", err)
	}
	<-back
}

// notify says when something was logged.
type notify struct {
	slog.Handler
	logged chan<- struct{}
}

func (n notify) Enabled(context.Context, slog.Level) bool { return true }

func (n notify) Handle(ctx context.Context, r slog.Record) error {
	err := n.Handler.Handle(ctx, r)
	n.logged <- struct{}{}
	return err
}

func options(t *testing.T, o natsconn.Options) natsconn.Options {
	t.Helper()
	o.Name = t.Name()
	if o.InboxPrefix == "" {
		o.InboxPrefix = "_INBOX_test"
	}
	return o
}

func serve(t *testing.T, addr, config string) *natsd.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Addr: addr, File: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// counts reads a counter by its attribute "operation".
func counts(t *testing.T, reader *metric.ManualReader, name string) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				for _, p := range sum.DataPoints {
					operation, _ := p.Attributes.Value("operation")
					got[operation.AsString()] += p.Value
				}
			}
		}
	}
	return got
}
