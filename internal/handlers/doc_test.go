package handlers_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	newGo   = regexp.MustCompile("(?ms)^```go\n(// file: (internal/\\S+)\n.*?)^```$")
	newJSON = regexp.MustCompile("(?ms)`(schemas/[^`]+)`:\n\n```json\n(.*?)^```$")
	edit    = regexp.MustCompile("(?ms)^```diff\n--- (\\S+)\n(.*?)^```$")
)

// The worked example of docs/adding-an-event-type.md, applied to a copy of the
// code, builds and passes the tests that name what is forgotten.
func TestDoc_addingAnEventType(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "adding-an-event-type.md"))
	if err != nil {
		t.Fatal(err)
	}
	files := apply(t, root, string(text))
	if got, want := len(files), 11; got != want {
		t.Fatalf("the document touches %d files, want %d: is a block marked otherwise?", got, want)
	}
	if t.Failed() {
		return
	}
	overlay := writeOverlay(t, root, files)
	for _, args := range [][]string{
		{"build", "-overlay", overlay, "./internal/handlers"},
		{
			"test", "-vet=off", "-overlay", overlay,
			"-run", "^(TestRoutes_nothingForgotten|TestRoutes_examplesPrepare|TestRoutes_faces|TestData_.*|TestFiles|TestAsyncAPI_everyReference.*|TestAsyncAPI_messages)$",
			"./internal/handlers", "./schemas",
		},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s with the document's files: %v\n%s", args[0], err, out)
		}
	}
}

// apply gives the files as the document leaves them, by their path from root.
func apply(t *testing.T, root, doc string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, m := range newGo.FindAllStringSubmatch(doc, -1) {
		files[m[2]] = m[1]
	}
	for _, m := range newJSON.FindAllStringSubmatch(doc, -1) {
		files[m[1]] = m[2]
	}
	for name := range files {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			t.Errorf("%s is a new file in the document and is there already", name)
		}
	}
	for _, m := range edit.FindAllStringSubmatch(doc, -1) {
		name := m[1]
		text, ok := files[name]
		if !ok {
			read, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			text = string(read)
		}
		var before, after strings.Builder
		for line := range strings.Lines(m[2]) {
			if line[0] != '+' {
				before.WriteString(line[1:])
			}
			if line[0] != '-' {
				after.WriteString(line[1:])
			}
		}
		if n := strings.Count(text, before.String()); n != 1 {
			t.Errorf("%s has these lines of the document %d times, want once:\n%s", name, n, before.String())
		}
		files[name] = strings.Replace(text, before.String(), after.String(), 1)
	}
	return files
}

// writeOverlay writes what go build takes as -overlay, and gives its path.
func writeOverlay(t *testing.T, root string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range files {
		copied := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, name)] = copied
	}
	text, err := json.Marshal(overlay) //nolint:musttag // the go command's own names
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
