package handlers_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/schemas"
)

var defaults = handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID}

// The table is promised to others: a change of it is a change of the contract.
func TestRoutes(t *testing.T) {
	var got [][]string
	var types []string
	for _, r := range handlers.Routes(nil, defaults) {
		got = append(got, []string{r.Type, r.Success, r.Failure, r.Product, r.Action})
		types = append(types, r.Type)
	}
	want := [][]string{
		{"employee.onboarded", "employee.bound", "employee.bind.failed", "ess", "BindEmployeeUserIdWithClientOpenId"},
		{"seal.grant.requested", "seal.granted", "seal.grant.failed", "essbasic", "ChannelCreateSealPolicy"},
		{"autosign.link.requested", "autosign.link.created", "autosign.link.failed", "ess", "CreateUserAutoSignSealUrl"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Routes() (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(types, handlers.Types()); diff != "" {
		t.Errorf("Types() (-in the order of Routes +got):\n%s", diff)
	}
}

// Each line this test prints is a thing to do for whoever adds an event type.
func TestRoutes_nothingForgotten(t *testing.T) {
	for _, line := range forgotten(handlers.Routes(nil, defaults), schemas.Types(), addresses(t)) {
		t.Error(line)
	}
}

func TestRoutes_forgottenIsNamed(t *testing.T) {
	routes := []event.Route{
		{Type: "a.asked", Success: "a.done", Failure: "a.failed"},
		{Type: "b.asked", Success: "a.done", Failure: "b.failed"},
	}
	got := forgotten(routes,
		[]string{"a.asked", "a.done", "a.failed", "b.failed", "c.asked"},
		[]string{"ess.events.a.asked", "ess.results.a.done.{key}", "ess.results.b.failed.{key}", "ess.events.b.failed"})
	want := []string{
		`asyncapi.yaml: no channel has the address "ess.results.a.failed.{key}"`,
		`schemas/b.asked.json is missing`,
		`asyncapi.yaml: no channel has the address "ess.events.b.asked"`,
		`routes.go: the type "a.done" stands in two places`,
		`routes.go: no route uses schemas/c.asked.json`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("forgotten() (-want +got):\n%s", diff)
	}
}

// forgotten says what routes need and have not, and which schemas no route needs.
func forgotten(routes []event.Route, types, addresses []string) []string {
	var lines []string
	used := map[string]bool{}
	for _, r := range routes {
		for _, need := range []struct{ typ, address string }{
			{r.Type, "ess.events." + r.Type},
			{r.Success, "ess.results." + r.Success + ".{key}"},
			{r.Failure, "ess.results." + r.Failure + ".{key}"},
		} {
			if used[need.typ] {
				lines = append(lines, fmt.Sprintf("routes.go: the type %q stands in two places", need.typ))
				continue
			}
			used[need.typ] = true
			if !slices.Contains(types, need.typ) {
				lines = append(lines, "schemas/"+need.typ+".json is missing")
			}
			if !slices.Contains(addresses, need.address) {
				lines = append(lines, fmt.Sprintf("asyncapi.yaml: no channel has the address %q", need.address))
			}
		}
	}
	for _, typ := range types {
		if !used[typ] {
			lines = append(lines, "routes.go: no route uses schemas/"+typ+".json")
		}
	}
	return lines
}

// addresses are those of the channels in asyncapi.yaml.
func addresses(t *testing.T) []string {
	t.Helper()
	text, err := fs.ReadFile(schemas.FS(), "asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^    address: (\S+)$`).FindAllSubmatch(text, -1) {
		found = append(found, string(m[1]))
	}
	return found
}

// Whoever copies an example from a schema gets a job.
func TestRoutes_examplesPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 22, 3, 21, 0, 0, time.UTC))) // the examples' day
		for _, r := range handlers.Routes(nil, defaults) {
			for i, data := range examples(t, r.Type) {
				if err := schemas.Validate(r.Type, data); err != nil {
					t.Errorf("%s: example %d breaks its schema: %v", r.Type, i, err)
				}
				job, err := r.Prepare(data)
				if err != nil || job.Call == nil || job.Subject == "" {
					t.Errorf("%s: Prepare(example %d) = %+v, %v, want a job with subject and call", r.Type, i, job, err)
				}
			}
		}
	})
}

// examples are the data that the schema of typ shows.
func examples(t *testing.T, typ string) []json.RawMessage {
	t.Helper()
	text, err := fs.ReadFile(schemas.FS(), typ+".json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Examples []json.RawMessage `json:"examples"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%s.json: %v", typ, err)
	}
	if len(doc.Examples) == 0 {
		t.Errorf("schemas/%s.json has no examples", typ)
	}
	return doc.Examples
}
