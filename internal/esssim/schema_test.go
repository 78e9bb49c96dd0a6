package esssim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"essworker/internal/esssim"
)

// full has every property an action defines, hidden ones included.
var full = map[string]string{
	bindAction: `{"Operator":{"UserId":"` + esssim.OperatorUserID + `","Channel":"c","OpenId":"o","ClientIp":"1.2.3.4","ProxyIp":"1.2.3.4"},
		"UserId":"` + esssim.SubsidiaryEmployeeID + `","OpenId":"n1",
		"Agent":{"ProxyOrganizationId":"` + esssim.SubsidiaryID + `","AppId":"a","ProxyAppId":"a","ProxyOperator":"p"}}`,
	linkAction: `{"Operator":{"UserId":"` + esssim.OperatorUserID + `","ClientIp":"1.2.3.4"},"SceneKey":"OTHER",
		"UserInfo":{"Name":"某人","IdCardType":"ID_CARD","IdCardNumber":"990000198001010011"},
		"Agent":{"ProxyOrganizationId":"yDORG1"},"EndPoint":"APP"}`,
	grantAction: `{"Agent":{"AppId":"` + esssim.AppID + `","ProxyOrganizationOpenId":"` + esssim.ClientOpenID + `",
		"ProxyOperator":{"OpenId":"n9527","Channel":"CHANNEL","CustomUserId":"zhangsan","ClientIp":"1.2.3.4","ProxyIp":"1.2.3.4"},
		"ProxyAppId":"yDRS4UUgygqdcj56UuO4zjExBQcOiB68","ProxyOrganizationId":"yDxbNUyKQDx3oAUuO4zjEBQGidlGe4hP"},
		"SealId":"` + esssim.SealID + `","UserIds":["` + esssim.GranteeUserID + `"],
		"Options":[{"Key":"SealOperatorVerify","Value":"false"}],
		"Operator":{"OpenId":"test_openid","Channel":"CHANNEL","CustomUserId":"zhangsan","ClientIp":"8.8.8.8","ProxyIp":"8.8.8.8"},
		"Organization":{"OrganizationId":"yDxbWUyKQDxgXVUuO4zjEB8mxCcDjAyF","Channel":"CHANNEL","OrganizationOpenId":"org_dianziqian","ClientIp":"1.2.3.4","ProxyIp":"8.8.8.8"}}`,
}

// Hidden properties are defined, so they are accepted.
func TestSchema_hidden(t *testing.T) {
	for action, body := range full {
		if got := newCaller(esssim.New(esssim.Config{})).call(t, action, body); got.code() != "ok" {
			t.Errorf("%s with every property = %s (%s), want ok", action, got.code(), got.message())
		}
	}
}

// An undefined property is refused wherever it stands, and so is a defined one
// in another letter case.
func TestSchema_unknownAtAnyDepth(t *testing.T) {
	for action, body := range full {
		var tree map[string]any
		if err := json.Unmarshal([]byte(body), &tree); err != nil {
			t.Fatal(err)
		}
		n := 0
		walk(tree, func(object map[string]any) {
			n++
			for _, name := range []string{"Undefined", "userId", ""} {
				object[name] = "x"
				b, err := json.Marshal(tree)
				delete(object, name)
				if err != nil {
					t.Fatal(err)
				}
				got := newCaller(esssim.New(esssim.Config{})).call(t, action, string(b))
				if got.code() != "UnknownParameter" || !strings.Contains(got.message(), name) {
					t.Errorf("%s = %s (%s), want UnknownParameter naming %q", b, got.code(), got.message(), name)
				}
			}
		})
		if n < 3 {
			t.Errorf("%s: only %d objects tried", action, n)
		}
	}
}

// walk calls f for every object in a decoded body.
func walk(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			walk(e, f)
		}
		f(v)
	case []any:
		for _, e := range v {
			walk(e, f)
		}
	}
}

