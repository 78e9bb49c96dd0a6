package schemas_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"essworker/schemas"
)

const (
	bind  = "employee.onboarded"
	grant = "seal.grant.requested"
	link  = "autosign.link.requested"
)

const letter = `{"Dlq-Replays":"0","Dlq-Reason":"poison","Dlq-Code":"C","Dlq-Attempts":"1","Dlq-Deliveries":"1",
	"Dlq-First-Seen":"2026-11-22T03:20:58Z","Dlq-Failed-At":"2026-11-22T03:20:58Z","Dlq-Subject":"s","Dlq-Stream":"S",
	"Dlq-Stream-Seq":"1","Dlq-Consumer":"c","Dlq-Worker":"w","Dlq-Group":"k7f3qa"}`

func TestValidate_accepts(t *testing.T) {
	users := make([]string, 100)
	for i := range users {
		users[i] = fmt.Sprintf(`"u%d"`, i)
	}
	for _, tt := range []struct{ typ, data string }{
		{bind, `{"userId":"u","openId":"` + strings.Repeat("a", 64) + `"}`},
		{bind, ` {"userId" : "典子谦/x y", "openId":"0"} `},
		{bind, `{"userId":"u","openId":"o","agent":{"proxyOrganizationId":"p"},"operatorUserId":"q"}`},
		{bind, `{"userId":"` + strings.Repeat("典", 64) + `","openId":"o"}`},
		{grant, `{"agent":{"proxyOrganizationOpenId":"org","proxyOperator":{"openId":"o-1_x"}},"sealId":"s","userIds":[` + strings.Join(users, ",") + `]}`},
		{link, `{"sceneKey":"OTHER","userInfo":{"name":"A","idCardType":"ID_CARD","idCardNumber":"37000019890303000X"}}`},
		{link, `{"sceneKey":"OTHER","userInfo":{"name":"A","idCardType":"HONGKONG_MACAO_AND_TAIWAN","idCardNumber":"810000199408230021"}}`},
		{link, `{"sceneKey":"OTHER","userInfo":{"name":"A","idCardType":"HONGKONG_AND_MACAO","idCardNumber":"M0123456789"},"validFor":"+1h30m0.5s"}`},
		{link, `{"sceneKey":"OTHER","userInfo":{"name":"A","idCardType":"ID_CARD","idCardNumber":"620000198802020000"},"expiresAt":"2026-12-01T00:00:00.25+08:00"}`},
		{"letter.headers", letter},
		{"letter.headers", strings.Replace(letter, `{`, `{"D":"","Dl":"","Dlq":"","ce-id":"1","Dlx-Y":"",`, 1)},
	} {
		if err := schemas.Validate(tt.typ, []byte(tt.data)); err != nil {
			t.Errorf("Validate(%q, %s) = %v, want nil", tt.typ, tt.data, err)
		}
	}
}

