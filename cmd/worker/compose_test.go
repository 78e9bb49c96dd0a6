package main

import (
	goversion "go/version"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"essworker/internal/esssim"
	"essworker/internal/keys"
	"essworker/internal/roles"
)

// root is the project's folder as seen from a test.
const root = "../.."

func TestCompose_versions(t *testing.T) {
	mod := read(t, filepath.Join(root, "go.mod"))
	image := match(t, compose(t).Services["nats"].Build.DockerfileInline, `(?m)^FROM (\S+)$`)
	if want := "nats:" + match(t, mod, `nats-server/v2 v(\S+)`) + "-alpine"; image != want {
		t.Errorf("docker-compose.yml runs %s, go.mod has the server of %s", image, want)
	}
	builder := "go" + match(t, dockerfile(t), `(?m)^FROM golang:(\S+)`)
	least := "go" + match(t, mod, `(?m)^go (\S+)$`)
	if goversion.Lang(builder) != goversion.Lang(least) || goversion.Compare(builder, least) < 0 {
		t.Errorf("Dockerfile builds with %s, go.mod asks for %s", builder, least)
	}
	for name, service := range compose(t).Services {
		if service.Build == nil && !regexp.MustCompile(`:v?\d+\.\d+\.\d+$`).MatchString(service.Image) {
			t.Errorf("%s runs %s, which may be another one tomorrow", name, service.Image)
		}
	}
}

// TestCompose_confined: no service may do, write or take more than it must, and none is
// reached from elsewhere.
func TestCompose_confined(t *testing.T) {
	for name, s := range compose(t).Services {
		uid, _, _ := strings.Cut(s.User, ":")
		switch {
		case uid == "" || uid == "0" || uid == "root":
			t.Errorf("%s runs as the user %q", name, s.User)
		case !s.ReadOnly || s.Privileged || len(s.CapAdd) > 0 || len(s.Devices) > 0 || s.Pid != "" || s.Ipc != "" || s.NetworkMode == "host":
			t.Errorf("%s: read-only root %t, privileged %t, adds %q, or shares something of the machine", name, s.ReadOnly, s.Privileged, s.CapAdd)
		case !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}):
			t.Errorf("%s drops %q and has %q", name, s.CapDrop, s.SecurityOpt)
		case s.MemLimit <= 0 || s.CPUS <= 0 || s.PidsLimit <= 0:
			t.Errorf("%s may take memory %d, processors %v, processes %d; 0 is all", name, s.MemLimit, s.CPUS, s.PidsLimit)
		case s.Logging == nil || s.Logging.Options["max-size"] == "":
			t.Errorf("the log of %s fills the disk", name)
		case len(s.Networks) == 0 && s.NetworkMode != "none", s.Networks["default"] != nil:
			t.Errorf("%s is in the network of all", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q, want 127.0.0.1: nothing here asks who calls", name, port.Published, port.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && !v.ReadOnly {
				t.Errorf("%s may write to %s", name, v.Source)
			}
		}
		_, watches := s.Networks["watch"]
		_, broker := s.Networks["broker"]
		if watches && broker && s.Image != "essworker" {
			t.Errorf("%s watches and reaches the NATS servers", name)
		}
	}
}

