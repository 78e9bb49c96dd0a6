package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What the alerts and the dashboard are made of: each expression.
type (
	alertFile struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Type    string `json:"type"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
			Position struct {
				X int `json:"x"`
				Y int `json:"y"`
				W int `json:"w"`
				H int `json:"h"`
			} `json:"gridPos"`
		} `json:"panels"`
	}
)

func alerts(t *testing.T) alertFile {
	t.Helper()
	var f alertFile
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(root, "deploy/prometheus/alerts.yml"))), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAlerts_measureWhatThereIs holds alerts and dashboard to docs/metrics.md, which
// another test holds to the worker.
func TestAlerts_measureWhatThereIs(t *testing.T) {
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `[\\w.]+` \\| (\\w+) \\|").FindAllStringSubmatch(read(t, filepath.Join(root, "docs/metrics.md")), -1) {
		documented[row[1]] = true
		if row[2] == "histogram" {
			documented[row[1]+"_bucket"], documented[row[1]+"_count"], documented[row[1]+"_sum"] = true, true, true
		}
	}
	measured := map[string][]string{} // expressions by place
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			measured["alert "+r.Alert] = append(measured["alert "+r.Alert], r.Expr)
		}
	}
	var board dashboard
	if err := json.Unmarshal([]byte(read(t, filepath.Join(root, "deploy/grafana/dashboards/essworker.json"))), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			measured["panel "+p.Title] = append(measured["panel "+p.Title], target.Expr)
		}
	}
	if len(measured) < 30 {
		t.Fatalf("%d alerts and panels found: the files are not read as they are written", len(measured))
	}
	name := regexp.MustCompile(`\b(?:essworker|ess|messaging|http_client|nats)_\w+`)
	labels := regexp.MustCompile(`(?:by|on) \([^)]*\)|\{[^}]*\}`)
	for place, exprs := range measured {
		found := 0
		for _, expr := range exprs {
			for _, metric := range name.FindAllString(labels.ReplaceAllString(expr, ""), -1) {
				if found++; !documented[metric] {
					t.Errorf("%s measures %s, which docs/metrics.md does not have", place, metric)
				}
			}
			if found += strings.Count(expr, "process_"); found == 0 {
				t.Errorf("%s measures nothing of the worker's: %s", place, expr)
			}
		}
	}
}

// TestAlerts_leadToTheRunbook: whoever is woken finds what to do.
func TestAlerts_leadToTheRunbook(t *testing.T) {
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			file, anchor, ok := strings.Cut(r.Annotations["runbook_url"], "#")
			if !ok || r.Annotations["summary"] == "" || !slices.Contains([]string{"page", "ticket"}, r.Labels["severity"]) {
				t.Errorf("%s: summary %q, runbook %q, severity %q", r.Alert, r.Annotations["summary"], file, r.Labels["severity"])
				continue
			}
			found := false
			for line := range strings.Lines(read(t, filepath.Join(root, file))) {
				title, is := strings.CutPrefix(strings.TrimSpace(line), "## ")
				found = found || is && anchorOf(title) == anchor
			}
			if !found {
				t.Errorf("%s: %s has no section %q", r.Alert, file, anchor)
			}
		}
	}
}

// anchorOf is where a heading is found on a rendered page.
func anchorOf(title string) string {
	title = regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(title), "")
	return strings.ReplaceAll(title, " ", "-")
}

// TestAlerts_fire plays the alerts' own tests, where Prometheus' tool is installed.
func TestAlerts_fire(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian's package prometheus)")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = filepath.Join(root, "deploy/prometheus")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tested := read(t, filepath.Join(root, "deploy/prometheus/alerts_test.yml"))
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			if !regexp.MustCompile(`alertname="` + r.Alert + `",alertstate="firing"}', exp_samples`).MatchString(tested) {
				t.Errorf("no test shows that %s fires", r.Alert)
			}
		}
	}
}

// TestDashboard_fits: no panel lies on another or beyond the edge.
func TestDashboard_fits(t *testing.T) {
	var board dashboard
	if err := json.Unmarshal([]byte(read(t, filepath.Join(root, "deploy/grafana/dashboards/essworker.json"))), &board); err != nil {
		t.Fatal(err)
	}
	for i, a := range board.Panels {
		if a.Position.X+a.Position.W > 24 {
			t.Errorf("%q reaches beyond the edge", a.Title)
		}
		for _, b := range board.Panels[:i] {
			if a.Position.X < b.Position.X+b.Position.W && b.Position.X < a.Position.X+a.Position.W &&
				a.Position.Y < b.Position.Y+b.Position.H && b.Position.Y < a.Position.Y+a.Position.H {
				t.Errorf("%q lies on %q", a.Title, b.Title)
			}
		}
	}
}
