package telemetry

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// The server's limits. A console that streams lifts the write limit for its own
// response with http.ResponseController.
const (
	readLimit    = 10 * time.Second
	writeLimit   = 30 * time.Second
	idleLimit    = 2 * time.Minute
	stopLimit    = 3 * time.Second
	headerLimit  = 16 << 10
	answerLimit  = 64 << 10
	answerWithin = 5 * time.Second
)

// Admin is what the server shows of a process.
type Admin struct {
	Metrics http.Handler // at /metrics; required
	// Ready says whether the process does its work and, if not, why not, a line a
	// reason and nothing personal in them. It is called for each request and must
	// not wait. Nil is always ready.
	Ready   func() (ok bool, reasons []string)
	Console http.Handler // at / and below; nil gives a page of links
}

// Serve answers on addr: /healthz (the process lives), /readyz (it
// works, or 503 and the reasons), /metrics, and the console on every other path.
// What another site's page could send through a browser is refused: changes from
// a foreign origin, and on a loopback address any host name but a local one.
//
// It gives the address bound, which differs from addr for port 0. Wait blocks until
// ctx ends, then stops the server; not before it is called, so that a worker that
// finishes its work first stays visible. An empty addr serves nothing, and wait
// returns at once. An error says which setting to change.
func Serve(ctx context.Context, addr string, a Admin, log *slog.Logger) (bound string, wait func() error, err error) {
	if addr == "" {
		return "", func() error { return nil }, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", nil, listenError(addr, err)
	}
	handler := http.NewCrossOriginProtection().Handler(a.mux())
	if local(l.Addr().String()) {
		handler = localOnly(handler)
	}
	base, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readLimit,
		ReadTimeout:       readLimit,
		WriteTimeout:      writeLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    headerLimit,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // a scanner's broken requests
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	// A response that streams must learn of the stop, or it would use up stopLimit.
	server.RegisterOnShutdown(endRequests)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	return l.Addr().String(), func() error {
		select {
		case err := <-served:
			return fmt.Errorf("serve http: %w", err)
		case <-ctx.Done():
			return stop(context.WithoutCancel(ctx), server)
		}
	}, nil
}

// stop lets requests under way finish for a while, then ends them.
func stop(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("stop http: %w", err), server.Close())
	}
	return nil
}

func listenError(addr string, err error) error {
	const change = "set --http-addr (WORKER_HTTP_ADDR) to another address, or to nothing to serve none"
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("--http-addr: %s is in use by another process; %s", addr, change)
	}
	return fmt.Errorf("--http-addr: %w; %s", err, change)
}

// localOnly refuses requests for a foreign host name: a page elsewhere whose name
// was made to point here passes for the same origin in a browser.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r.Host) {
			answer(w, http.StatusMisdirectedRequest, "served to this machine only: use localhost")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local reports whether a host, with or without a port, is this machine alone.
func local(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func (a Admin) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ok, reasons := a.ready(); !ok {
			answer(w, http.StatusServiceUnavailable, "not ready", reasons...)
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", a.Metrics)
	if a.Console != nil {
		mux.Handle("/", a.Console)
	} else {
		mux.HandleFunc("GET /{$}", a.links)
	}
	return mux
}

func (a Admin) ready() (bool, []string) {
	if a.Ready == nil {
		return true, nil
	}
	return a.Ready()
}

// answer writes plain text that nobody may keep.
func answer(w http.ResponseWriter, status int, first string, more ...string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A client that has gone is no event worth a line.
	_, _ = io.WriteString(w, strings.Join(append([]string{first}, more...), "\n")+"\n")
}

// links is the page at / when there is no console.
func (a Admin) links(w http.ResponseWriter, _ *http.Request) {
	ok, reasons := a.ready()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_ = page.Execute(w, struct {
		Ready   bool
		Reasons []string
	}{ok, reasons})
}

var page = template.Must(template.New("links").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>essworker</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:40rem;padding:0 1rem}</style>
<h1>essworker</h1>
{{if .Ready}}<p>Ready.</p>{{else}}<p>Not ready:</p>
<ul>{{range .Reasons}}<li>{{.}}</li>{{end}}</ul>{{end}}
<p><a href="/readyz">readyz</a> · <a href="/healthz">healthz</a> · <a href="/metrics">metrics</a></p>
</html>
`))

// AskReady asks the worker whose HTTP server has the address addr, on this
// machine, whether it is ready; the error holds its reasons. It is the health
// check of a container that has no shell.
func AskReady(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--http-addr: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, port) + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("--http-addr: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy from the environment
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no worker answers on %s: %w", addr, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
