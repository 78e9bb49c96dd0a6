package event_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	sdk "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/nats-io/nats.go"

	"essworker/internal/event"
)

var update = flag.Bool("update", false, "write the table into docs/cloudevents.md")

// conformance is the table of docs/cloudevents.md: attributes as a program gives
// them to the SDK, and what the binding makes of them. All else is measured.
var conformance = []struct {
	attribute string
	value     any    // what the event is given
	text      string // the attribute's canonical text
	binding   string // the header the binding prescribes
}{
	{"id", "A234-1234", "A234-1234", "A234-1234"},
	{"id", "order 7", "order 7", "order%207"},
	{"id", `say "hi"`, `say "hi"`, "say%20%22hi%22"},
	{"id", `"7"`, `"7"`, "%227%22"},
	{"id", "100%", "100%", "100%25"},
	{"id", "50%25", "50%25", "50%2525"},
	{"source", "/hr/onboarding?a=1#b", "/hr/onboarding?a=1#b", "/hr/onboarding?a=1#b"},
	{"source", "https://Example.com/a%2Fb", "https://Example.com/a%2Fb", "https://Example.com/a%252Fb"},
	{"source", "/部门", "/部门", "/%E9%83%A8%E9%97%A8"},
	{"source", "/a b", "/a b", "/a%20b"},
	{"subject", "典子谦", "典子谦", "%E5%85%B8%E5%AD%90%E8%B0%A6"},
	{"subject", "Euro € 😀", "Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"},
	{"subject", " s ", " s ", "%20s%20"},
	{"time", time.Date(2026, 11, 22, 11, 21, 0, 123456789, time.FixedZone("", 8*3600)), "2026-11-22T03:21:00.123456789Z", "2026-11-22T03:21:00.123456789Z"},
	{"dataschema", "https://example.com/a%20b", "https://example.com/a%20b", "https://example.com/a%2520b"},
	{"datacontenttype", "application/json;charset=utf-8", "application/json;charset=utf-8", "application/json;charset=utf-8"},
	{"extstring", "a=b c", "a=b c", "a=b%20c"},
	{"extbool", true, "true", "true"},
	{"extinteger", -7, "-7", "-7"},
	{"extbinary", []byte("hi"), "aGk=", "aGk="},
	{"exturi", types.URI{URL: url.URL{Scheme: "https", Host: "example.com", Path: "/x"}}, "https://example.com/x", "https://example.com/x"},
	{"exttime", time.Date(2026, 11, 22, 3, 21, 0, 0, time.UTC), "2026-11-22T03:21:00Z", "2026-11-22T03:21:00Z"},
}

