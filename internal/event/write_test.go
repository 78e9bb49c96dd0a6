package event_test

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
	"time"

	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"go.yaml.in/yaml/v3"

	"essworker/internal/event"
	"essworker/schemas"
)

func TestWrite(t *testing.T) {
	e := event.New(bindType, "/hr?q=a b", `id "7" 100%`, []byte(bindData))
	e.SetSubject("典子谦~!")
	e.SetTime(time.Date(2026, 11, 22, 11, 21, 0, 5e8, time.FixedZone("", 8*3600)))
	e.SetExtension("on", true)
	e.SetExtension("n", -7)
	e.SetExtension("bin", []byte{0xff})
	want := nats.Header{
		"ce-specversion":     {"1.0"},
		"ce-id":              {"id%20%227%22%20100%25"},
		"ce-source":          {"/hr?q=a%20b"},
		"ce-type":            {bindType},
		"ce-subject":         {"%E5%85%B8%E5%AD%90%E8%B0%A6~!"},
		"ce-time":            {"2026-11-22T03:21:00.5Z"},
		"ce-datacontenttype": {"application/json"},
		"content-type":       {"application/json"},
		"ce-on":              {"true"},
		"ce-n":               {"-7"},
		"ce-bin":             {"/w=="},
	}
	h, data, err := event.Write(e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("Write (-want +got):\n%s", diff)
	}
	if string(data) != bindData {
		t.Errorf("Write gives data %s, want %s", data, bindData)
	}
	again, err := event.Parse(bindType, h, data)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != e.ID() || again.Source() != e.Source() || again.Subject() != e.Subject() {
		t.Errorf("Parse of what Write gave = %v, want %v", again, e)
	}
}

func TestWrite_addingToOneHeaderLeavesTheOthers(t *testing.T) {
	h, _, err := event.Write(event.New(bindType, "/hr", "7", []byte(bindData)))
	if err != nil {
		t.Fatal(err)
	}
	for name := range h {
		h.Add(name, "more")
	}
	for name, values := range h {
		if len(values) != 2 || values[0] == "more" {
			t.Errorf("after Add, %s = %q", name, values)
		}
	}
}

func TestWrite_refuses(t *testing.T) {
	with := func(change func(*ce.EventContextV1)) event.Event {
		e := event.New(bindType, "/hr", "7", []byte(bindData))
		change(e.Context.(*ce.EventContextV1))
		return e
	}
	subject := "a\nb"
	for name, e := range map[string]event.Event{
		"nothing":               {},
		"version 0.3":           ce.New("0.3"),
		"no id":                 event.New(bindType, "/hr", "", nil),
		"no source":             event.New(bindType, "", "7", nil),
		"no type":               event.New("", "/hr", "7", nil),
		"control character":     with(func(c *ce.EventContextV1) { c.Subject = &subject }),
		"bad UTF-8":             event.New(bindType, "/hr", "\xff", nil),
		"name of an extension":  with(func(c *ce.EventContextV1) { c.Extensions = map[string]any{"a-b": "x"} }),
		"extension is core":     with(func(c *ce.EventContextV1) { c.Extensions = map[string]any{"id": "x"} }),
		"value of an extension": with(func(c *ce.EventContextV1) { c.Extensions = map[string]any{"x": struct{}{}} }),
		"text of an extension":  with(func(c *ce.EventContextV1) { c.Extensions = map[string]any{"x": "\x00"} }),
	} {
		if h, _, err := event.Write(e); err == nil {
			t.Errorf("%s: Write = %v, want an error", name, h)
		}
		if text, err := event.Structured(e); err == nil {
			t.Errorf("%s: Structured = %s, want an error", name, text)
		}
	}
	if text, err := event.Structured(event.New(bindType, "/hr", "7", []byte(`{"`))); err == nil {
		t.Errorf("Structured of data that is not JSON = %s, want an error", text)
	}
}

