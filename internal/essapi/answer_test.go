package essapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/essapi"
	"essworker/internal/fault"
)

// oursTested are the codes of ours that the tests of this file and of
// transport_test.go bring about.
var oursTested = []string{
	"AnswerNotJSON", "AnswerTooLarge", "AnswerIncomplete", "AnswerWithoutCode", "NotBound",
	"Timeout", "Unreachable", "ConnectionBroken", "CertificateInvalid", "NotTLS",
	"HTTP301", "HTTP401", "HTTP403", "HTTP404", "HTTP405", "HTTP407", "HTTP413", "HTTP429", "HTTP500", "HTTP418",
}

// hostile are answers of status 200 that are no success of any action.
var hostile = []struct{ name, body, code string }{
	{"empty", ``, "AnswerNotJSON"},
	{"null", `null`, "AnswerIncomplete"},
	{"no object", `[]`, "AnswerNotJSON"},
	{"a string", `"Response"`, "AnswerNotJSON"},
	{"empty object", `{}`, "AnswerIncomplete"},
	{"null response", `{"Response":null}`, "AnswerIncomplete"},
	{"empty response", `{"Response":{}}`, "AnswerIncomplete"},
	{"response is a list", `{"Response":[]}`, "AnswerNotJSON"},
	{"response is a string", `{"Response":"ok"}`, "AnswerNotJSON"},
	{"only an id", `{"Response":{"RequestId":"r1"}}`, "AnswerIncomplete"},
	{"output outside", `{"Status":1,"UserIds":["a"],"Url":"https://essurl.cn/x"}`, "AnswerIncomplete"},
	{"null output", `{"Response":{"Status":null,"UserIds":null,"Url":null}}`, "AnswerIncomplete"},
	{"output of the wrong type", `{"Response":{"Status":"1","UserIds":"a","Url":1}}`, "AnswerNotJSON"},
	{"a list of the wrong type", `{"Response":{"Status":true,"UserIds":[1],"Url":["x"]}}`, "AnswerNotJSON"},
	{"html", `<html><body>502 Bad Gateway</body></html>`, "AnswerNotJSON"},
	{"cut off", `{"Response":{"Status":1,"UserIds":["a"],"Url":"https://essurl.cn/x"`, "AnswerNotJSON"},
	{"twice", good + good, "AnswerNotJSON"},
	{"something after", good + `x`, "AnswerNotJSON"},
	{"byte order mark", "\ufeff" + good, "AnswerNotJSON"},
	{"too deep", strings.Repeat(`[`, 20000), "AnswerNotJSON"},
	{"empty code", `{"Response":{"Error":{"Code":"","Message":"m"},"RequestId":"r1"}}`, "AnswerWithoutCode"},
	{"no code", `{"Response":{"Error":{"Message":"m"}}}`, "AnswerWithoutCode"},
	{"empty error", `{"Response":{"Error":{}}}`, "AnswerWithoutCode"},
	{"error is a string", `{"Response":{"Error":"boom"}}`, "AnswerWithoutCode"},
	{"error is a list", `{"Response":{"Error":[]}}`, "AnswerWithoutCode"},
	{"error is a number", `{"Response":{"Error":1}}`, "AnswerWithoutCode"},
	{"code is a number", `{"Response":{"Error":{"Code":5,"Message":["m"]}}}`, "AnswerWithoutCode"},
	{"code with odd characters", `{"Response":{"Error":{"Code":"Invalid\nParameter"}}}`, "AnswerWithoutCode"},
	{"code not UTF-8", "{\"Response\":{\"Error\":{\"Code\":\"Inv\xff\"}}}", "AnswerWithoutCode"},
	{"code of a page", `{"Response":{"Error":{"Code":"` + strings.Repeat("A", 1000) + `"}}}`, "AnswerWithoutCode"},
	{"code is an id number", `{"Response":{"Error":{"Code":"` + personNumber + `"}}}`, "AnswerWithoutCode"},
	{"code holds a phone number", `{"Response":{"Error":{"Code":"User.13800138000"}}}`, "AnswerWithoutCode"},
	{"error beside output", `{"Response":{"Error":{"Code":"Odd"},"Status":1,"UserIds":["a"],"Url":"u"}}`, "Odd"},
	{"error after output", `{"Response":{"Status":1,"UserIds":["a"],"Url":"u","Error":{"Code":"Odd"}}}`, "Odd"},
	{"error, then none", `{"Response":{"Error":{"Code":"Odd"},"Error":null,"Status":1,"UserIds":["a"],"Url":"u"}}`, "Odd"},
	{"error, then another", `{"Response":{"Error":{"Code":"Odd"},"Error":{"Code":"Even"}}}`, "Odd"},
	{"error in other letters", `{"Response":{"error":{"code":"Odd"},"Status":1,"UserIds":["a"],"Url":"u"}}`, "Odd"},
	{"error by escapes", `{"Response":{"\u0045rror":{"Code":"Odd"},"Status":1,"UserIds":["a"],"Url":"u"}}`, "Odd"},
	{"error, then a second response", `{"Response":{"Error":{"Code":"Odd"}},"Response":{"Status":1,"UserIds":["a"],"Url":"u"}}`, "Odd"},
	{"error beside a wrong type", `{"Response":{"Error":{"Code":"Odd"},"Status":"1","UserIds":1,"Url":1,"RequestId":7}}`, "Odd"},
	{"too large", `{"Response":{"Status":1,"UserIds":[],"Url":"u","QrCode":"` + strings.Repeat("A", 2<<20) + `"}}`, "AnswerTooLarge"},
}