// TestConformance makes every event of the table with the SDK, sends it in both
// modes, reads it, and lets the SDK read what we write. The table in the document
// must say what comes of it.
func TestConformance(t *testing.T) {
	var table strings.Builder
	fmt.Fprintln(&table, "| attribute | value | binding, and we write | SDK writes | we read, binary | we read, structured | SDK reads ours |")
	fmt.Fprintln(&table, "|---|---|---|---|---|---|---|")
	for _, c := range conformance {
		theirs, ours := ce.New(), event.New(bindType, "/hr", "7", []byte(bindData))
		theirs.SetID("7")
		theirs.SetSource("/hr")
		theirs.SetType(bindType)
		theirs.DataEncoded = []byte(bindData)
		set(&theirs, c.attribute, c.value)
		set(&ours, c.attribute, c.value)
		if c.attribute == "source" || c.attribute == "id" || c.attribute == "subject" {
			exact(&ours, c.attribute, c.text) // the SDK's setters change it
		}

		binary := send(binding.WithForceBinary(t.Context()), t, theirs)
		structured := send(binding.WithForceStructured(t.Context()), t, theirs)
		h, data, err := event.Write(ours)
		if err != nil {
			t.Fatalf("Write with %s %q: %v", c.attribute, c.text, err)
		}
		if got := h.Get("ce-" + c.attribute); got != c.binding {
			t.Errorf("Write gives ce-%s: %s, want %s, as the binding says", c.attribute, got, c.binding)
		}
		if again := read(t, overWire(t, &nats.Msg{Header: h, Data: data})); get(again, c.attribute) != c.text {
			t.Errorf("Parse of what Write gave has %s %q, want %q", c.attribute, get(again, c.attribute), c.text)
		}
		back, err := binding.ToEvent(t.Context(), sdk.NewMessage(overWire(t, &nats.Msg{Header: h, Data: data})))
		if err != nil {
			t.Fatalf("the SDK cannot read what Write gave: %v", err)
		}
		row := []string{c.attribute, code(c.text), code(c.binding), code(binary.Header.Get("ce-" + c.attribute))}
		for _, got := range []event.Event{read(t, binary), read(t, structured), *back} {
			if text := get(got, c.attribute); text == c.text {
				row = append(row, "same")
			} else {
				row = append(row, code(text))
			}
			if got.Type() != bindType || string(got.Data()) != bindData {
				t.Errorf("with %s %q: type %q and data %s, want %q and %s", c.attribute, c.text, got.Type(), got.Data(), bindType, bindData)
			}
		}
		fmt.Fprintf(&table, "| %s |\n", strings.Join(row, " | "))
	}

	before, rest, found := strings.Cut(document(t), "<!-- conformance -->\n")
	documented, after, ended := strings.Cut(rest, "<!-- end -->\n")
	if !found || !ended {
		t.Fatalf("%s has no marks for the table", documentPath)
	}
	if *update {
		if err := os.WriteFile(documentPath, []byte(before+"<!-- conformance -->\n"+table.String()+"<!-- end -->\n"+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if documented != table.String() {
		t.Errorf("the table in %s is not what happens; go test ./internal/event -run Conformance -update\n%s", documentPath, table.String())
	}
}

const documentPath = "../../docs/cloudevents.md"

func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDocument_hasEveryCode(t *testing.T) {
	text := document(t)
	for _, code := range []string{
		event.NotACloudEvent, event.NotJSON, event.UnsupportedContentType, event.UnsupportedSpecVersion, event.MissingAttribute,
		event.RepeatedHeader, event.RepeatedAttribute, event.BadAttribute, event.BadTime, event.TypeMismatch, event.SchemaViolation,
	} {
		if !strings.Contains(text, "\n| `"+code+"` |") {
			t.Errorf("%s does not explain %s", documentPath, code)
		}
	}
}

// TestSDK_sendsStructuredWithoutHeaders is why a message that says nothing about
// itself is looked into.
func TestSDK_sendsStructuredWithoutHeaders(t *testing.T) {
	e := event.New(bindType, "/hr", "7", []byte(bindData))
	if msg := send(binding.WithForceStructured(t.Context()), t, e); len(msg.Header) != 0 {
		t.Errorf("the SDK sends structured mode with %v, want no headers", msg.Header)
	}
}

// send is what a sender of the SDK puts on the wire.
func send(ctx context.Context, t *testing.T, e ce.Event) *nats.Msg {
	t.Helper()
	var body bytes.Buffer
	h, err := sdk.WriteMsg(ctx, binding.ToMessage(&e), &body)
	if err != nil {
		t.Fatalf("the SDK cannot write %v: %v", e, err)
	}
	return overWire(t, &nats.Msg{Header: h, Data: body.Bytes()})
}

// overWire is the message as the NATS client delivers it: values without white space
// around them, line ends turned into spaces.
func overWire(t *testing.T, msg *nats.Msg) *nats.Msg {
	t.Helper()
	if len(msg.Header) == 0 {
		return &nats.Msg{Data: msg.Data}
	}
	var b strings.Builder
	b.WriteString("NATS/1.0\r\n")
	for name, values := range msg.Header {
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, strings.NewReplacer("\r", " ", "\n", " ").Replace(strings.Trim(v, " \t\r\n")))
		}
	}
	b.WriteString("\r\n")
	h, err := nats.DecodeHeadersMsg([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return &nats.Msg{Header: h, Data: msg.Data}
}

func read(t *testing.T, msg *nats.Msg) event.Event {
	t.Helper()
	e, err := event.Parse(bindType, msg.Header, msg.Data)
	if err != nil {
		t.Fatalf("Parse(%v, %s) = %v", msg.Header, msg.Data, err)
	}
	return e
}

// set gives an event an attribute by the SDK's own means.
func set(e *ce.Event, name string, value any) {
	switch name {
	case "id":
		e.SetID(value.(string))
	case "source":
		e.SetSource(value.(string))
	case "subject":
		e.SetSubject(value.(string))
	case "time":
		e.SetTime(value.(time.Time))
	case "dataschema":
		e.SetDataSchema(value.(string))
	case "datacontenttype":
		e.SetDataContentType(value.(string))
	default:
		e.SetExtension(name, value)
	}
}

// exact gives an event an attribute to the letter.
func exact(e *ce.Event, name, value string) {
	c := e.Context.(*ce.EventContextV1)
	switch name {
	case "id":
		c.ID = value
	case "subject":
		c.Subject = &value
	case "source":
		*c = *event.New(c.Type, value, c.ID, nil).Context.(*ce.EventContextV1)
	}
}

func get(e ce.Event, name string) string {
	switch name {
	case "id":
		return e.ID()
	case "source":
		return e.Source()
	case "subject":
		return e.Subject()
	case "time":
		return types.FormatTime(e.Time())
	case "dataschema":
		return e.DataSchema()
	case "datacontenttype":
		return e.DataContentType()
	}
	text, err := types.Format(e.Extensions()[name])
	if err != nil {
		return err.Error()
	}
	return text
}

// code is a value in a cell of the table.
func code(s string) string { return "`" + s + "`" }
