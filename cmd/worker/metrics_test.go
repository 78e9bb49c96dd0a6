package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	promexport "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"essworker/internal/esssim"
	"essworker/internal/natsconn"
	"essworker/internal/natsd"
)

// instrumentsSeen takes down every instrument that is made, used or not.
type instrumentsSeen struct {
	mu   sync.Mutex
	made map[string]sdkmetric.Instrument
}

func (s *instrumentsSeen) view(i sdkmetric.Instrument) (sdkmetric.Stream, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[i.Name] = i
	return sdkmetric.Stream{}, false
}

func (s *instrumentsSeen) all() map[string]sdkmetric.Instrument {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.made)
}

// TestMetrics_documented: docs/metrics.md has every metric of the worker, and no other.
// With -update it is written anew.
func TestMetrics_documented(t *testing.T) {
	seen := &instrumentsSeen{made: map[string]sdkmetric.Instrument{}}
	registry := prometheus.NewRegistry()
	scrape, err := promexport.New(promexport.WithRegisterer(registry), promexport.WithoutScopeInfo())
	if err != nil {
		t.Fatal(err)
	}
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(scrape), sdkmetric.WithView(seen.view))
	playWorker(t, meter, registry)

	var table strings.Builder
	table.WriteString("| in Prometheus | in OpenTelemetry | kind | meaning |\n|---|---|---|---|\n")
	inPrometheus := map[string]bool{"target_info": true}
	for _, name := range slices.Sorted(maps.Keys(seen.all())) {
		i := seen.all()[name]
		prom, kind := spelled(i)
		inPrometheus[prom] = true
		fmt.Fprintf(&table, "| `%s` | `%s` | %s | %s |\n", prom, name, kind, i.Description)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !inPrometheus[f.GetName()] {
			t.Errorf("%s is scraped, and the table spells it otherwise", f.GetName())
		}
	}

	const doc, begin, end = "../../docs/metrics.md", "<!-- made by TestMetrics_documented -->\n", "<!-- end -->"
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(text, []byte(begin))
	was, tail, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		t.Fatalf("%s has no table between %q and %q", doc, begin, end)
	}
	if string(was) == table.String() {
		return
	}
	if !*update {
		t.Fatalf("%s does not say what metrics there are; go test ./cmd/worker -run TestMetrics_documented -update writes\n%s", doc, table.String())
	}
	if err := os.WriteFile(doc, slices.Concat(head, []byte(begin), []byte(table.String()), []byte(end), tail), 0o600); err != nil {
		t.Fatal(err)
	}
}

// spelled is an instrument's name in Prometheus, and its kind.
func spelled(i sdkmetric.Instrument) (name, kind string) {
	name = strings.ReplaceAll(i.Name, ".", "_")
	if i.Unit == "s" {
		name += "_seconds"
	}
	switch i.Kind {
	case sdkmetric.InstrumentKindCounter, sdkmetric.InstrumentKindObservableCounter:
		return name + "_total", "counter"
	case sdkmetric.InstrumentKindHistogram:
		return name, "histogram"
	default:
		return name, "gauge"
	}
}

// playWorker runs a worker, with everything that has metrics, until it has worked on an
// event of each sample and looked at the deployment.
func playWorker(t *testing.T, meter *sdkmetric.MeterProvider, registry *prometheus.Registry) {
	t.Helper()
	set := simulated("http://127.0.0.1:9080")
	api, err := set.vendor(esssim.New(esssim.Config{Rate: 20}), meter, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	e, err := startEmbedded(t.Context(), natsd.Config{Dir: t.TempDir()}, set.Topology)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := natsconn.Connect(t.Context(), natsconn.Config{}, natsconn.Options{
		Name: "test", InboxPrefix: "_INBOX_worker", Meter: meter.Meter("essworker/natsconn"), InProcess: e.server, NoRetry: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	nc.Close() // its metrics are made
	ctx, stop := context.WithCancel(t.Context())
	worked := make(chan error, 1)
	w := worker{
		settings: set, api: api, nc: e.nc, js: e.js, log: slog.New(slog.DiscardHandler),
		tracer: tracenoop.NewTracerProvider(), meter: meter,
	}
	go func() { worked <- serve(ctx, w) }()
	for i, sam := range samples() {
		if _, _, err := play(ctx, e.js, set.Topology, i, sam); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the deployment looked at", func() bool {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "essworker_fleet_workers" {
				return true
			}
		}
		return false
	})
	stop()
	if err := <-worked; err != nil {
		t.Error(err)
	}
	if err := e.close(); err != nil {
		t.Error(err)
	}
}
