package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"essworker/internal/keys"
	"essworker/internal/roles"
)

// What the manifests say about the worker is held to it here; that they are what
// Kubernetes takes, and fit each other, is deploy/k8s/manifests_test.go's.
type (
	workload struct {
		Spec struct {
			Template struct {
				Metadata struct {
					Annotations map[string]string `yaml:"annotations"`
				} `yaml:"metadata"`
				Spec struct {
					Grace      int         `yaml:"terminationGracePeriodSeconds"`
					Containers []container `yaml:"containers"`
					Volumes    []struct {
						Name   string `yaml:"name"`
						Secret struct {
							Name string `yaml:"secretName"`
						} `yaml:"secret"`
					} `yaml:"volumes"`
				} `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	container struct {
		Args []string `yaml:"args"`
		Env  []struct {
			Name  string `yaml:"name"`
			Value string `yaml:"value"`
		} `yaml:"env"`
		Ports []struct {
			Name string `yaml:"name"`
			Port int    `yaml:"containerPort"`
		} `yaml:"ports"`
		Startup   probe `yaml:"startupProbe"`
		Liveness  probe `yaml:"livenessProbe"`
		Readiness probe `yaml:"readinessProbe"`
		Mounts    []struct {
			Name string `yaml:"name"`
			Path string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}
	probe struct {
		HTTP struct {
			Path string `yaml:"path"`
			Port string `yaml:"port"`
		} `yaml:"httpGet"`
	}
)

func TestK8s_worker(t *testing.T) {
	w, c := workloadOf(t, "deployment.yaml")
	drain := parsed(t, c.Args).Run.Lanes.Drain
	if grace := time.Duration(w.Spec.Template.Spec.Grace) * time.Second; grace < drain+settleTime {
		t.Errorf("the worker is killed after %v, and has up to %v to finish", grace, drain+settleTime)
	}
	set := settingsEnv(t)
	port := match(t, set["WORKER_HTTP_ADDR"], `^0\.0\.0\.0:(\d+)$`)
	if len(c.Ports) != 1 || strconv.Itoa(c.Ports[0].Port) != port {
		t.Fatalf("the worker listens on port %s, the container has %v", port, c.Ports)
	}
	for _, p := range []struct {
		probe
		want string
	}{{c.Startup, "/healthz"}, {c.Liveness, "/healthz"}, {c.Readiness, "/readyz"}} {
		if p.HTTP.Path != p.want || p.HTTP.Port != c.Ports[0].Name {
			t.Errorf("a probe asks %s at port %s, want %s at %s", p.HTTP.Path, p.HTTP.Port, p.want, c.Ports[0].Name)
		}
	}
	if a := w.Spec.Template.Metadata.Annotations; a["prometheus.io/port"] != port || a["prometheus.io/path"] != "/metrics" {
		t.Errorf("annotations %v", a)
	}
	monitor := read(t, k8s("podmonitor.yaml"))
	if got := match(t, monitor, `\{port: (\w+), path: /metrics,`); got != c.Ports[0].Name {
		t.Errorf("podmonitor.yaml asks port %s", got)
	}
}

// TestK8s_settings: whatever is set is a setting, and every file is where it is looked for.
func TestK8s_settings(t *testing.T) {
	known := knownVariables(t)
	set := settingsEnv(t)
	var overlay struct {
		ConfigMaps []struct {
			Literals []string `yaml:"literals"`
		} `yaml:"configMapGenerator"`
	}
	decode(t, "deploy/k8s/overlays/production/kustomization.yaml", &overlay)
	for _, literal := range overlay.ConfigMaps[0].Literals {
		name, value, _ := strings.Cut(literal, "=")
		set[name] = value
	}
	files := map[string]string{"NATS_CA": keys.AuthorityFile, "WORKER_CONFIG": keys.LoginFile}
	for file, role := range map[string]roles.Role{"deployment.yaml": roles.Worker, "setup.yaml": roles.Provisioner} {
		w, c := workloadOf(t, file)
		secrets := map[string]string{} // by folder
		for _, m := range c.Mounts {
			for _, v := range w.Spec.Template.Spec.Volumes {
				if v.Name == m.Name {
					secrets[m.Path] = v.Secret.Name
				}
			}
		}
		for name, base := range files {
			if secret := secrets[filepath.Dir(set[name])]; filepath.Base(set[name]) != base || secret != "essworker-"+string(role)+"-login" {
				t.Errorf("%s: %s=%s is %q of the secret %q", file, name, set[name], base, secret)
			}
		}
		for _, e := range c.Env {
			set[e.Name] = e.Value
			if strings.HasSuffix(e.Name, "_FILE") && secrets[filepath.Dir(e.Value)] == "" {
				t.Errorf("%s: %s=%s is in no secret", file, e.Name, e.Value)
			}
		}
	}
	for name := range set {
		if !slices.Contains(known, name) && !strings.HasPrefix(name, "OTEL_") {
			t.Errorf("%s is set, which is no setting%s", name, suggest(name, known))
		}
	}
}

func TestK8s_setup(t *testing.T) {
	_, c := workloadOf(t, "setup.yaml")
	if got := parsed(t, c.Args).Setup.Subscriber; !slices.Equal(got, []string{roles.DefaultSubscriber}) {
		t.Errorf("subscribers %q, whose user is for %q", got, roles.DefaultSubscriber)
	}
}

// TestK8s_autoscaler: it counts by a metric that the worker gives out and the adapter
// hands on.
func TestK8s_autoscaler(t *testing.T) {
	metric := match(t, read(t, k8s("base/autoscaler.yaml")), `metric: \{name: (\w+)\}`)
	adapter := read(t, k8s("prometheus-adapter.yaml"))
	if got := match(t, adapter, `name: \{as: (\w+)\}`); got != metric {
		t.Errorf("the adapter calls it %s, the autoscaler %s", got, metric)
	}
	series := match(t, adapter, `seriesQuery: (\w+)\{`)
	line := regexp.MustCompile("(?m)^\\| `" + series + "` .*$").FindString(read(t, filepath.Join(root, "docs/metrics.md")))
	if !strings.Contains(line, "by lane and state: waiting,") {
		t.Errorf("docs/metrics.md has of %s: %q", series, line)
	}
}

func k8s(file string) string { return filepath.Join(root, "deploy/k8s", file) }

func workloadOf(t *testing.T, file string) (w workload, c container) {
	t.Helper()
	decode(t, "deploy/k8s/base/"+file, &w)
	return w, w.Spec.Template.Spec.Containers[0]
}

func settingsEnv(t *testing.T) map[string]string {
	t.Helper()
	set := map[string]string{}
	for line := range strings.Lines(read(t, k8s("base/settings.env"))) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			set[name] = value
		}
	}
	return set
}

func knownVariables(t *testing.T) []string {
	t.Helper()
	k, err := kong.New(&cli{}, kong.Bind(&sources{}))
	if err != nil {
		t.Fatal(err)
	}
	return variables(k.Model.Node)
}

// parsed is the command line as the program takes it.
func parsed(t *testing.T, args []string) *cli {
	t.Helper()
	src := &sources{}
	c := &cli{}
	k, err := kong.New(c, kong.Resolvers(src), kong.Bind(src))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Parse(args); err != nil {
		t.Fatalf("worker %s: %v", strings.Join(args, " "), err)
	}
	return c
}
