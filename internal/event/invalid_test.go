package event_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"essworker/internal/event"
	"essworker/internal/fault"
)

func TestParse_invalid(t *testing.T) {
	structured := nats.Header{"content-type": {"application/cloudevents+json"}}
	data := `,"data":` + bindData
	long := strings.Repeat("x", 1025)
	for _, tt := range []struct {
		name   string
		h      nats.Header
		body   string
		code   string
		id     string // what is kept of the identity
		source string
	}{
		{"nothing", nil, "", event.NotACloudEvent, "", ""},
		{"only data", nil, bindData, event.NotACloudEvent, "", ""},
		{"only data that says JSON", nats.Header{"content-type": {"application/json"}}, bindData, event.NotACloudEvent, "", ""},
		{"an event that says it is only JSON", nats.Header{"content-type": {"application/json"}}, envelope(data), event.NotACloudEvent, "", ""},
		{"an array", nil, "[" + envelope(data) + "]", event.NotACloudEvent, "", ""},
		{"specversion null", nil, `{"specversion":null}`, event.NotACloudEvent, "", ""},

		{"no specversion", header("ce-specversion", ""), bindData, event.MissingAttribute, "7", "/hr"},
		{"no specversion, no content type", header("ce-specversion", "", "content-type", ""), bindData, event.MissingAttribute, "7", "/hr"},
		{"no id", header("ce-id", ""), bindData, event.MissingAttribute, "", "/hr"},
		{"blank id", header("ce-id", "%20"), bindData, event.MissingAttribute, "", "/hr"},
		{"no source", header("ce-source", ""), bindData, event.MissingAttribute, "7", ""},
		{"no type", header("ce-type", ""), bindData, event.MissingAttribute, "7", "/hr"},
		{"version 0.3", header("ce-specversion", "0.3"), bindData, event.UnsupportedSpecVersion, "7", "/hr"},
		{"version 1.0.2", header("ce-specversion", "1.0.2"), bindData, event.UnsupportedSpecVersion, "7", "/hr"},
		{"another type", header("ce-type", "employee.bound"), bindData, event.TypeMismatch, "7", "/hr"},
		{"the type in another case", header("ce-type", "Employee.Onboarded"), bindData, event.TypeMismatch, "7", "/hr"},

		{"id twice", header("ce-id", "", "Ce-Id", "7", "ce-ID", "7"), bindData, event.RepeatedHeader, "", "/hr"},
		{"id twice in one case", func() nats.Header { h := header(); h.Add("ce-id", "7"); return h }(), bindData, event.RepeatedHeader, "", "/hr"},
		{"extension twice, empty once", func() nats.Header { h := header(); h["ce-x"] = []string{"", "1"}; return h }(), bindData, event.RepeatedHeader, "7", "/hr"},
		{"id twice, empty once", header("CE-ID", " "), bindData, event.RepeatedHeader, "", "/hr"},
		{"extension twice", header("ce-x", "1", "CE-X", "1"), bindData, event.RepeatedHeader, "7", "/hr"},
		{"extension thrice", header("ce-x", "1", "CE-X", "1", "Ce-X", "1"), bindData, event.RepeatedHeader, "7", "/hr"},
		{"content type twice", header("Content-Type", "application/json"), bindData, event.RepeatedHeader, "", ""},
		{"structured, a header twice", header("content-type", "application/cloudevents+json", "Ce-Type", "x"), envelope(data), event.RepeatedHeader, "7", "/hr"},

		{"bad UTF-8", header("ce-id", "\xff"), bindData, event.BadAttribute, "", "/hr"},
		{"bad UTF-8 encoded", header("ce-subject", "%C0%A0"), bindData, event.BadAttribute, "7", "/hr"},
		{"control character", header("ce-source", "/a%0Ab"), bindData, event.BadAttribute, "7", ""},
		{"C1 control character", header("ce-subject", "a\u0085"), bindData, event.BadAttribute, "7", "/hr"},
		{"no character", header("ce-subject", "a\ufffe"), bindData, event.BadAttribute, "7", "/hr"},
		{"no character, in the middle", header("ce-subject", "\ufdd0"), bindData, event.BadAttribute, "7", "/hr"},
		{"control character in an extension", header("ce-x", "%00"), bindData, event.BadAttribute, "7", "/hr"},
		{"long id", header("ce-id", long), bindData, event.BadAttribute, "", "/hr"},
		{"long source", header("ce-source", long), bindData, event.BadAttribute, "7", ""},
		{"long correlationid", header("ce-correlationid", long), bindData, event.BadAttribute, "7", "/hr"},
		{"bad time", header("ce-time", "yesterday"), bindData, event.BadTime, "7", "/hr"},
		{"time without a zone", header("ce-time", "2026-11-22T03:21:00"), bindData, event.BadTime, "7", "/hr"},

		{"data that is not JSON by its type", header("content-type", "text/plain"), bindData, event.UnsupportedContentType, "7", "/hr"},
		{"not JSON in the binding's place", header("ce-datacontenttype", "application/xml"), bindData, event.UnsupportedContentType, "7", "/hr"},
		{"a content type that is none", header("content-type", "json"), bindData, event.UnsupportedContentType, "7", "/hr"},
		{"a batch", nats.Header{"content-type": {"application/cloudevents-batch+json"}}, "[" + envelope(data) + "]", event.UnsupportedContentType, "", ""},
		{"another format", nats.Header{"content-type": {"application/cloudevents+avro"}}, "Obj\x01", event.UnsupportedContentType, "", ""},

		{"no data", header(), "", event.NotJSON, "7", "/hr"},
		{"data that is not JSON", header(), "userId=u", event.NotJSON, "7", "/hr"},
		{"data in Latin-1", header(), "{\"userId\":\"\xe9\"}", event.NotJSON, "7", "/hr"},
		{"data that breaks the schema", header(), `{"userId":"u"}`, event.SchemaViolation, "7", "/hr"},
		{"data with a field twice", header(), `{"userId":"u","userId":"v","openId":"o"}`, event.SchemaViolation, "7", "/hr"},

		{"structured, not JSON", structured, envelope(data)[1:], event.NotJSON, "", ""},
		{"structured, cut short", structured, envelope(data)[:60], event.NotJSON, "", ""},
		{"structured, not UTF-8", structured, envelope(`,"x":"` + "\xff" + `"`), event.NotJSON, "", ""},
		{"structured, no object", structured, "[]", event.NotACloudEvent, "", ""},
		{"structured, nothing", structured, "{}", event.MissingAttribute, "", ""},
		{"structured, no id", structured, strings.Replace(envelope(data), `"id":"7"`, `"id":null`, 1), event.MissingAttribute, "", "/hr"},
		{"structured, id is a number", structured, strings.Replace(envelope(data), `"id":"7"`, `"id":7`, 1), event.BadAttribute, "", "/hr"},
		{"structured, id twice", structured, envelope(`,"id":"7"` + data), event.RepeatedAttribute, "", "/hr"},
		{"structured, id twice in two cases", structured, envelope(`,"ID":"7"` + data), event.RepeatedAttribute, "", "/hr"},
		{"structured, extension twice", structured, envelope(`,"x":1,"x":1` + data), event.RepeatedAttribute, "7", "/hr"},
		{"structured, an object for an extension", structured, envelope(`,"x":{}` + data), event.BadAttribute, "7", "/hr"},
		{"structured, a fraction", structured, envelope(`,"x":1.5` + data), event.BadAttribute, "7", "/hr"},
		{"structured, too large a number", structured, envelope(`,"x":2147483648` + data), event.BadAttribute, "7", "/hr"},
		{"structured, control character", structured, envelope(`,"x":"\u0000"` + data), event.BadAttribute, "7", "/hr"},
		{"structured, data twice", structured, envelope(data + data), event.BadAttribute, "7", "/hr"},
		{"structured, data and base64", structured, envelope(data + `,"data_base64":"e30="`), event.BadAttribute, "7", "/hr"},
		{"structured, bad base64", structured, envelope(`,"data_base64":"*"`), event.BadAttribute, "7", "/hr"},
		{"structured, base64 is no string", structured, envelope(`,"data_base64":{}`), event.BadAttribute, "7", "/hr"},
		{"structured, base64 of no JSON", structured, envelope(`,"data_base64":"aGk="`), event.NotJSON, "7", "/hr"},
		{"structured, no data", structured, envelope(""), event.NotJSON, "7", "/hr"},
		{"structured, data is null", structured, envelope(`,"data":null`), event.SchemaViolation, "7", "/hr"},
		{"structured, data in a string", structured, envelope(`,"data":"{}"`), event.SchemaViolation, "7", "/hr"},
		{"structured, not JSON data", structured, envelope(`,"datacontenttype":"text/plain","data":"x"`), event.UnsupportedContentType, "7", "/hr"},
		{"structured, version 0.3", structured, strings.Replace(envelope(data), "1.0", "0.3", 1), event.UnsupportedSpecVersion, "7", "/hr"},
		{"structured, another type", structured, strings.Replace(envelope(data), bindType, "x", 1), event.TypeMismatch, "7", "/hr"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := event.Parse(bindType, tt.h, []byte(tt.body))
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Code != tt.code || f.Kind != fault.Permanent || f.Reason != fault.Invalid {
				t.Fatalf("Parse = %v, want an invalid event with code %s", err, tt.code)
			}
			if e.ID() != tt.id || e.Source() != tt.source {
				t.Errorf("Parse keeps id %q and source %q, want %q and %q", e.ID(), e.Source(), tt.id, tt.source)
			}
		})
	}
}

