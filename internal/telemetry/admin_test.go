package telemetry_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"essworker/internal/telemetry"
)

func TestServe(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	held := func() (bool, []string) {
		return false, []string{"employee-onboarded held: AuthFailure", "not connected <to> NATS"}
	}
	console := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Method+" "+r.URL.Path) })
	tests := []struct {
		name    string
		admin   telemetry.Admin
		request string
		header  map[string]string
		status  int
		body    string
	}{
		{"alive", telemetry.Admin{Metrics: metrics, Ready: held}, "GET /healthz", nil, 200, "ok\n"},
		{"ready", telemetry.Admin{Metrics: metrics}, "GET /readyz", nil, 200, "ready\n"},
		{
			"not ready",
			telemetry.Admin{Metrics: metrics, Ready: held},
			"GET /readyz", nil, 503,
			"not ready\nemployee-onboarded held: AuthFailure\nnot connected <to> NATS\n",
		},
		{"metrics", telemetry.Admin{Metrics: metrics}, "GET /metrics", nil, 200, "up 1\n"},
		{"page", telemetry.Admin{Metrics: metrics, Ready: held}, "GET /", nil, 200, "<li>not connected &lt;to&gt; NATS</li>"},
		{"no such page", telemetry.Admin{Metrics: metrics}, "GET /nothing", nil, 404, ""},
		{"wrong method", telemetry.Admin{Metrics: metrics}, "POST /healthz", nil, 405, ""},
		{"console", telemetry.Admin{Metrics: metrics, Console: console}, "POST /letters/17", nil, 200, "POST /letters/17"},
		{
			"console from another site",
			telemetry.Admin{Metrics: metrics, Console: console},
			"POST /letters/17",
			map[string]string{"Origin": "http://evil.example"},
			403, "",
		},
		{
			"a foreign name for this machine",
			telemetry.Admin{Metrics: metrics, Console: console},
			"GET /",
			map[string]string{"Host": "evil.example"},
			421, "",
		},
		{
			"a local name for this machine",
			telemetry.Admin{Metrics: metrics, Console: console},
			"GET /",
			map[string]string{"Host": "localhost"},
			200, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := serve(t, tt.admin)
			method, path, _ := strings.Cut(tt.request, " ")
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tt.header {
				req.Header.Set(k, v)
			}
			req.Host = req.Header.Get("Host")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.body) {
				t.Errorf("%s = %d %q, want %d %q", tt.request, resp.StatusCode, body, tt.status, tt.body)
			}
		})
	}
}

func TestServe_portInUse(t *testing.T) {
	addr := serve(t, telemetry.Admin{Metrics: http.NotFoundHandler()})
	_, _, err := telemetry.Serve(t.Context(), addr, telemetry.Admin{Metrics: http.NotFoundHandler()}, slog.New(slog.DiscardHandler))
	want := "--http-addr: " + addr + " is in use by another process; set --http-addr (WORKER_HTTP_ADDR) to another address, or to nothing to serve none"
	if err == nil || err.Error() != want {
		t.Errorf("Serve on a taken port = %v, want %s", err, want)
	}
}

func TestServe_off(t *testing.T) {
	addr, wait, err := telemetry.Serve(t.Context(), "", telemetry.Admin{}, nil)
	if addr != "" || err != nil {
		t.Fatalf(`Serve("") = %q, %v, want nothing`, addr, err)
	}
	if err := wait(); err != nil {
		t.Errorf("wait() = %v, want nil", err)
	}
}

func TestServe_endsStreams(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	})
	addr, wait, err := telemetry.Serve(ctx, "127.0.0.1:0", telemetry.Admin{Metrics: stream, Console: stream}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := wait(); err != nil {
		t.Errorf("wait() with a stream open = %v, want nil", err)
	}
}

func TestAskReady(t *testing.T) {
	ready := true
	addr := serve(t, telemetry.Admin{Metrics: http.NotFoundHandler(), Ready: func() (bool, []string) {
		return ready, []string{"seal-grant-requested held"}
	}})
	if err := telemetry.AskReady(t.Context(), addr); err != nil {
		t.Errorf("AskReady of a ready worker = %v, want nil", err)
	}
	ready = false
	const want = "503 Service Unavailable: not ready\nseal-grant-requested held"
	if err := telemetry.AskReady(t.Context(), addr); err == nil || err.Error() != want {
		t.Errorf("AskReady of a worker that is not ready = %v, want %s", err, want)
	}
	if err := telemetry.AskReady(t.Context(), "nonsense"); err == nil {
		t.Error("AskReady of a bad address = nil, want an error")
	}
}

// serve runs a server for the time of the test.
func serve(t *testing.T, a telemetry.Admin) (addr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	addr, wait, err := telemetry.Serve(ctx, "127.0.0.1:0", a, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := wait(); err != nil {
			t.Errorf("wait() = %v, want nil", err)
		}
	})
	return addr
}