const good = `{"Response":{"Status":1,"UserIds":["yDxbWUyKQDx7OZUuO4zjESvEkRMHc55R"],"Url":"https://essurl.cn/x"}}`

func TestClient_hostileAnswers(t *testing.T) {
	for _, tt := range hostile {
		for _, action := range []string{bind, grant, link} {
			f := faultOf(t, says(http.StatusOK, tt.body), action)
			if meaningOf(f) != ambiguous || f.Code != tt.code {
				t.Errorf("%s answered %s = %+v, want %s, %+v", action, tt.name, f, tt.code, ambiguous)
			}
		}
	}
}

func TestClient_goodAnswers(t *testing.T) {
	for name, body := range map[string]string{
		"plain":               good,
		"null error":          strings.Replace(good, `{"Status"`, `{"Error":null,"Status"`, 1),
		"unknown properties":  strings.Replace(good, `{"Status"`, `{"New":{"a":[1]},"Status"`, 1),
		"spaces":              " \n" + strings.ReplaceAll(good, ":", " : ") + "\r\n",
		"unused not UTF-8":    strings.Replace(good, `{"Status"`, "{\"X\":\"\xff\",\"Status\"", 1),
		"two megabytes of it": good + strings.Repeat(" ", 2<<20-len(good)),
	} {
		for _, action := range []string{bind, grant, link} {
			if _, err := call(t.Context(), newClient(t, says(http.StatusOK, body)), action); err != nil {
				t.Errorf("%s answered %s: %v, want success", action, name, err)
			}
		}
	}
}

func TestBindEmployee_statusZeroIsNoSuccess(t *testing.T) {
	for _, status := range []string{"0", "2", "-1"} {
		f := faultOf(t, says(http.StatusOK, `{"Response":{"Status":`+status+`,"RequestId":"r1"}}`), bind)
		if f.Code != "NotBound" || f.RequestID != "r1" || meaningOf(f) != ambiguous {
			t.Errorf("BindEmployee answered Status %s = %+v, want NotBound", status, f)
		}
	}
}

func TestGrantSeal(t *testing.T) {
	in := sampleGrant
	in.UserIDs = []string{"a", "b", "c"}
	for _, tt := range []struct {
		name, response string
		want           essapi.Granted
	}{
		{"all", `"UserIds":["a","b","c"]`, essapi.Granted{Granted: []string{"a", "b", "c"}, Already: []string{}}},
		{"some, in another order", `"UserIds":["c","a"]`, essapi.Granted{Granted: []string{"a", "c"}, Already: []string{"b"}}},
		{"none", `"UserIds":[]`, essapi.Granted{Granted: []string{}, Already: []string{"a", "b", "c"}}},
		{"some nobody asked for", `"UserIds":["x","b"]`, essapi.Granted{Granted: []string{"b"}, Already: []string{"a", "c"}}},
		{
			"to verify", `"UserIds":[],"SealOperatorVerifyPath":"/pages/guide/index?to=F&x=1","SealOperatorVerifyQrcodeUrl":"https://q/1"`,
			essapi.Granted{Granted: []string{}, Already: []string{}, VerifyPath: "/pages/guide/index?to=F&x=1", VerifyQRCode: "https://q/1"},
		},
		{
			"to verify, without a list", `"SealOperatorVerifyPath":"/p"`,
			essapi.Granted{Granted: []string{}, Already: []string{}, VerifyPath: "/p"},
		},
		{"nothing to verify", `"UserIds":["a"],"SealOperatorVerifyPath":"","SealOperatorVerifyQrcodeUrl":""`, essapi.Granted{Granted: []string{"a"}, Already: []string{"b", "c"}}},
	} {
		tt.want.RequestID = "r1"
		got, err := newClient(t, says(http.StatusOK, `{"Response":{`+tt.response+`,"RequestId":"r1"}}`)).GrantSeal(t.Context(), in)
		if d := cmp.Diff(tt.want, got); err != nil || d != "" {
			t.Errorf("GrantSeal, %s: %v (-want +got):\n%s", tt.name, err, d)
		}
	}
}

func TestCreateSealLink(t *testing.T) {
	got, err := newClient(t, says(http.StatusOK, successes[link])).CreateSealLink(t.Context(), sampleLink)
	want := essapi.SealLink{
		URL: "https://essurl.cn/dKd", Path: "page?abc=123&def=456", QRCode: "EBAQ",
		AppID: "wxa023b292fd19d41d", AppOriginalID: "gh_da88f6188665", RequestID: "s1",
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("CreateSealLink: %v (-want +got):\n%s", err, d)
	}
	got, err = newClient(t, says(http.StatusOK, `{"Response":{"Url":"https://res.ess.tencent.cn/cdn/jump-mp.html?to=K\u0026t=1","AppId":"","Path":""}}`)).CreateSealLink(t.Context(), sampleLink)
	if want := (essapi.SealLink{URL: "https://res.ess.tencent.cn/cdn/jump-mp.html?to=K&t=1"}); err != nil || got != want {
		t.Errorf("CreateSealLink with the long link alone = %+v, %v, want %+v", got, err, want)
	}
}

