package main

import (
	"crypto/sha256"
	"debug/elf"
	goversion "go/version"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"

	"essworker/internal/esssim"
)

// root is the project's folder as seen from a test.
const root = "../.."

func TestCompose_versions(t *testing.T) {
	mod := read(t, filepath.Join(root, "go.mod"))
	image := compose(t).Services["nats"].Image
	if want := "nats:" + match(t, mod, `nats-server/v2 v(\S+)`) + "-alpine"; image != want {
		t.Errorf("docker-compose.yml runs %s, go.mod has the server of %s", image, want)
	}
	builder := "go" + match(t, dockerfile(t), `(?m)^FROM golang:(\S+)`)
	least := "go" + match(t, mod, `(?m)^go (\S+)$`)
	if goversion.Lang(builder) != goversion.Lang(least) || goversion.Compare(builder, least) < 0 {
		t.Errorf("Dockerfile builds with %s, go.mod asks for %s", builder, least)
	}
}

func TestCompose_server(t *testing.T) {
	nats := compose(t).Services["nats"]
	i := slices.IndexFunc(nats.Volumes, func(v types.ServiceVolumeConfig) bool { return strings.HasSuffix(v.Source, ".conf") })
	if i < 0 || !slices.Equal([]string(nats.Command), []string{"--config", nats.Volumes[i].Target}) {
		t.Fatalf("the server's command is %q, with the volumes %v", nats.Command, nats.Volumes)
	}
	opts, err := server.ProcessConfigFile(nats.Volumes[i].Source)
	if err != nil {
		t.Fatal(err)
	}
	if !opts.JetStream || !opts.SyncAlways {
		t.Errorf("JetStream %t, synced always %t, want both: else accepted events can be lost", opts.JetStream, opts.SyncAlways)
	}
	kept := slices.ContainsFunc(nats.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Type == types.VolumeTypeVolume && v.Target == opts.StoreDir
	})
	if !kept {
		t.Errorf("%s, where the server stores, is no volume: it would go with the container", opts.StoreDir)
	}
}

func TestCompose_worker(t *testing.T) {
	k, err := kong.New(&settings{})
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, flag := range settingsOf(k.Model.Node) {
		known = append(known, flag.Envs...)
	}
	project := compose(t)
	vendor, simulated := project.Services["worker"], project.Services["worker-sim"]
	for _, service := range []types.ServiceConfig{vendor, simulated} {
		for name := range service.Environment {
			if !slices.Contains(known, name) {
				t.Errorf("%s sets %s, which is no setting%s", service.Name, name, suggest(name, known))
			}
		}
	}
	both := slices.ContainsFunc(vendor.Profiles, func(p string) bool { return slices.Contains(simulated.Profiles, p) })
	if both || len(vendor.Profiles) == 0 || len(simulated.Profiles) == 0 {
		t.Errorf("profiles %q and %q start both workers at once: events for the simulator would go to the vendor",
			vendor.Profiles, simulated.Profiles)
	}
	for name, want := range map[string]string{
		"TENCENTCLOUD_SECRET_ID":  esssim.SecretID,
		"TENCENTCLOUD_SECRET_KEY": esssim.SecretKey,
		"ESS_OPERATOR_USER_ID":    esssim.OperatorUserID,
		"ESS_APP_ID":              esssim.AppID,
	} {
		if got := simulated.Environment[name]; got == nil || *got != want {
			t.Errorf("worker-sim has %s=%v, the simulator knows %s", name, got, want)
		}
	}
}

func TestCompose_thisMachineOnly(t *testing.T) {
	for name, service := range compose(t).Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q, want 127.0.0.1: nothing here asks who calls", name, port.Published, port.HostIP)
			}
		}
	}
}

// TestDockerfile builds with the image's own command and runs what the services
// run, as far as can be told without their network.
func TestDockerfile(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the whole program without cgo")
	}
	binary := filepath.Join(t.TempDir(), "worker")
	line := match(t, dockerfile(t), `(?m)^RUN (CGO_ENABLED=0 go build .*)$`)
	build := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line, "-o /worker ", "-o "+binary+" ", 1))
	build.Dir, build.Env = root, append(os.Environ(), "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the binary wants a dynamic loader, which an empty image does not have")
	}
	if runtime.GOOS != "linux" {
		return
	}
	commands := [][]string{{match(t, dockerfile(t), `(?m)^CMD \["(\w+)"\]$`)}}
	for _, service := range compose(t).Services {
		if service.Image != "essworker" {
			continue
		}
		if len(service.Command) > 0 {
			commands = append(commands, service.Command)
		}
		if check := service.HealthCheck; check != nil {
			commands = append(commands, check.Test[2:]) // behind CMD and the binary's path
		}
	}
	for _, args := range commands {
		cmd := exec.CommandContext(t.Context(), binary, append(slices.Clone(args), "--help")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("worker %s --help: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestDockerfile_sameBytes: the image's build gives the same bytes from the same files,
// wherever they lie, so that anybody can prove what a release was made of.
func TestDockerfile_sameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the whole program without cgo, twice")
	}
	line := match(t, dockerfile(t), `(?m)^RUN (CGO_ENABLED=0 go build .*)$`)
	elsewhere := filepath.Join(t.TempDir(), "another", "folder")
	if err := os.MkdirAll(elsewhere, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"go.mod", "go.sum", "cmd", "internal", "schemas"} {
		info, err := os.Stat(filepath.Join(root, part))
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(filepath.Join(elsewhere, part), os.DirFS(filepath.Join(root, part)))
		} else {
			err = os.WriteFile(filepath.Join(elsewhere, part), []byte(read(t, filepath.Join(root, part))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var built [2][sha256.Size]byte
	for i, dir := range []string{root, elsewhere} {
		binary := filepath.Join(t.TempDir(), "worker")
		build := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line, "-o /worker ", "-o "+binary+" ", 1))
		// A copy is no checkout: the commit is left out of both.
		build.Dir, build.Env = dir, append(os.Environ(), "GOOS=linux", "GOFLAGS=-buildvcs=false")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		built[i] = sha256.Sum256([]byte(read(t, binary)))
	}
	if built[0] != built[1] {
		t.Errorf("%s gives %x here and %x elsewhere", line, built[0], built[1])
	}
	if !strings.Contains(read(t, filepath.Join(root, "Makefile")), strings.Replace(line, "-o /worker ", "-o bin/worker ", 1)) {
		t.Errorf("make build is not what the image is built with: %s", line)
	}
}

// compose loads docker-compose.yml as docker compose does, all profiles on.
func compose(t *testing.T) *types.Project {
	t.Helper()
	details := types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml")}},
		Environment: types.Mapping{},
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

func dockerfile(t *testing.T) string {
	t.Helper()
	return read(t, filepath.Join(root, "Dockerfile"))
}

// match gives what the pattern's group finds.
func match(t *testing.T, text, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return found[1]
}
