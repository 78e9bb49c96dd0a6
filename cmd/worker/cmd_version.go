package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// thirdParty is what the program is made of that is not ours, with the licences that
// must go with it. TestThirdParty writes it.
//
//go:embed third_party.txt
var thirdParty string

type versionCmd struct {
	SBOM     bool `help:"What the program is made of, as CycloneDX JSON." xor:"what"`
	Licences bool `help:"The licences of all that is not ours." xor:"what"`
}

// Run prints the version and what it was built with, or of.
func (c versionCmd) Run(s streams) (err error) {
	switch {
	case c.SBOM:
		return writeSBOM(s.out)
	case c.Licences:
		_, err = io.WriteString(s.out, thirdParty)
	default:
		_, err = fmt.Fprintf(s.out, "worker %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	}
	return err
}

// The parts of a CycloneDX document that are used here.
type (
	sbom struct {
		Format     string      `json:"bomFormat"`
		Spec       string      `json:"specVersion"`
		Version    int         `json:"version"`
		Metadata   sbomMeta    `json:"metadata"`
		Components []component `json:"components"`
	}
	sbomMeta struct {
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
)

// writeSBOM lists what the linker has put in: the same for the same binary, at any time.
func writeSBOM(to io.Writer) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this program was built without build information")
	}
	doc := sbom{
		Format: "CycloneDX", Spec: "1.6", Version: 1,
		Metadata: sbomMeta{component{Type: "application", Ref: info.Main.Path, Name: info.Main.Path, Version: version()}},
		Components: []component{{
			Type: "library", Ref: "std", Name: "std", Version: info.GoVersion, PURL: "pkg:golang/std@" + info.GoVersion[len("go"):],
		}},
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		doc.Components = append(doc.Components, component{
			Type: "library", Ref: m.Path, Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version,
			Properties: []property{{"go:sum", m.Sum}},
		})
	}
	enc := json.NewEncoder(to)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

// version is the module's, or the commit's of a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var commit, modified string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+changes"
			}
		}
	}
	if commit == "" {
		return "devel"
	}
	return commit + modified
}
