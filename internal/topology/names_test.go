package topology_test

import (
	"testing"

	"essworker/internal/natstest"
	"essworker/internal/topology"
)

func TestConfig_names(t *testing.T) {
	c := natstest.Defaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.EventSubject("employee.onboarded"):                              "ess.events.employee.onboarded",
		c.ResultSubject("employee.bound", "k1"):                           "ess.results.employee.bound.k1",
		c.LetterSubject("rejected", "employee.onboarded", "17-1"):         "ess.deadletters.rejected.employee.onboarded.17-1",
		c.DiscardedSubject("rejected", "employee.onboarded", "17-1"):      "ess.discarded.rejected.employee.onboarded.17-1",
		c.AuditSubject("dlq.replay"):                                      "ess.audit.dlq.replay",
		topology.Consumer("autosign.link.requested"):                      "autosign-link-requested",
		c.EventsStream() + " " + c.ResultsStream():                        "ESS_EVENTS ESS_RESULTS",
		c.LettersStream() + " " + c.DiscardedStream():                     "ESS_DEADLETTERS ESS_DISCARDED",
		c.AuditStream() + " " + c.FleetBucket() + " " + c.FleetStream():   "ESS_AUDIT ESS_FLEET KV_ESS_FLEET",
		topology.Names{Prefix: "Acme"}.EventsStream():                     "ACME_EVENTS",
		topology.Names{Prefix: "Acme"}.EventSubject("employee.onboarded"): "Acme.events.employee.onboarded",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestConfig_TypeOfSubject(t *testing.T) {
	c := natstest.Defaults()
	tests := []struct {
		subject, typ string
		ok           bool
	}{
		{"ess.events.employee.onboarded", "employee.onboarded", true},
		{"ess.events.", "", false},
		{"ess.events", "", false},
		{"ess.results.employee.bound.k", "", false},
		{"other.events.employee.onboarded", "", false},
	}
	for _, tt := range tests {
		if typ, ok := c.TypeOfSubject(tt.subject); ok != tt.ok || (ok && typ != tt.typ) {
			t.Errorf("TypeOfSubject(%q) = %q, %t, want %q, %t", tt.subject, typ, ok, tt.typ, tt.ok)
		}
	}
}