// TestCompose_started names what each of the three ways to start begins with: the vendor
// is called only by the one that says so.
func TestCompose_started(t *testing.T) {
	watching := []string{"grafana", "jaeger", "otel-collector", "prometheus"}
	whole := []string{"keys", "nats-1", "nats-2", "nats-3", "setup", "sim", "worker-1", "worker-2"}
	for _, tt := range []struct{ names, want []string }{
		{nil, slices.Concat(watching, whole)},
		{[]string{"worker-sim"}, []string{"nats", "sim", "worker-sim"}},
		{[]string{"worker"}, []string{"nats", "worker"}},
		{[]string{"viewer"}, []string{"keys", "nats-1", "nats-2", "nats-3", "setup", "viewer"}},
	} {
		project := compose(t)
		project, err := project.WithProfiles(nil)
		if err == nil {
			project, err = project.WithServicesEnabled(tt.names...)
		}
		if err == nil {
			project, err = project.WithSelectedServices(tt.names)
		}
		if err != nil {
			t.Fatal(err)
		}
		started := slices.Sorted(maps.Keys(project.Services))
		slices.Sort(tt.want)
		if diff := cmp.Diff(tt.want, started); diff != "" {
			t.Errorf("docker compose up %q (-want +got):\n%s", tt.names, diff)
		}
		for name, s := range project.Services {
			if slices.Contains(tt.names, "worker") || s.Image != "essworker" || s.Command != nil {
				continue
			}
			for variable, want := range simulatedSettings() {
				if got := s.Environment[variable]; got == nil || *got != want {
					t.Errorf("%s does not have %s=%s: it calls somebody else", name, variable, want)
				}
			}
		}
	}
}

// simulatedSettings are those of a worker that calls the simulator and nobody else.
func simulatedSettings() map[string]string {
	return map[string]string{
		"ESS_ENDPOINT":            "http://sim:9080",
		"ESSBASIC_ENDPOINT":       "http://sim:9080",
		"TENCENTCLOUD_SECRET_ID":  esssim.SecretID,
		"TENCENTCLOUD_SECRET_KEY": esssim.SecretKey,
		"ESS_OPERATOR_USER_ID":    esssim.OperatorUserID,
		"ESS_APP_ID":              esssim.AppID,
	}
}

func TestCompose_servers(t *testing.T) {
	t.Setenv("NATS_SERVER_NAME", "nats-1")
	made := newKeys(t, "nats-1")
	for name, s := range compose(t).Services {
		if s.Image != "essworker-nats" {
			continue
		}
		conf := filepath.Base(s.Command[1])
		opts, err := server.ProcessConfigFile(shippedConf(t, conf, made, "nats-1"))
		if err != nil {
			t.Fatal(err)
		}
		if !opts.JetStream || !opts.SyncAlways {
			t.Errorf("%s: JetStream %t, synced always %t, want both: else accepted events can be lost", name, opts.JetStream, opts.SyncAlways)
		}
		mounted := func(typ, source, target string) bool {
			return slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
				return v.Type == typ && v.Target == target && (source == "" || filepath.Base(v.Source) == source)
			})
		}
		if !mounted(types.VolumeTypeBind, conf, s.Command[1]) {
			t.Errorf("%s has no %s", name, s.Command[1])
		}
		if !mounted(types.VolumeTypeVolume, name+"-data", opts.StoreDir) {
			t.Errorf("%s, where %s stores, is no volume of its own: it would go with the container", opts.StoreDir, name)
		}
		if conf == "cluster.conf" && (*s.Environment["NATS_SERVER_NAME"] != name || !mounted(types.VolumeTypeBind, "roles.conf", "/etc/nats/roles.conf")) {
			t.Errorf("%s is called %s, or has no roles", name, *s.Environment["NATS_SERVER_NAME"])
		}
	}
}

// TestCompose_keys: each service sees the folder of keys that is its own, and nothing of
// the others'.
func TestCompose_keys(t *testing.T) {
	project := compose(t)
	folder := map[string]string{
		"nats-1": "nats-1", "nats-2": "nats-2", "nats-3": "nats-3", "setup": string(roles.Provisioner),
		"worker-1": string(roles.Worker), "worker-2": string(roles.Worker),
		"publisher": string(roles.Publisher), "viewer": string(roles.Viewer), "operator": string(roles.Operator),
	}
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Source != "keys" || name == "keys" {
				continue
			}
			if v.Volume == nil || v.Volume.Subpath != folder[name] || !v.Volume.NoCopy || !v.ReadOnly {
				t.Errorf("%s has the folder %+v of the keys, read-only %t, want %q", name, v.Volume, v.ReadOnly, folder[name])
			}
			delete(folder, name)
			if file := s.Environment["WORKER_CONFIG"]; file != nil &&
				(*file != v.Target+"/"+keys.LoginFile || *s.Environment["NATS_CA"] != v.Target+"/"+keys.AuthorityFile) {
				t.Errorf("%s looks for its login in %s and %s", name, *file, *s.Environment["NATS_CA"])
			}
		}
	}
	if len(folder) > 0 {
		t.Errorf("without keys: %v", folder)
	}
	args := project.Services["keys"].Command
	if code, out, errOut := worked(t.Context(), "", append([]string{args[0], t.TempDir()}, args[2:]...)...); code != 0 || !strings.Contains(out, "nats-3/server.key") {
		t.Errorf("%q: exit code %d: %s", args, code, errOut)
	}
	if !strings.Contains(dockerfile(t), "--chown=65532:65532 "+args[1]+" "+args[1]) {
		t.Errorf("the image has no folder %s that its user may write to", args[1])
	}
}