// What a message says about itself may be anything, and ends up in logs.
func TestParse_errorsHoldNothingForeign(t *testing.T) {
	person := `{"sceneKey":"OTHER","userInfo":{"name":"典子谦","idCardType":"ID_CARD","idCardNumber":"620000198802020000","620000198802020000":"典子谦"}}`
	for _, tt := range []struct {
		name string
		h    nats.Header
		body string
	}{
		{"type", header("ce-type", "620000198802020000"), person},
		{"long type", header("ce-type", strings.Repeat("x", 1000)), person},
		{"specversion", header("ce-specversion", "13812345678"), person},
		{"content type", header("content-type", "text/620000198802020000"), person},
		{"format", header("content-type", "application/cloudevents+620000198802020000"), person},
		{"extension", header("ce-620000198802020000", "\x00"), person},
		{"repeated", header("ce-620000198802020000", "1", "CE-620000198802020000", "1"), person},
		{"data", header("ce-type", "autosign.link.requested"), person},
	} {
		_, err := event.Parse("autosign.link.requested", tt.h, []byte(tt.body))
		if err == nil {
			t.Errorf("%s: Parse gives no error", tt.name)
			continue
		}
		text := err.Error()
		for _, secret := range []string{"620000198802020000", "13812345678", "典子谦", strings.Repeat("x", 100)} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: Parse = %v, which shows %s", tt.name, err, secret)
			}
		}
	}
}

