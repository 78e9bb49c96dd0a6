package gauges_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"essworker/internal/event"
	"essworker/internal/gauges"
	"essworker/internal/natstest"
	"essworker/internal/replay"
)

const typ = "employee.onboarded"

// serve gives out the gauges of a deployment, and what reads them.
func serve(t *testing.T, b *natstest.Bed, cfg gauges.Config) (read func() map[string]float64) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	routes := []event.Route{{Type: typ, Success: "employee.bound", Failure: "employee.bind.failed", Product: "ess", Action: "Bind"}}
	office, err := replay.Open(t.Context(), b.NC, b.JS, b.Topology.Names, routes)
	if err != nil {
		t.Fatal(err)
	}
	g := gauges.Gauges{
		Config: cfg, JS: b.JS, Topology: b.Topology.Names, Routes: routes, Office: office,
		Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test"), Log: slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- g.Serve(ctx, b.NC) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return func() map[string]float64 { return collect(t, reader) }
}

// collect reads series as "name value-of-attribute...".
func collect(t *testing.T, reader sdkmetric.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	name := func(metric string, attrs attribute.Set) string {
		words := []string{metric}
		for _, a := range attrs.ToSlice() {
			words = append(words, a.Value.String())
		}
		return strings.Join(words, " ")
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					got[name(m.Name, p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					got[name(m.Name, p.Attributes)] = p.Value
				}
			default:
				t.Errorf("%s is a %T", m.Name, m.Data)
			}
		}
	}
	return got
}

// TestServe: the figures are those of the deployment, and grow older; once the broker
// does not answer any more there are none, in place of old ones.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		for _, subject := range []string{
			b.Topology.EventSubject(typ), b.Topology.EventSubject(typ), b.Topology.LetterSubject("rejected", typ, "1-dxb2kq9zv1a2"),
		} {
			if _, err := b.JS.Publish(t.Context(), subject, nil); err != nil {
				t.Fatal(err)
			}
		}
		read := serve(t, b, gauges.Config{})
		time.Sleep(time.Minute)
		synctest.Wait()
		got := read()
		want := map[string]float64{
			"essworker.lane.backlog employee.onboarded waiting": 2, "essworker.lane.backlog employee.onboarded calls": 0,
			"essworker.lane.backlog employee.onboarded retry": 0, "essworker.lane.oldest employee.onboarded": 60,
			"essworker.lane.paused employee.onboarded": 0, "essworker.lane.workers employee.onboarded": 0,
			"essworker.quota.used employee.onboarded": 0, "essworker.letters.stored employee.onboarded rejected": 1,
			"essworker.letters.oldest": 60, "essworker.letters.oldest_untouched": 60, "essworker.fleet.workers": 0,
			"essworker.replay.jobs waiting": 0, "essworker.replay.jobs canary": 0, "essworker.replay.jobs running": 0,
			"essworker.replay.jobs holding": 0, "essworker.replay.jobs paused": 0,
		}
		for _, stream := range b.Topology.Streams() {
			want["essworker.stream.copies "+stream], want["essworker.stream.copies_current "+stream] = 1, 1
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("gauges (-want +got):\n%s", d)
		}

		time.Sleep(10 * time.Second)
		if got := read()["essworker.lane.oldest employee.onboarded"]; got != 70 {
			t.Errorf("ten seconds later the oldest event is %v seconds old, want 70", got)
		}
		b.Stop()
		time.Sleep(2 * time.Minute)
		if got := read(); len(got) > 0 {
			t.Errorf("two minutes after the broker has gone: %v, want nothing", got)
		}
	})
}

// TestServe_syncs: servers whose monitoring is known tell how they sync; one that does
// not answer tells nothing, and keeps none of the others from telling.
func TestServe_syncs(t *testing.T) {
	answers := map[string]string{
		"always:8222": `{"config":{"sync_always":true}}`, "late:8222": `{"config":{"sync_interval":120000000000}}`, "silent:8222": `{"config":nothing}`,
	}
	// Not over sockets: by the real clock a server has a second or so for its answer.
	sockets := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = sockets })
	http.DefaultTransport = monitoring(func(r *http.Request) (*http.Response, error) {
		if answer, ok := answers[r.URL.Host]; ok {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
		}
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		var cfg gauges.Config
		for _, host := range []string{"hung:8222", "always:8222", "late:8222", "silent:8222"} {
			cfg.Monitors = append(cfg.Monitors, &url.URL{Scheme: "http", Host: host})
		}
		read := serve(t, b, cfg)
		time.Sleep(10 * time.Second) // the longest that a look takes
		got := read()
		maps.DeleteFunc(got, func(name string, _ float64) bool {
			return len(name) < 30 || name[:28] != "essworker.broker.sync_always"
		})
		want := map[string]float64{"essworker.broker.sync_always always:8222": 1, "essworker.broker.sync_always late:8222": 0}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("gauges (-want +got):\n%s", d)
		}
	})
}

// monitoring answers in place of servers.
type monitoring func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (m monitoring) RoundTrip(r *http.Request) (*http.Response, error) { return m(r) }
