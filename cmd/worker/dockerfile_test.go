package main

import (
	"crypto/sha256"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

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