func TestParse_unknownType(t *testing.T) {
	if _, err := event.Parse("employee.promoted", header("ce-type", "employee.promoted"), []byte(bindData)); fault.Of(err) == nil || fault.Of(err).Code != event.SchemaViolation {
		t.Errorf("Parse of a type without a schema = %v, want %s", err, event.SchemaViolation)
	}
}

// The header's order in memory changes from run to run.
func TestParse_sameMessageSameError(t *testing.T) {
	h := header("ce-b", "\x00", "ce-a", "\x00", "ce-c", "\x00")
	_, want := event.Parse(bindType, h, []byte(bindData))
	h2 := header("ce-b", "1", "CE-B", "1", "ce-a", "1", "CE-A", "1")
	_, want2 := event.Parse(bindType, h2, []byte(bindData))
	for range 50 {
		if _, got := event.Parse(bindType, h, []byte(bindData)); got.Error() != want.Error() {
			t.Fatalf("Parse gives %q, then %q", want, got)
		}
		if _, got := event.Parse(bindType, h2, []byte(bindData)); got.Error() != want2.Error() {
			t.Fatalf("Parse gives %q, then %q", want2, got)
		}
	}
}

// Of what is there twice nothing is kept, not even of the third.
func TestParse_keepsNothingDoubtful(t *testing.T) {
	for range 20 { // the order of headers changes
		for _, h := range []nats.Header{
			header("ce-correlationid", "a", "CE-correlationid", "a", "ce-CORRELATIONID", "a"),
			header("ce-correlationid", "a", "CE-correlationid", "\x00"),
			header("ce-correlationid", "\x00"),
		} {
			e, err := event.Parse(bindType, h, []byte(bindData))
			if err == nil || event.Correlation(e) != "7" || len(e.Extensions()) != 0 {
				t.Fatalf("Parse(%v) = %v, %v, want an error and no extensions", h, e, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("7", "/hr", bindType, "application/json", "x", bindData)
	f.Add(`"7\"`, "%", "%zz%41", "application/cloudevents+json", "%C0%A0", envelope(`,"data":`+bindData))
	f.Add("", "", "", "", "", envelope(`,"x":1e9,"data_base64":"e30"`))
	f.Add("\x00", "\u0085", "620000198802020000", "application/cloudevents-batch", "é", "[")
	f.Fuzz(func(t *testing.T, id, source, typ, contentType, ext, body string) {
		full := nats.Header{
			"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {source}, "ce-type": {typ},
			"content-type": {contentType}, "ce-" + ext: {ext}, "Ce-X": {source},
		}
		twice := nats.Header{"ce-" + ext: {typ, ext}, "Ce-Id": {id, id}, "Content-Type": {}}
		for _, h := range []nats.Header{full, twice, {"content-type": {contentType}}, nil} {
			e, err := event.Parse(bindType, h, []byte(body))
			event.Correlation(e)
			event.TraceParent(e)
			if err != nil {
				f, ok := errors.AsType[*fault.Error](err)
				if !ok || f.Kind != fault.Permanent || f.Reason != fault.Invalid || f.Code == "" {
					t.Errorf("Parse = %#v, want an invalid event", err)
				}
				if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
					t.Errorf("Parse = %q, which holds a control character", err)
				}
				continue
			}
			// What can be read can be written, and is then read as the same.
			wh, wd, err := event.Write(e)
			if err != nil {
				t.Fatalf("Write of what Parse gave: %v", err)
			}
			again, err := event.Parse(bindType, wh, wd)
			if err != nil {
				t.Fatalf("Parse of what Write gave: %v", err)
			}
			if e.ID() != again.ID() || e.Source() != again.Source() || e.Subject() != again.Subject() || event.Correlation(e) != event.Correlation(again) {
				t.Errorf("Parse gives %v, after Write %v", e, again)
			}
		}
	})
}
