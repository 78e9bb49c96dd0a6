package event_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"essworker/internal/event"
	"essworker/schemas"
)

const bindType = "employee.onboarded"

func ExampleParse() {
	header := nats.Header{
		"Ce-Specversion": {"1.0"},
		"Ce-Id":          {"onboarding%207"},
		"Ce-Source":      {"/hr"},
		"Ce-Type":        {"employee.onboarded"},
	}
	e, err := event.Parse("employee.onboarded", header, []byte(`{"userId": "yDRS4UUgygqdcj56UuO4zjExBQcOiB68", "openId": "n9527"}`))
	fmt.Println(e.ID(), err)
	fmt.Println(event.Key(e.Source(), e.ID()))

	_, err = event.Parse("employee.onboarded", header, []byte(`{"userId": "yDRS4UUgygqdcj56UuO4zjExBQcOiB68"}`))
	fmt.Println(err)
	// Output:
	// onboarding 7 <nil>
	// qtgzgnp2lcspgerieo5vlnjvjq
	// SchemaViolation: the field "openId" is missing
}

// header is that of a valid event of bindType with id 7 and source /hr, changed
// by pairs of name and value; an empty value takes the header away.
func header(pairs ...string) nats.Header {
	h := nats.Header{
		"ce-specversion": {"1.0"},
		"ce-id":          {"7"},
		"ce-source":      {"/hr"},
		"ce-type":        {bindType},
		"content-type":   {"application/json"},
	}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			h.Del(pairs[i])
		}
	}
	return h
}

// envelope is a structured event of bindType with id 7 and source /hr, and more.
func envelope(more string) string {
	return `{"specversion":"1.0","id":"7","source":"/hr","type":"` + bindType + `"` + more + `}`
}

// outline is what of an event the tests compare, as text.
func outline(e event.Event) map[string]any {
	o := map[string]any{}
	for name, text := range map[string]string{
		"id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(),
		"dataschema": e.DataSchema(), "datacontenttype": e.DataContentType(), "data": string(e.Data()),
	} {
		if text != "" {
			o[name] = text
		}
	}
	if at := e.Time(); !at.IsZero() {
		o["time"] = at.Format(time.RFC3339Nano)
	}
	if e.Context != nil {
		maps.Copy(o, e.Extensions())
	}
	return o
}