// What the vendor repeats of a person, or of a link, stands in no text of ours,
// and the rest of its message does.
func TestClient_textsAreMasked(t *testing.T) {
	for _, tt := range []struct{ message, want string }{
		{"无法找到参与人[姓名：典子谦,证件号：620000198802020000]", "无法找到参与人[姓名：***,证件号：***]"},
		{"手机号13800138000未注册", "手机号***未注册"},
		{"见 https://essurl.cn/dKd?a=1 处理", "见 *** 处理"},
		{"典子谦典子谦，37000019890303000X与620000198802020000均无效", "******，***与***均无效"},
		{strings.Repeat("错", 400), strings.Repeat("错", 340) + "…"},
		{strings.Repeat("长", 4000) + "620000198802020000", "(a text of over 8 KiB, left out)"},
		{"a\\u0000b\\r\\nc", "a b  c"},
	} {
		_, err := call(t.Context(), newClient(t, refuses("FailedOperation", tt.message)), link)
		f := fault.Of(err)
		if f.Message != tt.want {
			t.Errorf("message of %q = %q, want %q", tt.message, f.Message, tt.want)
		}
		if len(f.Message) > 1024 {
			t.Errorf("message of %q has %d bytes, want at most 1024", tt.message, len(f.Message))
		}
		leaks(t, err)
	}
}

// A code that no row of the table names may be a person's name as well.
func TestClient_codesRepeatNobody(t *testing.T) {
	for code, want := range map[string]string{
		"InvalidParameter.Oyangce":          "InvalidParameter",
		"InvalidParameter.NoSuch.oyangceX":  "InvalidParameter.NoSuch",
		"Oyangce.Unknown":                   "AnswerWithoutCode",
		"InvalidParameter.NoSuchPerson":     "InvalidParameter.NoSuchPerson",
		"InvalidParameter.CardNumber":       "InvalidParameter.CardNumber",
		"RequestLimitExceeded":              "RequestLimitExceeded", // a row's own
		"RequestLimitExceeded.IPLimitOyang": "RequestLimitExceeded.IPLimitOyang",
	} {
		in := sampleLink
		in.Person.Name = "Oyangce"
		_, err := newClient(t, refuses(code, "m")).CreateSealLink(t.Context(), in)
		if got := codeOf(err); got != want {
			t.Errorf("code %q about Oyangce = %q, want %q", code, got, want)
		}
	}
}

func TestClient_requestIDs(t *testing.T) {
	for id, want := range map[string]string{
		"fc0b0a6b-01b4-4042-b236-c5356af1d5d8":      "fc0b0a6b-01b4-4042-b236-c5356af1d5d8",
		"s1615674603446404796":                      "s1615674603446404796",
		"a\\r\\nX-Injected: b\\u0000":               "aX-Injectedb",
		"典子谦" + "r":                                 "r",
		"620000 198802 020000":                      "-",
		"x620000198802020000y":                      "x-y",
		"62000062000019880202000019880202" + "0000": "620000-198802020000",
		strings.Repeat("a", 5000):                   strings.Repeat("a", 100),
	} {
		f := faultOf(t, says(http.StatusOK, `{"Response":{"Error":{"Code":"FailedOperation"},"RequestId":"`+id+`"}}`), link)
		if f.RequestID != want {
			t.Errorf("RequestId of %q = %q, want %q", id, f.RequestID, want)
		}
		got, err := newClient(t, says(http.StatusOK, `{"Response":{"Url":"u","RequestId":"`+id+`"}}`)).CreateSealLink(t.Context(), sampleLink)
		if err != nil || got.RequestID != want {
			t.Errorf("RequestId of a link with %q = %q, %v, want %q", id, got.RequestID, err, want)
		}
	}
}

// leaks fails the test if an error's text holds a person's data.
func leaks(t *testing.T, err error) {
	t.Helper()
	f := fault.Of(err)
	texts := []string{err.Error(), f.Error(), f.Code, f.Message, f.RequestID}
	for _, secret := range []string{personName, personNumber, "620000", "13800138000", "37000019890303000X", "essurl.cn"} {
		if slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, secret) }) {
			t.Errorf("an error's text holds %q: %q", secret, texts)
		}
	}
}

// A name that is part of a code is no reason to lose the code.
func TestClient_shortNames(t *testing.T) {
	in := sampleLink
	in.Person.Name = "Li"
	_, err := newClient(t, refuses("RequestLimitExceeded", "Limit of Li")).CreateSealLink(t.Context(), in)
	if f := fault.Of(err); f.Code != "RequestLimitExceeded" || strings.Contains(f.Message, "Li") {
		t.Errorf("a refusal for a person named Li = %+v", f)
	}
}
