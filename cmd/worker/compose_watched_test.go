package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestCompose_watched holds the configuration of what watches to the services it names.
func TestCompose_watched(t *testing.T) {
	project := compose(t)
	var prometheus struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	decode(t, "deploy/prometheus/prometheus.yml", &prometheus)
	var want []string
	for name, s := range project.Services {
		if addr := s.Environment["WORKER_HTTP_ADDR"]; addr != nil && s.Networks != nil && strings.HasPrefix(name, "worker-") && s.Profiles == nil {
			want = append(want, name+strings.TrimPrefix(*addr, "0.0.0.0"))
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, prometheus.ScrapeConfigs[0].StaticConfigs[0].Targets); diff != "" || len(want) != 2 {
		t.Errorf("workers and what Prometheus asks (-want +got):\n%s", diff)
	}
	if tool, err := exec.LookPath("promtool"); err == nil {
		cmd := exec.CommandContext(t.Context(), tool, "check", "config", "prometheus.yml")
		cmd.Dir = filepath.Join(root, "deploy/prometheus")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool check config: %v\n%s", err, out)
		}
	}
	collector := read(t, filepath.Join(root, "deploy/otel/collector.yml"))
	var parts struct {
		Receivers  map[string]any `yaml:"receivers"`
		Processors map[string]any `yaml:"processors"`
		Exporters  map[string]any `yaml:"exporters"`
		Service    struct {
			Pipelines map[string]struct {
				Receivers  []string `yaml:"receivers"`
				Processors []string `yaml:"processors"`
				Exporters  []string `yaml:"exporters"`
			} `yaml:"pipelines"`
		} `yaml:"service"`
	}
	decode(t, "deploy/otel/collector.yml", &parts)
	traces := parts.Service.Pipelines["traces"]
	if traces.Receivers == nil || traces.Exporters == nil {
		t.Error("the collector hands no traces on")
	}
	for i, used := range [][]string{traces.Receivers, traces.Processors, traces.Exporters} {
		for _, name := range used {
			if _, ok := []map[string]any{parts.Receivers, parts.Processors, parts.Exporters}[i][name]; !ok {
				t.Errorf("the collector's %s is not declared", name)
			}
		}
	}
	port := match(t, collector, `http:\n +endpoint: 0\.0\.0\.0:(\d+)`)
	if got := *project.Services["worker-1"].Environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]; got != "http://otel-collector:"+port+"/v1/traces" {
		t.Errorf("workers send traces to %s, the collector listens on port %s", got, port)
	}
	host, _, _ := strings.Cut(match(t, collector, `otlp_grpc:\n +endpoint: (\S+)`), ":")
	var sources struct {
		Datasources []struct {
			URL string `yaml:"url"`
		} `yaml:"datasources"`
	}
	decode(t, "deploy/grafana/provisioning/datasources/essworker.yml", &sources)
	hosts := []string{host}
	for _, d := range sources.Datasources {
		hosts = append(hosts, match(t, d.URL, `^http://([\w-]+):\d+$`))
	}
	for _, host := range hosts {
		if _, ok := project.Services[host].Networks["watch"]; !ok {
			t.Errorf("%s is no service that can be reached", host)
		}
	}
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(root, file))), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