func TestValidate_refuses(t *testing.T) {
	person := `"userInfo":{"name":"典子谦","idCardType":"ID_CARD","idCardNumber":"620000198802020000"}`
	card := func(kind, number string) string {
		return fmt.Sprintf(`{"sceneKey":"OTHER","userInfo":{"name":"典子谦","idCardType":%q,"idCardNumber":%q}}`, kind, number)
	}
	id := "must be an id of 1 to 64 characters"
	resident := "/userInfo/idCardNumber: must be 18 characters, 17 digits and then a digit or a capital X, for idCardType ID_CARD or HONGKONG_MACAO_AND_TAIWAN"
	permit := "/userInfo/idCardNumber: must be 11 characters, a capital H or M and then 10 digits, for idCardType HONGKONG_AND_MACAO"
	duration := `/validFor: must be a Go duration above zero and at most 720h, such as "168h" or "1h30m"`
	rfc3339 := `/expiresAt: must be a time as RFC 3339 writes it, such as "2026-12-01T00:00:00Z"`
	for _, tt := range []struct{ typ, data, want string }{
		{bind, ``, "there is no data"},
		{bind, `{"userId":`, "the data is not JSON: it goes wrong at byte 10"},
		{bind, `{"userId":"u","openId":"o"} {}`, "the data is not JSON: it goes wrong at byte 29"},
		{bind, "{\"userId\":\"\xff\",\"openId\":\"o\"}", "the data is not valid UTF-8"},
		{bind, `null`, "the data must be an object, not null"},
		{bind, `[]`, "the data must be an object, not an array"},
		{bind, `"{}"`, "the data must be an object, not a string"},
		{bind, `{}`, `the field "userId" is missing`},
		{bind, `{"userId":"u"}`, `the field "openId" is missing`},
		{bind, `{"userId":"u","openId":"o","extra":1}`, `the field "extra" is not known here`},
		{bind, `{"userId":"u","openId":"o","UserId":"u"}`, `the field "UserId" is not known here`},
		{bind, `{"userId":"u","openId":"o","典子谦":1}`, `the field "***" is not known here`},
		{bind, `{"userId":"u","openId":"o","620000198802020000":1}`, `the field "***" is not known here`},
		{bind, `{"userId":"u","openId":"o","a\nb":1}`, `the field "***" is not known here`},
		{bind, `{"userId":"u","openId":"o","` + strings.Repeat("x", 41) + `":1}`, `the field "***" is not known here`},
		{bind, `{"userId":"u","userId":"v","openId":"o"}`, `the field "userId" stands there twice`},
		{bind, `{"userId":"u","openId":"o","agent":{"a":[{},{"b":1,"\u0062":2}]}}`, `/agent/a/1: the field "b" stands there twice`},
		{bind, `{"userId":"","openId":"o"}`, "/userId: " + id},
		{bind, `{"userId":"` + strings.Repeat("u", 65) + `","openId":"o"}`, "/userId: " + id},
		{bind, `{"userId":7,"openId":"o"}`, "/userId: must be a string, not a number"},
		{bind, `{"userId":"u","openId":"a_b"}`, "/openId: must be 1 to 64 letters and digits (A-Z, a-z, 0-9)"},
		{bind, `{"userId":"u","openId":"ａ"}`, "/openId: must be 1 to 64 letters and digits (A-Z, a-z, 0-9)"},
		{bind, `{"userId":"u","openId":"o","operatorUserId":null}`, "/operatorUserId: must be a string, not null; a field without a value is left out"},
		{bind, `{"userId":"u","openId":"o","operatorUserId":""}`, "/operatorUserId: " + id},
		{bind, `{"userId":"u","openId":"o","agent":{}}`, `/agent: the field "proxyOrganizationId" is missing`},
		{bind, `{"userId":"u","openId":"o","agent":null}`, "/agent: must be an object, not null; a field without a value is left out"},
		{bind, `{"userId":"u","openId":"o","agent":{"proxyOrganizationId":""}}`, "/agent/proxyOrganizationId: " + id},
		{bind, `{"openId":"","agent":{"proxyOrganizationId":true}}`, "/agent/proxyOrganizationId: must be a string, not a boolean"},

		{grant, `{"agent":{"proxyOrganizationOpenId":"o","proxyOperator":{}},"sealId":"s","userIds":["u"]}`, `/agent/proxyOperator: the field "openId" is missing`},
		{grant, `{"agent":{"proxyOrganizationOpenId":"o","proxyOperator":{"openId":""}},"sealId":"s","userIds":["u"]}`, "/agent/proxyOperator/openId: " + id},
		{grant, `{"sealId":"s","userIds":["u"]}`, `the field "agent" is missing`},
		{grant, grantTo(``), "/userIds: must have 1 to 100 entries"},
		{grant, grantTo(`"u","v","u"`), "/userIds: the entries 0 and 2 are the same"},
		{grant, grantTo(`"u",""`), "/userIds/1: " + id},
		{grant, grantTo(strings.TrimSuffix(strings.Repeat(`"u",`, 101), ",")), "/userIds: the entries 0 and 1 are the same"},
		{grant, grantTo(strings.TrimSuffix(strings.Repeat(`0,`, 2000), ",")), "the data holds more than 1000 values"},

		{grant, strings.Repeat("[", 32) + strings.Repeat("]", 32), "the data must be an object, not an array"},
		{grant, strings.Repeat("[", 33) + strings.Repeat("]", 33), "the data is nested more than 32 deep"},

		{link, `{"sceneKey":"AUTO",` + person + `}`, `/sceneKey: must be one of "E_PRESCRIPTION_AUTO_SIGN", "OTHER"`},
		{link, `{"sceneKey":"OTHER"}`, `the field "userInfo" is missing`},
		{link, card("ID_CARD", "62000019880202000"), resident},
		{link, card("ID_CARD", "62000019880202000x"), resident},
		{link, card("ID_CARD", "H1234567890"), resident},
		{link, card("HONGKONG_MACAO_AND_TAIWAN", "H1234567890"), resident},
		{link, card("HONGKONG_AND_MACAO", "620000198802020000"), permit},
		{link, card("HONGKONG_AND_MACAO", "h1234567890"), permit},
		{link, card("PASSPORT", "E12345678"), `/userInfo/idCardType: must be one of "ID_CARD", "HONGKONG_AND_MACAO", "HONGKONG_MACAO_AND_TAIWAN"`},
		{link, `{"sceneKey":"OTHER","userInfo":{"name":"","idCardType":"ID_CARD","idCardNumber":"620000198802020000"}}`, "/userInfo/name: must not be empty"},
		{link, `{"sceneKey":"OTHER","userInfo":{"name":"典子谦","idCardNumber":"1"}}`, `/userInfo: the field "idCardType" is missing`},
		{link, `{"sceneKey":"OTHER",` + person + `,"validFor":"168h","expiresAt":"2026-12-01T00:00:00Z"}`, "the data must have validFor or expiresAt or neither, not both"},
		{link, `{"sceneKey":"OTHER",` + person + `,"validFor":"7d"}`, duration},
		{link, `{"sceneKey":"OTHER",` + person + `,"validFor":"-1h"}`, duration},
		{link, `{"sceneKey":"OTHER",` + person + `,"validFor":""}`, duration},
		{link, `{"sceneKey":"OTHER",` + person + `,"validFor":604800}`, "/validFor: must be a string, not a number"},
		{link, `{"sceneKey":"OTHER",` + person + `,"expiresAt":"2026-12-01"}`, rfc3339},
		{link, `{"sceneKey":"OTHER",` + person + `,"expiresAt":"2026-02-30T00:00:00Z"}`, rfc3339},
		{link, `{"sceneKey":"OTHER",` + person + `,"expiresAt":"2026-12-01T0:00:00Z"}`, rfc3339},
		{link, `{"sceneKey":"OTHER",` + person + `,"expiresAt":"2026-12-01T00:00:60Z"}`, rfc3339},

		{"employee.bind.failed", `{"reason":"lost","code":"C","message":"","requestId":"","attempts":0,"deadLetter":{"id":1}}`, `/reason: must be one of "invalid", "rejected", "exhausted", "poison", "expired"`},
		{"employee.bind.failed", `{"reason":"invalid","code":"C","message":"","requestId":"","attempts":0,"deadLetter":{"id":0}}`, "/deadLetter/id: must be at least 1"},
		{"employee.bind.failed", `{"reason":"invalid","code":"C","message":"","requestId":"","attempts":1.5,"deadLetter":{"id":1}}`, "/attempts: must be an integer, not a number"},
		{"letter.headers", `{"典":1}`, "/***: must be a string, not a number"},
		{"letter.headers", `{"dlq-other":""}`, `the field "Dlq-Reason" is missing`},
		{"letter.headers", strings.Replace(letter, `"0"`, `"-1"`, 1), "/Dlq-Replays: must be a whole number"},
		{"letter.headers", strings.Replace(letter, `{`, `{"dlq-other":"",`, 1), `the field "dlq-other" is not known here`},
		{"letter.headers", strings.Replace(letter, `"Dlq-Group":"k7f3qa"`, `"Dlq-Group":"k7f"`, 1), "/Dlq-Group: must be six letters and digits"},
		{"employee.unknown", `{}`, "there is no schema for data of this type"},
		{"failure", `{}`, "there is no schema for data of this type"},
	} {
		err := schemas.Validate(tt.typ, []byte(tt.data))
		v, ok := errors.AsType[*schemas.Violation](err)
		if !ok || v.Error() != tt.want {
			t.Errorf("Validate(%q, %s) = %v, want %s", tt.typ, tt.data, err, tt.want)
			continue
		}
		if path, _, _ := strings.Cut(tt.want, ": "); strings.HasPrefix(path, "/") && v.Path != path {
			t.Errorf("Validate(%q, %s) has path %q, want %q", tt.typ, tt.data, v.Path, path)
		}
		if !strings.HasPrefix(v.Rule, "must ") {
			t.Errorf("Validate(%q, %s) has rule %q, want one that starts with must", tt.typ, tt.data, v.Rule)
		}
	}
}