func TestStructured(t *testing.T) {
	e := event.New(bindType, "/hr?q=a b", `id "7" 100%`, []byte(bindData))
	e.SetSubject("典子谦 & <b>")
	e.SetExtension("n", -7)
	text, err := event.Structured(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := event.Parse(bindType, nil, text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outline(e), outline(got)); diff != "" {
		t.Errorf("Parse of what Structured gave (-want +got):\n%s", diff)
	}
}

// asyncMessage is an example of a message in asyncapi.yaml.
type asyncMessage struct {
	header  nats.Header
	payload []byte
}

// asyncMessages gives the examples by type.
func asyncMessages(t *testing.T) map[string][]asyncMessage {
	t.Helper()
	text, err := fs.ReadFile(schemas.FS(), "asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct {
			Messages map[string]struct {
				Name     string
				Examples []struct {
					Headers map[string]string
					Payload any
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	found := map[string][]asyncMessage{}
	for _, m := range doc.Components.Messages {
		for _, example := range m.Examples {
			h := nats.Header{}
			for name, value := range example.Headers {
				h.Set(name, value)
			}
			payload, err := json.Marshal(example.Payload)
			if err != nil {
				t.Fatal(err)
			}
			found[m.Name] = append(found[m.Name], asyncMessage{h, payload})
		}
	}
	if len(found) == 0 {
		t.Fatal("asyncapi.yaml has no examples")
	}
	return found
}

// The result that asyncapi.yaml shows is the one the worker would write.
func TestResult_asDocumented(t *testing.T) {
	messages := asyncMessages(t)
	source, result := messages[bindType][0], messages["employee.bound"][0]
	cause, err := event.Parse(bindType, source.header, source.payload)
	if err != nil {
		t.Fatal(err)
	}
	m, err := event.Result(nats.Header{}, event.ResultSpec{
		Type: "employee.bound", Source: "/essworker", Subject: "yDRS4UUgygqdcj56UuO4zjExBQcOiB68",
		Cause: cause, CauseKey: event.Key(cause.Source(), cause.ID()),
		Time:        time.Date(2026, 11, 22, 3, 21, 0, 0, time.UTC),
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Data:        result.payload,
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(result.header, m.Header); diff != "" {
		t.Errorf("result (-asyncapi.yaml +Result):\n%s", diff)
	}
	e := readResult(t, "employee.bound", m)
	if err := e.Validate(); err != nil {
		t.Errorf("the SDK's Validate(result) = %v", err)
	}
	again, _, err := event.Write(e)
	if err != nil {
		t.Fatal(err)
	}
	again.Set("Nats-Msg-Id", e.ID())
	if diff := cmp.Diff(again, m.Header); diff != "" {
		t.Errorf("result (-Write +Result):\n%s", diff)
	}
}

func readResult(t *testing.T, typ string, m *nats.Msg) event.Event {
	t.Helper()
	e, err := event.Parse(typ, m.Header, m.Data)
	if err != nil {
		t.Fatalf("the result cannot be read: %v", err)
	}
	return e
}

func TestResult(t *testing.T) {
	spec := event.ResultSpec{
		Type: "employee.bind.failed", Source: "/w", Subject: "u", CauseKey: "17-x",
		Time: time.Unix(1, 0), Data: []byte(`{"reason":"invalid","code":"C","message":"","requestId":"","attempts":0,"deadLetter":{"id":1}}`),
	}
	m, err := event.Result(nats.Header{}, spec)
	if err != nil {
		t.Fatal(err)
	}
	e := readResult(t, spec.Type, m)
	if len(e.Extensions()) != 0 || e.ID() != "17-x.employee.bind.failed" {
		t.Errorf("Result for an unreadable event = %v, want no extensions and an id of the key", e)
	}

	spec.Cause = event.New(bindType, "/hr", "7", nil)
	spec.Cause.SetExtension("correlationid", "story")
	spec.Subject = "u\n"
	if m, err = event.Result(nats.Header{}, spec); err != nil {
		t.Fatal(err)
	}
	e = readResult(t, spec.Type, m)
	want := map[string]any{"causationid": "7", "causationsource": "/hr", "correlationid": "story"}
	if diff := cmp.Diff(want, e.Extensions()); diff != "" {
		t.Errorf("extensions (-want +got):\n%s", diff)
	}
	if e.Subject() != "" {
		t.Errorf("Result about %q has subject %q, want none", spec.Subject, e.Subject())
	}

	for name, change := range map[string]func(*event.ResultSpec){
		"type":   func(r *event.ResultSpec) { r.Type = "employee.promoted" },
		"source": func(r *event.ResultSpec) { r.Source = "" },
		"key":    func(r *event.ResultSpec) { r.CauseKey = "" },
		"time":   func(r *event.ResultSpec) { r.Time = time.Time{} },
		"data":   func(r *event.ResultSpec) { r.Data = nil },
	} {
		bad := spec
		change(&bad)
		if _, err := event.Result(nats.Header{}, bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Result without %s = %v, want an error that says so", name, err)
		}
	}
}