func TestParse(t *testing.T) {
	structured := nats.Header{"content-type": {"application/cloudevents+json"}}
	data := `,"data":` + bindData
	for _, tt := range []struct {
		name string
		h    nats.Header
		body string
		want map[string]any // beside id 7, source /hr, type and data
	}{
		{"as little as there must be", header("content-type", ""), bindData, nil},
		{"names in any case", nats.Header{"CE-SpecVersion": {"1.0"}, "cE-iD": {"7"}, "Ce-Source": {"/hr"}, "CE-TYPE": {bindType}, "Content-Type": {"APPLICATION/JSON"}}, bindData, nil},
		{"charset", header("content-type", `application/json; charset="UTF-8"`), bindData, nil},
		{"+json", header("content-type", "application/vnd.hr+json"), bindData, nil},
		{"content type in the binding's place", header("content-type", "", "ce-datacontenttype", "application/json"), bindData, map[string]any{"datacontenttype": "application/json"}},
		{"content type in both places", header("ce-datacontenttype", "text/json"), bindData, map[string]any{"datacontenttype": "text/json"}},
		{"other headers", header("Nats-Msg-Id", "x", "traceparent", "y", "ce-", "z", "cex-id", "8"), bindData, nil},
		{
			"all attributes", header("ce-time", "2026-11-22T03:21:00.5+08:00", "ce-subject", "s", "ce-dataschema", "https://a/b", "ce-correlationid", "c"), bindData,
			map[string]any{"time": "2026-11-22T03:21:00.5+08:00", "subject": "s", "dataschema": "https://a/b", "correlationid": "c"},
		},
		{"time in small letters", header("ce-time", "2026-11-22t03:21:00z"), bindData, map[string]any{"time": "2026-11-22T03:21:00Z"}},
		{"raw UTF-8", header("ce-subject", "典子谦 🙂"), bindData, map[string]any{"subject": "典子谦 🙂"}},
		{"percent-encoded", header("ce-subject", "Euro%20%e2%82%AC%20%F0%9F%98%80"), bindData, map[string]any{"subject": "Euro € 😀"}},
		{"percent-encoded once", header("ce-subject", "%2520"), bindData, map[string]any{"subject": "%20"}},
		{"percent signs that encode nothing", header("ce-subject", "100% of %4 %zz %"), bindData, map[string]any{"subject": "100% of %4 %zz %"}},
		{"quoted", header("ce-subject", `"say \"hi\" \\ 50%25"`), bindData, map[string]any{"subject": `say "hi" \ 50%`}},
		{"quotes that enclose less than all", header("ce-subject", `"a" or "b"`), bindData, map[string]any{"subject": `"a" or "b"`}},
		{"quotes that do not end", header("ce-subject", `"a\"`), bindData, map[string]any{"subject": `"a\"`}},
		{"white space around", header("ce-subject", " \ts\t "), bindData, map[string]any{"subject": "s"}},
		{"white space that is encoded", header("ce-subject", "%20s%20"), bindData, map[string]any{"subject": " s "}},
		{"empty attributes are none", header("ce-subject", " ", "ce-time", " ", "ce-x", " "), bindData, nil},
		{"a name no attribute may have", header("ce-my-header", "x", "ce-data", "x", "ce-é", "x"), bindData, nil},
		{"unknown extensions", header("ce-Partition", "4", "ce-longer1than20characters", "true"), bindData, map[string]any{"partition": "4", "longer1than20characters": "true"}},

		{"structured", structured, envelope(data), nil},
		{"structured with charset", nats.Header{"Content-Type": {"application/CloudEvents+JSON; charset=UTF-8"}}, envelope(data), nil},
		{"structured as the binding finds it", nats.Header{"content-type": {"application/cloudevents"}}, envelope(data), nil},
		{"structured without a word", nil, " " + envelope(data) + "\n", nil},
		{"structured with headers of another event", header("content-type", "application/cloudevents+json", "ce-id", "8", "ce-x", "y"), envelope(data), nil},
		{"structured with headers but no specversion", header("content-type", "", "ce-specversion", ""), envelope(data), nil},
		{
			"structured, all attributes", structured, envelope(`,"time":"2026-11-22T03:21:00Z","subject":"50%25","dataschema":"https://a/b","datacontenttype":"application/json","on":true,"n":-7,"s":"x"` + data),
			map[string]any{"time": "2026-11-22T03:21:00Z", "subject": "50%25", "dataschema": "https://a/b", "datacontenttype": "application/json", "on": true, "n": int32(-7), "s": "x"},
		},
		{"structured, null is none", structured, envelope(`,"time":null,"subject":null,"x":null,"data_base64":null` + data), nil},
		{"structured, names in any case", structured, strings.Replace(envelope(`,"Correlation":"c"`+data), `"id"`, `"Id"`, 1), map[string]any{"correlation": "c"}},
		{"structured, a name no attribute may have", structured, envelope(`,"my_name":"x"` + data), nil},
		{"structured, base64", structured, envelope(`,"data_base64":"eyJ1c2VySWQiOiJ5RFJTNFVVZ3lncWRjajU2VXVPNHpqRXhCUWNPaUI2OCIsIm9wZW5JZCI6Im45NTI3In0="`), nil},
		{"structured, base64 without padding", structured, envelope(`,"data_base64":"eyJ1c2VySWQiOiJ5RFJTNFVVZ3lncWRjajU2VXVPNHpqRXhCUWNPaUI2OCIsIm9wZW5JZCI6Im45NTI3In0"`), nil},
		{"source to the letter", header("ce-source", "HTTP://Ex.com/%20a b?#"), bindData, map[string]any{"source": "HTTP://Ex.com/ a b?#"}},
		{"source that is no URL", header("ce-source", "1-555:%zz"), bindData, map[string]any{"source": "1-555:%zz"}},
		{"source that is a scheme", header("ce-source", "hr:"), bindData, map[string]any{"source": "hr:"}},
		{"source in structured mode", structured, strings.Replace(envelope(data), `"/hr"`, `"urn:x:%20 y"`, 1), map[string]any{"source": "urn:x:%20 y"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]any{"id": "7", "source": "/hr", "type": bindType, "data": bindData}
			maps.Copy(want, tt.want)
			e, err := event.Parse(bindType, tt.h, []byte(tt.body))
			if err != nil {
				t.Fatalf("Parse = %v, want no error", err)
			}
			if diff := cmp.Diff(want, outline(e)); diff != "" {
				t.Errorf("Parse (-want +got):\n%s", diff)
			}
		})
	}
}

// The examples people copy must work.
func TestParse_schemaExamples(t *testing.T) {
	for typ, message := range asyncMessages(t) {
		if schemas.ID(typ) == "" || !strings.HasSuffix(typ, "requested") && typ != bindType {
			continue
		}
		for _, example := range message {
			if _, err := event.Parse(typ, example.header, example.payload); err != nil {
				t.Errorf("Parse of an example of %s in asyncapi.yaml: %v", typ, err)
			}
		}
	}
}
