package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs_nameTestsThatExist: documents name the test that holds what they promise, and a
// test that is renamed takes them along.
func TestDocs_nameTestsThatExist(t *testing.T) {
	t.Parallel()
	defined := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	named := regexp.MustCompile("`(Test[A-Z]\\w*)`")
	documents := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go") && filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Ext(path) == ".md" {
			documents[path] = string(text)
		}
		for _, m := range declared.FindAllSubmatch(text, -1) {
			defined[string(m[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for path, text := range documents {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			count++
			if !defined[m[1]] {
				t.Errorf("%s names %s, which is no test", path, m[1])
			}
		}
	}
	if count < 20 {
		t.Errorf("%d tests are named in %d documents: the search is wrong", count, len(documents))
	}
}
