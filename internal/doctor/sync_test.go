package doctor_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/doctor"
	"essworker/internal/esssim"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/topology"
)

// TestExamine_sync asks servers that sync, that do not, and that cannot be asked.
func TestExamine_sync(t *testing.T) {
	for _, tt := range []struct {
		name    string
		always  bool
		monitor func(s *server.Server) string
		want    doctor.Finding
	}{
		{"unseen", true, nil, doctor.Finding{Check: "sync", Verdict: doctor.Warn, Found: "clients cannot see", Advice: "--monitor"}},
		{"always", true, monitorOf, doctor.Finding{Check: "sync", Verdict: doctor.OK, Found: "the server puts each message on the disk before it confirms it"}},
		{"late", false, monitorOf, doctor.Finding{Check: "sync", Verdict: doctor.Bad, Found: " syncs every 2m0s: a power cut loses", Advice: "sync_interval: always"}},
		{"nobody", true, func(*server.Server) string { return "http://127.0.0.1:1" }, doctor.Finding{
			Check: "monitor http://127.0.0.1:1", Verdict: doctor.Warn, Found: "connection refused", Advice: "monitoring port",
		}},
		{"somebody else", true, func(*server.Server) string {
			other := httptest.NewServer(esssim.New(esssim.Config{}))
			t.Cleanup(other.Close)
			return strings.Replace(other.URL, "http://", "http://me:hunter2@", 1)
		}, doctor.Finding{Verdict: doctor.Warn, Found: "", Advice: "monitoring port"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := must[*server.Server](t, "server")(server.NewServer(&server.Options{
				DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: tt.always, HTTPHost: "127.0.0.1", HTTPPort: -1,
			}))
			s.Start()
			t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
			dial := connect(s, natsconn.Config{})
			nc := must[*nats.Conn](t, "connect")(dial(t.Context()))
			defer nc.Close()
			js := must[jetstream.JetStream](t, "jetstream")(jetstream.New(nc))
			cfg := natstest.Defaults()
			must[topology.Report](t, "apply")(topology.Apply(t.Context(), js, cfg, handlers.Types()))
			d := doctor.Doctor{Connect: dial, Topology: cfg, Routes: handlers.Routes(nil, handlers.Defaults{}), Patience: time.Minute}
			if tt.monitor != nil {
				d.Monitors = []*url.URL{must[*url.URL](t, "url")(url.Parse(tt.monitor(s)))}
			}
			for _, f := range examine(t, d) {
				if strings.Contains(f.Check+f.Found, "hunter2") {
					t.Errorf("%+v shows a password", f)
				}
				if (f.Check == tt.want.Check || tt.want.Check == "" && strings.HasPrefix(f.Check, "monitor")) && f.Verdict == tt.want.Verdict &&
					strings.Contains(f.Found, tt.want.Found) && strings.Contains(f.Advice, tt.want.Advice) {
					return
				}
			}
			t.Errorf("Examine does not find %+v", tt.want)
		})
	}
}

func monitorOf(s *server.Server) string { return "http://" + s.MonitorAddr().String() }
