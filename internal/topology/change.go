package topology

import (
	"fmt"
	"strings"
)

// Report is what Plan found or Apply did.
type Report struct {
	Changes  []Change
	Warnings []Warning
}

// Warning is a setting that is not as declared and was left alone, or whose change
// leaves something for a person to do.
type Warning struct {
	Kind  string `json:"kind"` // Kind, Name and Field as in Change
	Name  string `json:"name"`
	Field string `json:"field"`
	Have  string `json:"have"`
	Want  string `json:"want"`
	Why   string `json:"why"` // what it means and what can be done
}

// String gives the warning on one line.
func (w Warning) String() string {
	return fmt.Sprintf("%s %s: %s is %s, declared %s: %s", w.Kind, w.Name, w.Field, w.Have, w.Want, w.Why)
}

// Change is one thing created or updated, or to be.
type Change struct {
	Kind   string        `json:"kind"`   // "stream", "consumer" or "bucket"
	Name   string        `json:"name"`   // a consumer's as "ESS_EVENTS/employee-onboarded"
	Action string        `json:"action"` // "create" or "update"
	Fields []FieldChange `json:"fields"` // by the names the server's API and the nats command have for them
}

// FieldChange is one setting of a Change, written for people.
type FieldChange struct {
	Name string `json:"name"`
	From string `json:"from,omitzero"` // empty for a thing just created
	To   string `json:"to"`
}

// String gives the change on one line: "update stream ESS_RESULTS: max_age 24h -> 168h".
func (c Change) String() string {
	fields := make([]string, len(c.Fields))
	for i, f := range c.Fields {
		fields[i] = f.String()
	}
	return fmt.Sprintf("%s %s %s: %s", c.Action, c.Kind, c.Name, strings.Join(fields, "; "))
}

// String gives "max_age 24h -> 168h", or "max_age 168h" for a thing just created.
func (f FieldChange) String() string {
	if f.From == "" {
		return f.Name + " " + f.To
	}
	return f.Name + " " + f.From + " -> " + f.To
}

// Refusal is the error for a stream or consumer that exists and cannot be made to
// fit. Nothing was changed.
type Refusal struct {
	Kind, Name, Field string // as in Change
	Have, Want        string
	Why               string // what the difference does
	Advice            string // what to do
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s %s: %s is %s, must be %s, and cannot be changed: %s; %s",
		r.Kind, r.Name, r.Field, r.Have, r.Want, r.Why, r.Advice)
}