func TestSchema_refuses(t *testing.T) {
	replace := func(action, from, to string) string { return strings.Replace(full[action], from, to, 1) }
	tests := []struct {
		name, action, body, code, names string
	}{
		{"empty body", bindAction, "", "InvalidParameter", ""},
		{"null", bindAction, "null", "InvalidParameter", ""},
		{"list", bindAction, "[]", "InvalidParameter", ""},
		{"not JSON", bindAction, "UserId=1", "InvalidParameter", ""},
		{"two objects", bindAction, okBody(bindAction) + "{}", "InvalidParameter", ""},
		{"empty object", bindAction, "{}", "MissingParameter", "`OpenId`"},
		{"no operator", bindAction, `{"UserId":"a","OpenId":"b"}`, "MissingParameter", "`Operator`"},
		{"operator without a UserId", bindAction, `{"Operator":{},"UserId":"a","OpenId":"b"}`, "MissingParameter", "`Operator.UserId`"},
		{"null is absent", bindAction, `{"Operator":{"UserId":"a"},"UserId":null,"OpenId":"b"}`, "MissingParameter", "`UserId`"},
		{"agent without an organisation", bindAction, replace(bindAction, `"ProxyOrganizationId":"`+esssim.SubsidiaryID+`",`, ""), "MissingParameter", "`Agent.ProxyOrganizationId`"},
		{"operator an object in ess", bindAction, replace(bindAction, `"ProxyOperator":"p"`, `"ProxyOperator":{"OpenId":"p"}`), "InvalidParameter", "`Agent.ProxyOperator`"},
		{"number for a string", bindAction, `{"Operator":{"UserId":"a"},"UserId":1,"OpenId":"b"}`, "InvalidParameter", "`UserId`"},
		{"string for an object", bindAction, `{"Operator":"a","UserId":"a","OpenId":"b"}`, "InvalidParameter", "`Operator`"},
		{"operator a string in essbasic", grantAction, replace(grantAction, `"ProxyOperator":{"OpenId":"n9527",`, `"ProxyOperator":"n9527","ProxyOperator2":{`), "UnknownParameter", "`Agent.ProxyOperator2`"},
		{"UserId in essbasic's operator", grantAction, replace(grantAction, `{"OpenId":"n9527",`, `{"OpenId":"n9527","UserId":"u",`), "UnknownParameter", "`Agent.ProxyOperator.UserId`"},
		{"no seal", grantAction, replace(grantAction, `"SealId":"`+esssim.SealID+`",`, ""), "MissingParameter", "`SealId`"},
		{"a string for UserIds", grantAction, replace(grantAction, `["`+esssim.GranteeUserID+`"]`, `"u"`), "InvalidParameter", "`UserIds`"},
		{"a number among UserIds", grantAction, replace(grantAction, `["`+esssim.GranteeUserID+`"]`, `["u",7]`), "InvalidParameter", "`UserIds.1`"},
		{"an option without a value", grantAction, replace(grantAction, `,"Value":"false"`, ""), "MissingParameter", "`Options.0.Value`"},
		{"a fraction for a time", linkAction, replace(linkAction, `"EndPoint":"APP"`, `"ExpiredTime":1.5`), "InvalidParameter", "`ExpiredTime`"},
		{"a string for a time", linkAction, replace(linkAction, `"EndPoint":"APP"`, `"ExpiredTime":"1693290580"`), "InvalidParameter", "`ExpiredTime`"},
		{"no number", linkAction, replace(linkAction, `,"IdCardNumber":"990000198001010011"`, ""), "MissingParameter", "`UserInfo.IdCardNumber`"},
		{"unknown before wrong before missing", bindAction, `{"UserId":1,"Zzz":1}`, "UnknownParameter", "`Zzz`"},
		{"wrong before missing", bindAction, `{"UserId":1}`, "InvalidParameter", "`UserId`"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := newCaller(esssim.New(esssim.Config{})).call(t, tt.action, tt.body)
			if got.code() != tt.code || !strings.Contains(got.message(), tt.names) {
				t.Errorf("%s = %s (%s), want %s naming %s", tt.body, got.code(), got.message(), tt.code, tt.names)
			}
		})
	}
}
