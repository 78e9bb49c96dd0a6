package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestREADME types what README.md tells a newcomer to type, from top to bottom, and
// sees what it shows.
func TestREADME(t *testing.T) {
	t.Parallel()
	text := read(t, filepath.Join(root, "README.md"))
	r := newcomer{t: t, dir: t.TempDir()}
	for _, block := range blocks(text, "sh") {
		for line := range strings.Lines(block) {
			r.types(strings.TrimSpace(line))
		}
	}
	if r.nats == "" || !strings.Contains(r.seen, "employee.onboarded") {
		t.Fatalf("README.md does not lead to an event of one's own; its commands printed:\n%s", r.seen)
	}
	until(t, "the event of README.md succeeds", func() bool {
		return strings.Contains(r.run("worker results --json"), `"type":"employee.bound"`)
	})
	for _, block := range blocks(text, "text") {
		if !strings.Contains(sameDay(r.seen), sameDay(block)) {
			t.Errorf("README.md shows\n%s\nits commands printed\n%s", block, r.seen)
		}
	}
}

// newcomer is somebody with a shell and the program installed.
type newcomer struct {
	t    *testing.T
	dir  string
	dev  *process
	nats string // where worker dev says its server is
	seen string // all that was printed
}

// types does what one line of a block says. A line that is not known here fails: say
// how to run it, or that it cannot be.
func (r *newcomer) types(line string) {
	r.t.Helper()
	switch command := strings.Replace(line, "go run ./cmd/worker", "worker", 1); {
	case command == "", strings.HasPrefix(command, "#"):
	case command == "go install ./cmd/worker": // TestMain did
	case command == "go test ./...": // is doing it
	case command == "worker dev":
		r.dev = start(r.t, nil, "worker", "dev", "--nats-port=0", "--sim-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0")
		r.nats = r.dev.says(`NATS server +(\S+)(?s:.*)Ctrl-C ends it`)[1]
	case strings.HasPrefix(command, "worker "), strings.HasPrefix(command, "echo "):
		r.seen += r.run(command)
	default:
		r.t.Errorf("README.md says %q, and this test does not know how to run that", line)
	}
}

// run is a command of the shell, which must end well, and what it prints.
func (r *newcomer) run(line string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "sh", "-c", line)
	cmd.Dir = r.dir
	cmd.Env = environment(r.dir)
	if r.nats != "" {
		cmd.Env = append(cmd.Env, "NATS_URL="+r.nats)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// blocks are the fenced blocks of a language in a Markdown text.
func blocks(text, language string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// sameDay is a text without what differs from day to day.
func sameDay(text string) string {
	return regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d`).ReplaceAllString(text, "DATE")
}
