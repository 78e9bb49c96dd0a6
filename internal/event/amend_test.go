package event_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"essworker/internal/event"
)

const (
	amended = `{"userId":"u2","openId":"o"}`
	bound   = "employee.onboarded"
)

func TestAmend_binary(t *testing.T) {
	h := nats.Header{
		"Ce-Id": {"e%201"}, "ce-source": {"/hr"}, "ce-type": {bound}, "ce-specversion": {"1.0"}, "content-type": {"application/json"},
		"ce-mine": {"%E5%85%B8"}, "CE-CausationId": {"older"}, "X-Trace": {"a", "b"},
	}
	before := maps.Clone(h)
	header, body, err := event.Amend(h, []byte(`{"userId":1}`), "new", []byte(amended))
	if err != nil || string(body) != amended {
		t.Fatalf("Amend = %q, %v", body, err)
	}
	want := maps.Clone(h)
	maps.Copy(want, nats.Header{
		"Ce-Id": {"new"}, "CE-CausationId": {"e%201"}, "ce-causationsource": {"/hr"}, "ce-correlationid": {"e%201"},
	})
	if d := cmp.Diff(want, header); d != "" {
		t.Errorf("headers (-want +got):\n%s", d)
	}
	if d := cmp.Diff(before, h); d != "" {
		t.Errorf("the headers given were changed:\n%s", d)
	}
	e, err := event.Parse(bound, header, body)
	if err != nil || e.ID() != "new" || e.Extensions()["causationid"] != "e 1" || event.Correlation(e) != "e 1" {
		t.Errorf("read again: %v, %v", e, err)
	}
}

func TestAmend_structured(t *testing.T) {
	for name, tt := range map[string]struct {
		h    nats.Header
		body string
		want string
	}{
		"by its content type": {
			nats.Header{"content-type": {"application/cloudevents+json; charset=utf-8"}, "X": {"y"}},
			`{ "specversion":"1.0", "ID":"e1","source":"/hr", "type":"employee.onboarded", "data": {"userId":1}, "num": 7, "correlationid":"story", "t":"\u0041"}`,
			`{"specversion":"1.0","ID":"new","source":"/hr","type":"employee.onboarded","data":` + amended + `,"num":7,"correlationid":"story","t":"\u0041","causationid":"e1","causationsource":"/hr"}`,
		},
		"without one, its data in base64": {
			nil, `{"data_base64":"e30=","specversion":"1.0","id":"e1","source":"/hr","type":"employee.onboarded"}`,
			`{"specversion":"1.0","id":"new","source":"/hr","type":"employee.onboarded","causationid":"e1","causationsource":"/hr","correlationid":"e1","data":` + amended + `}`,
		},
	} {
		header, body, err := event.Amend(tt.h, []byte(tt.body), "new", []byte(amended))
		if err != nil || string(body) != tt.want {
			t.Errorf("%s: Amend = %v\n%s, want\n%s", name, err, body, tt.want)
		}
		if d := cmp.Diff(tt.h, header); d != "" {
			t.Errorf("%s: headers (-want +got):\n%s", name, d)
		}
		if e, err := event.Parse(bound, header, body); err != nil || e.ID() != "new" {
			t.Errorf("%s: read again: %v, %v", name, e, err)
		}
	}
}

func TestAmend_noEvent(t *testing.T) {
	for _, h := range []nats.Header{nil, {"ce-id": {"e1"}, "ce-specversion": {"1.0"}, "ce-type": {bound}}, {"ce-id": {"1", "2"}, "ce-source": {"/hr"}}} {
		if _, _, err := event.Amend(h, []byte(amended), "new", []byte(amended)); err == nil {
			t.Errorf("Amend of a message with %v is no error", h)
		}
	}
}