func TestCompose_settings(t *testing.T) {
	known := knownVariables(t)
	drain := parsed(t, []string{"run"}).Run.Lanes.Drain
	for name, s := range compose(t).Services {
		if s.Image != "essworker" {
			continue
		}
		for variable := range s.Environment {
			if !slices.Contains(known, variable) && !strings.HasPrefix(variable, "OTEL_EXPORTER_OTLP_") {
				t.Errorf("%s sets %s, which is no setting%s", name, variable, suggest(variable, known))
			}
		}
		if s.Command != nil {
			continue
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < drain+settleTime {
			t.Errorf("%s is killed after %v, and has up to %v to finish", name, s.StopGracePeriod, drain+settleTime)
		}
		if s.HealthCheck == nil || !slices.Equal(s.HealthCheck.Test, []string{"CMD", "/worker", "ready"}) {
			t.Errorf("%s is not asked whether it is ready", name)
		}
	}
}

// settleTime is what a worker takes beyond WORKER_DRAIN at most: to store what it has
// done, and to flush.
const settleTime = 8 * time.Second

// TestCompose_vendor: laid over, the second file leaves nothing of the simulator, and a
// worker that is otherwise the same.
func TestCompose_vendor(t *testing.T) {
	project, err := compose(t, "deploy/compose.vendor.yml").WithProfiles(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, started := project.Services["sim"]; started {
		t.Error("the simulator is started")
	}
	small := compose(t).Services["worker"]
	for _, name := range []string{"worker-1", "worker-2"} {
		s, before := project.Services[name], compose(t).Services[name]
		for variable, value := range s.Environment {
			if _, simulated := simulatedSettings()[variable]; simulated && *value != "" {
				t.Errorf("%s still has %s=%s", name, variable, *value)
			}
		}
		if _, http := s.Environment["ESS_ALLOW_HTTP"]; http || s.DependsOn["sim"].Condition != "" {
			t.Errorf("%s still allows http %t, depends on %v", name, http, s.DependsOn)
		}
		if diff := cmp.Diff(small.Secrets, s.Secrets); diff != "" || !strings.HasPrefix(*s.Environment["TENCENTCLOUD_SECRET_KEY_FILE"], "/run/secrets/") {
			t.Errorf("the secrets of worker and of %s:\n%s", name, diff)
		}
		if diff := cmp.Diff(before.Volumes, s.Volumes); diff != "" || !s.ReadOnly || s.User != before.User {
			t.Errorf("%s is not as before:\n%s", name, diff)
		}
	}
}

// compose loads docker-compose.yml as docker compose does, with other files over it, all
// profiles on.
func compose(t *testing.T, over ...string) *types.Project {
	t.Helper()
	details := types.ConfigDetails{WorkingDir: root, Environment: types.Mapping{}}
	for _, file := range append([]string{"docker-compose.yml"}, over...) {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: filepath.Join(root, file)})
	}
	project, err := loader.LoadWithContext(t.Context(), details, func(o *loader.Options) {
		o.SetProjectName("essworker", true)
		o.Profiles = []string{"*"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := project.CheckContainerNameUnicity(); err != nil {
		t.Fatal(err)
	}
	return project
}
