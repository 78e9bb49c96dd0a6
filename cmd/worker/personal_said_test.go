package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"essworker/internal/stream"
)

// operate gives every command that shows anything, as people and as programs call it.
func (d *diary) operate() {
	d.command("status")
	d.command("results", "--limit=0")
	d.command("dlq", "ls")
	for _, by := range []string{"cause", "code", "type", "source", "day"} {
		d.command("dlq", "groups", "--by="+by)
	}
	letters := d.state(d.Topology.LettersStream()).LastSeq
	for id := range letters {
		d.once("dlq", "show", strconv.FormatUint(id+1, 10), []string{"--json=false", "--json"}[id%2])
	}
	d.command("dlq", "replay", "--all")
	d.command("dlq", "replay", "--all", "--dry-run")
	d.command("dlq", "export")
	d.command("dlq", "check")
	d.command("dlq", "discard", "--event-id=o"+idNumber, "--why=called "+phone)
	d.command("dlq", "discard", "--reason=invalid", "--limit=3", "--yes", "--why=called "+phone)
	d.command("dlq", "ls", "--discarded")
	d.command("dlq", "restore", "--all", "--yes", "--why=wrote to "+idNumber)
	d.command("dlq", "replay", "--code=HTTP502", "--yes", "--wait", "--force", "--why=called "+phone)
	d.settled()
	d.command("dlq", "edit", "1", "--why=he is "+idNumber, "--yes", "--patch="+d.file(`{"userInfo":{"name":"`+latinName+`","`+hanName+`":1}}`))
	d.command("dlq", "edit", "1", "--why=he is "+idNumber, "--yes", "--patch="+d.file(`{"userInfo":{"name":"`+latinName+`"}}`))
	d.settled()
	d.command("dlq", "import", d.file(`{"id":1,"data":"`+idNumber+`","header":{"`+hanName+`":["1"]}}`+"\n"+hanName+"\n"))
	d.command("dlq", "jobs")
	d.command("dlq", "log")
	d.command("limit", "--why=called "+phone, "CreateUserAutoSignSealUrl", "19")
	d.command("pause", "--why=called "+phone, "employee.onboarded")
	d.command("status")
	d.command("resume", "--why=called "+phone, "employee.onboarded")
	d.command("doctor", "--no-vendor")
	wrong := strings.Replace(link(hanName, idNumber, "o"), "OTHER", idNumber, 1)
	d.command("publish", "autosign.link.requested", d.file(wrong+"\n"+hanName+"\n{"+idNumber+"\n"), "--id="+idNumber)
	d.command("publish", "employee.onboarded", d.file(`{"userId":"u2","openId":"n2"}`), "--id="+idNumber, "--source=/"+phone)
	d.command("publish", "--event", d.file(`{"specversion":"1.0","id":"`+idNumber+`","type":"`+hanName+phone+`","source":"/x","data":{}}`))
	d.command("publish", hanName+idNumber)
	d.settled()
}

// hold lets the vendor refuse the key, and repeat everything while it does.
func (d *diary) hold() {
	d.send("autosign.link.requested", link(hanName, idNumber, "hold-the-lane"))
	until(d.t, "the lane held", func() bool { ready, _ := d.health.ready(); return !ready })
	_, why := d.health.ready()
	d.said["readyz"] = strings.Join(why, "\n")
	d.command("status")
	d.command("doctor", "--no-vendor")
}

// command types a command twice, for people and for programs.
func (d *diary) command(args ...string) {
	d.t.Helper()
	for _, form := range [][]string{nil, {"--json"}} {
		d.once(slices.Concat(args, form)...)
	}
}

// once types a command.
func (d *diary) once(line ...string) {
	d.t.Helper()
	_, said := operator(d.t, d.Bed, line...)
	d.said[fmt.Sprintf("%03d %s", len(d.said), strings.Join(line, " "))] = said
}

// file is a file of its own.
func (d *diary) file(text string) string {
	d.t.Helper()
	name := filepath.Join(d.t.TempDir(), "f")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return name
}

// close ends the worker and takes down what it has left in logs, traces, metrics and
// streams.
func (d *diary) close() {
	families, err := d.registry.Gather()
	if err != nil {
		d.t.Error(err)
	}
	for _, f := range families {
		d.said["metrics"] += f.String() + "\n"
	}
	d.end()
	d.said["log"], _ = d.log.read()
	spans, err := json.Marshal(tracetest.SpanStubsFromReadOnlySpans(d.spans.Ended()))
	if err != nil {
		d.t.Fatal(err)
	}
	d.said["spans"] = string(spans)
	for _, name := range []string{d.Topology.AuditStream(), d.Topology.FleetStream()} {
		for m, err := range stream.Messages(d.t.Context(), d.NC, name, ">", 1, d.state(name).LastSeq) {
			if err != nil {
				d.t.Fatal(err)
			}
			d.said[name] += fmt.Sprintln(m.Subject, m.Header, string(m.Data))
		}
	}
	names := []string{"Dlq-Code", "Dlq-Message", "Dlq-Request-Id", "Dlq-Group", "Dlq-Worker"}
	for m, err := range stream.Messages(d.t.Context(), d.NC, d.Topology.LettersStream(), ">", 1, d.state(d.Topology.LettersStream()).LastSeq) {
		if err != nil {
			d.t.Fatal(err)
		}
		for _, name := range names {
			d.said["letters"] += fmt.Sprintln(m.Sequence, m.Subject, m.Header.Get(name))
		}
	}
	for m, err := range stream.Messages(d.t.Context(), d.NC, d.Topology.ResultsStream(), "ess.results.*.*.failed.*", 1, d.state(d.Topology.ResultsStream()).LastSeq) {
		if err != nil {
			d.t.Fatal(err)
		}
		d.said["failures"] += fmt.Sprintln(m.Subject, string(m.Data))
	}
}

var (
	unicodeEscape = regexp.MustCompile(`(?i)\\+u[0-9a-f]{4}(\\+u[0-9a-f]{4})*`)
	hexUnit       = regexp.MustCompile(`(?i)u([0-9a-f]{4})`)
)

// plainly is a text with everything written out that is written with escapes.
func plainly(s string) string {
	if out, err := url.QueryUnescape(regexp.MustCompile(`%(?:[^0-9A-Fa-f]|.[^0-9A-Fa-f])`).ReplaceAllString(s, "_")); err == nil {
		s = out
	}
	return unicodeEscape.ReplaceAllStringFunc(s, func(e string) string {
		var units []uint16
		for _, u := range hexUnit.FindAllStringSubmatch(e, -1) {
			n, _ := strconv.ParseUint(u[1], 16, 16) // four hexadecimal digits
			units = append(units, uint16(n))
		}
		return string(utf16.Decode(units))
	})
}

// leaks gives the personal texts in what was said, with what stands around each. Half a
// number is one too.
func leaks(said string) map[string]string {
	found := map[string]string{}
	for _, text := range []string{said, plainly(said)} {
		low := strings.ToLower(text)
		for _, secret := range personalTexts() {
			parts := []string{secret}
			if strings.Trim(secret, "0123456789") == "" {
				parts = []string{secret[:8], secret[len(secret)-8:]}
			}
			for _, part := range parts {
				if at := strings.Index(low, strings.ToLower(part)); at >= 0 {
					found[secret] = strings.ToValidUTF8(text[max(0, at-60):min(len(text), at+60)], "?")
				}
			}
		}
	}
	return found
}