func grantTo(users string) string {
	return `{"agent":{"proxyOrganizationOpenId":"o","proxyOperator":{"openId":"p"}},"sealId":"s","userIds":[` + users + `]}`
}

// The validator walks maps, whose order changes from run to run.
func TestValidate_sameDataSameMessage(t *testing.T) {
	data := []byte(`{"z":1,"y":2,"agent":{"proxyOrganizationId":"","b":1},"operatorUserId":7,"openId":"-","userId":""}`)
	want := schemas.Validate(bind, data).Error()
	for range 100 {
		if got := schemas.Validate(bind, data).Error(); got != want {
			t.Fatalf("Validate gives %q, then %q", want, got)
		}
	}
}

func TestValidate_hostile(t *testing.T) {
	for name, data := range map[string]string{
		"deep":           strings.Repeat(`[`, 1<<20),
		"deep in fields": strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000),
		"wide":           grantTo(strings.Repeat(`0,`, 1<<20) + "0"),
		"large":          `{"userId":"` + strings.Repeat("u", 9<<20) + `"}`,
		"large number":   grantTo(strings.Repeat(`1e999999999,`, 30) + "1e999999999"),
		"long number":    grantTo(strings.Repeat(strings.Repeat("9", 300)+",", 30) + "1"),
		"unended string": `{"userId":"\`,
		"closing only":   `}}]]`,
	} {
		if err := schemas.Validate(grant, []byte(data)); err == nil || len(err.Error()) > 100 {
			t.Errorf("%s: Validate gives %v, want a short error", name, err)
		}
	}
}
