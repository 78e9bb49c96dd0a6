package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licences are those that may go into the program, by what their texts say. Any other
// needs somebody who has read it.
var licences = []struct{ name, says string }{
	{"Apache-2.0", `Apache License,? Version 2\.0`},
	{"MPL-2.0", `Mozilla Public License Version 2\.0`},
	{"BSD-3-Clause", `Redistribution and use in source and binary forms.*(Neither the name|names of its contributors)`},
	{"BSD-2-Clause", `Redistribution and use in source and binary forms`},
	{"ISC", `Permission to use, copy, modify, and/or distribute this software`},
	{"MIT", `Permission is hereby granted, free of charge, to any person obtaining a copy`},
}

// TestThirdParty: third_party.txt, which is in the program, names every module that is
// linked, with the text of its licence and its notices. With -update it is written anew.
func TestThirdParty(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	goroot, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string][2]string{"Go": {"", strings.TrimSpace(string(goroot))}}
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
			modules[f[0]] = [2]string{f[1], f[2]}
		}
	}
	if len(modules) < 20 {
		t.Fatalf("only %d modules found", len(modules))
	}
	var want strings.Builder
	want.WriteString("What is linked into this program that is not essworker's own, and its licences.\nWritten by TestThirdParty.\n\n")
	texts := map[string][]string{} // who comes under them, by text
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		name := ""
		for _, text := range legal(t, modules[path][1]) {
			texts[text] = append(texts[text], path)
			for _, l := range licences {
				if name == "" && regexp.MustCompile(l.says).MatchString(strings.Join(strings.Fields(text), " ")) {
					name = l.name
				}
			}
		}
		if name == "" {
			t.Errorf("%s has no licence that is known here", path)
		}
		fmt.Fprintln(&want, strings.TrimSpace(fmt.Sprintf("%-12s %s %s", name, path, modules[path][0])))
	}
	for _, text := range slices.SortedFunc(maps.Keys(texts), func(a, b string) int {
		return strings.Compare(texts[a][0]+a, texts[b][0]+b)
	}) {
		fmt.Fprintf(&want, "\n%s\n%s\n\n%s\n", strings.Repeat("-", 80), strings.Join(texts[text], "\n"), text)
	}
	if thirdParty == want.String() {
		return
	}
	if !*update {
		t.Fatal("third_party.txt does not say what is linked: go test ./cmd/worker -run TestThirdParty -update")
	}
	if err := os.WriteFile("third_party.txt", []byte(want.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// legal are the texts of licences and notices in a module's folder.
func legal(t *testing.T, dir string) (texts []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !f.IsDir() && regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|patents)(\.(txt|md))?$`).MatchString(f.Name()) {
			lines := strings.Split(read(t, filepath.Join(dir, f.Name())), "\n")
			for i := range lines {
				lines[i] = strings.TrimRight(lines[i], " \t\r")
			}
			texts = append(texts, strings.Trim(strings.Join(lines, "\n"), "\n"))
		}
	}
	return texts
}

// TestSBOM: the list of parts has every module of the build information, with version
// and where to find it.
func TestSBOM(t *testing.T) {
	var out bytes.Buffer
	if err := (versionCmd{SBOM: true}).Run(streams{out: &out}); err != nil {
		t.Fatal(err)
	}
	var doc sbom
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var purls []string
	for _, c := range doc.Components {
		purls = append(purls, c.PURL)
	}
	mod := read(t, filepath.Join(root, "go.mod"))
	for _, path := range []string{"github.com/nats-io/nats.go", "github.com/cloudevents/sdk-go/v2", "github.com/sony/gobreaker/v2"} {
		if purl := "pkg:golang/" + path + "@" + match(t, mod, regexp.QuoteMeta(path)+` (v\S+)`); !slices.Contains(purls, purl) {
			t.Errorf("%s is missing among %d parts", purl, len(purls))
		}
	}
	if doc.Format != "CycloneDX" || doc.Metadata.Component.Name != "essworker" || !strings.HasPrefix(purls[0], "pkg:golang/std@1.") {
		t.Errorf("%s of %s, made with %s", doc.Format, doc.Metadata.Component.Name, purls[0])
	}
}
