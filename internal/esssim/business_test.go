package esssim_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/png"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/esssim"
)

// step is one call of a story and what the vendor makes of it. A message that
// is the vendor's own is compared in full; of an invented one only "[sim]" is.
type step struct {
	action, body  string
	code, message string
}

const invented = "[sim]"

func TestBusiness(t *testing.T) {
	bind := func(userID, openID string) string { return bindBody(userID, openID) }
	as := func(operator, body string) string {
		return strings.Replace(body, esssim.OperatorUserID, operator, 1)
	}
	forSubsidiary := func(id, body string) string {
		return strings.Replace(body, `{"Operator"`, `{"Agent":{"ProxyOrganizationId":"`+id+`"},"Operator"`, 1)
	}
	grantAs := func(app, org, operator, seal, ids string) string {
		return fmt.Sprintf(`{"Agent":{"AppId":%q,"ProxyOrganizationOpenId":%q,"ProxyOperator":{"OpenId":%q}},"SealId":%q,"UserIds":[%s]}`, app, org, operator, seal, ids)
	}
	person := func(number string) string { return linkBody(esssim.PersonName, number, "") }
	more := func(member string) string {
		return linkBody(esssim.PersonName, esssim.PersonIDCardNumber, ","+member)
	}
	grantee := `"` + esssim.GranteeUserID + `"`
	const (
		same   = "该userId已绑定该openId，无需重新绑定"
		other  = "该openid已绑定其他userid，请解绑后重试"
		denied = "操作被拒绝。"
	)
	tests := []struct {
		name  string
		cfg   esssim.Config
		steps []step
	}{
		{"bind fresh, again, and for another", esssim.Config{}, []step{
			{bindAction, bind(esssim.EmployeeUserID, "n9527"), "ok", ""},
			{bindAction, bind(esssim.EmployeeUserID, "n9527"), "InvalidParameter", same},
			{bindAction, bind(esssim.Employee2UserID, "n9527"), "InvalidParameter", other},
			{bindAction, bind(esssim.EmployeeUserID, "n1"), "InvalidParameter", invented},
			{bindAction, bind(esssim.Employee2UserID, "n1"), "ok", ""},
			{bindAction, bind(esssim.EmployeeUserID, "n1"), "InvalidParameter", other},
		}},
		{"bind may overwrite", esssim.Config{OverwriteBinding: true}, []step{
			{bindAction, bind(esssim.EmployeeUserID, "n1"), "ok", ""},
			{bindAction, bind(esssim.EmployeeUserID, "n2"), "ok", ""},
			{bindAction, bind(esssim.Employee2UserID, "n1"), "ok", ""},
			{bindAction, bind(esssim.EmployeeUserID, "n2"), "InvalidParameter", same},
		}},
		{"bind nobody", esssim.Config{}, []step{
			{bindAction, bind("", "n1"), "InvalidParameter.ParamError", invented},
			{bindAction, bind("yDnobody", "n1"), "InvalidParameter.ParamError", invented},
			{bindAction, bind(esssim.FormerEmployeeID, "n1"), "InvalidParameter.ParamError", invented},
			{bindAction, bind(esssim.SubsidiaryEmployeeID, "n1"), "InvalidParameter.ParamError", invented},
			{bindAction, bind(esssim.GranteeUserID, "n1"), "InvalidParameter.ParamError", invented},
		}},
		{"bind an OpenId of the wrong form", esssim.Config{}, []step{
			{bindAction, bind(esssim.EmployeeUserID, ""), "InvalidParameter.ParamError", invented},
			{bindAction, bind(esssim.EmployeeUserID, "open_user2"), "InvalidParameter.ParamError", invented},
			{bindAction, bind(esssim.EmployeeUserID, "é"), "InvalidParameter.ParamError", invented},
			{bindAction, bind(esssim.EmployeeUserID, strings.Repeat("a", 65)), "InvalidParameter.ParamError", invented},
			{bindAction, bind(esssim.EmployeeUserID, strings.Repeat("a", 64)), "ok", ""},
		}},
		{"bind by whom", esssim.Config{}, []step{
			{bindAction, as("yDnobody", bind(esssim.EmployeeUserID, "n1")), "InvalidParameter.InvalidOperatorId", invented},
			{bindAction, as(esssim.FormerEmployeeID, bind(esssim.EmployeeUserID, "n1")), "InvalidParameter.InvalidOperatorId", invented},
			{bindAction, as(esssim.UnverifiedUserID, bind(esssim.EmployeeUserID, "n1")), "OperationDenied.NoIdentityVerify", invented},
			{bindAction, as(esssim.Employee2UserID, bind(esssim.EmployeeUserID, "n1")), "UnauthorizedOperation", "未授权操作（编辑组织架构）"},
		}},
		{"bind for a subsidiary", esssim.Config{}, []step{
			{bindAction, forSubsidiary(esssim.SubsidiaryID, bind(esssim.SubsidiaryEmployeeID, "n1")), "ok", ""},
			{bindAction, bind(esssim.EmployeeUserID, "n1"), "ok", ""}, // unique within the enterprise only
			{bindAction, forSubsidiary(esssim.SubsidiaryID, bind(esssim.EmployeeUserID, "n2")), "InvalidParameter.ParamError", invented},
			{bindAction, forSubsidiary(esssim.ClientID, bind(esssim.GranteeUserID, "n2")), "OperationDenied.SubOrgNotJoin", invented},
			{bindAction, forSubsidiary("", bind(esssim.EmployeeUserID, "n2")), "OperationDenied.SubOrgNotJoin", invented},
		}},
		{"unbind", esssim.Config{}, []step{
			{unbindAction, bind(esssim.EmployeeUserID, "n1"), "InvalidParameter", "该openId并未绑定企业员工"},
			{bindAction, bind(esssim.EmployeeUserID, "n1"), "ok", ""},
			{unbindAction, bind(esssim.EmployeeUserID, "n2"), "InvalidParameter", "该openId并未绑定企业员工"},
			{unbindAction, bind(esssim.EmployeeUserID, "n1"), "ok", ""},
			{bindAction, bind(esssim.Employee2UserID, "n1"), "ok", ""},
		}},
		{"grant for whom and what", esssim.Config{}, []step{
			{grantAction, grantBody("", esssim.GranteeUserID), "InvalidParameter.ParamError", "缺失印章ID"},
			{grantAction, grantBody(esssim.SealID, "yDnobody"), "InvalidParameter.ParamError", "无效的授权用户Id"},
			{grantAction, grantBody(esssim.SealID, esssim.GranteeUserID, "yDnobody"), "InvalidParameter.ParamError", "无效的授权用户Id"},
			{grantAction, grantBody(esssim.SealID, esssim.UnverifiedUserID), "InvalidParameter.ParamError", "无效的授权用户Id"},
			{grantAction, grantBody(esssim.SealID, esssim.Client2GranteeUserID), "InvalidParameter.ParamError", "无效的授权用户Id"},
			{grantAction, grantBody(esssim.SealID), "InvalidParameter.ParamError", invented},
			{grantAction, grantBody("yDnoseal", esssim.GranteeUserID), "ResourceNotFound", "资源不存在。"},
			{grantAction, grantBody(esssim.Client2SealID, esssim.GranteeUserID), "ResourceNotFound", "资源不存在。"},
			{grantAction, grantBody(esssim.StoppedSealID, esssim.GranteeUserID), "ResourceNotFound.Seal", invented},
		}},
		{"grant by whom", esssim.Config{}, []step{
			{grantAction, grantAs("yDnoapp", esssim.ClientOpenID, "n9527", esssim.SealID, grantee), "ResourceNotFound.Application", invented},
			{grantAction, grantAs(esssim.AppID, "", "n9527", esssim.SealID, grantee), "MissingParameter.OrgOpenId", invented},
			{grantAction, grantAs(esssim.AppID, "nowhere", "n9527", esssim.SealID, grantee), "ResourceNotFound.Organization", invented},
			{grantAction, grantAs(esssim.AppID, esssim.ClientOpenID, "", esssim.SealID, grantee), "MissingParameter.ProxyOperatorOpenId", invented},
			{grantAction, grantAs(esssim.AppID, esssim.ClientOpenID, "nobody", esssim.SealID, grantee), "InvalidParameter.InvalidOperatorId", invented},
			{grantAction, grantAs(esssim.AppID, esssim.ClientOpenID, esssim.ClientClerkOpenID, esssim.SealID, grantee), "OperationDenied.OperatorHasNoPermission", invented},
			{grantAction, grantAs(esssim.AppID, esssim.Client2OpenID, esssim.Client2OperatorOpenID, esssim.Client2SealID, `"`+esssim.Client2GranteeUserID+`"`), "ok", ""},
		}},
		{"link for whom", esssim.Config{}, []step{
			{linkAction, person(esssim.PersonIDCardNumber), "ok", ""},
			{linkAction, linkBody(esssim.PersonWithoutName, esssim.PersonWithoutIDCardNumber, ""), "FailedOperation", "用户未开通自动签"},
			{linkAction, linkBody("另一人", esssim.PersonIDCardNumber, ""), "FailedOperation", "用户未开通自动签"},
			{linkAction, strings.Replace(person(esssim.PersonIDCardNumber), esssim.SceneKey, "OTHER", 1), "FailedOperation", "用户未开通自动签"},
			{linkAction, as(esssim.Employee2UserID, person(esssim.PersonIDCardNumber)), "OperationDenied", denied},
			{linkAction, forSubsidiary(esssim.SubsidiaryID, person(esssim.PersonIDCardNumber)), "OperationDenied", denied},
			{linkAction, as("yDnobody", person(esssim.PersonIDCardNumber)), "InvalidParameter.InvalidOperatorId", invented},
		}},
		{"link with bad parameters", esssim.Config{}, []step{
			{linkAction, strings.Replace(person(esssim.PersonIDCardNumber), esssim.SceneKey, "SOME_SCENE", 1), "InvalidParameter", invented},
			{linkAction, strings.Replace(person(esssim.PersonIDCardNumber), `"ID_CARD"`, `"PASSPORT"`, 1), "InvalidParameter", invented},
			{linkAction, strings.Replace(person(esssim.PersonIDCardNumber), `"ID_CARD"`, `"HONGKONG_AND_MACAO"`, 1), "InvalidParameter", invented},
			{linkAction, strings.Replace(person("H1234567890"), `"ID_CARD"`, `"HONGKONG_AND_MACAO"`, 1), "FailedOperation", "用户未开通自动签"},
			{linkAction, strings.Replace(person(esssim.PersonIDCardNumber), `"ID_CARD"`, `"HONGKONG_MACAO_AND_TAIWAN"`, 1), "FailedOperation", "用户未开通自动签"},
			{linkAction, person("62000019880202000"), "InvalidParameter", invented},
			{linkAction, person("62000019880202000x"), "InvalidParameter", invented},
			{linkAction, linkBody("", esssim.PersonIDCardNumber, ""), "InvalidParameter", invented},
			{linkAction, more(`"EndPoint":"QR"`), "InvalidParameter", invented},
			{linkAction, more(`"ExpiredTime":946684799`), "InvalidParameter", invented},    // a second ago
			{linkAction, more(`"ExpiredTime":946684800`), "ok", ""},                        // now, when a bubble begins
			{linkAction, more(`"ExpiredTime":949276800`), "ok", ""},                        // in 30 days
			{linkAction, more(`"ExpiredTime":949276801`), "InvalidParameter", invented},    // and a second
			{linkAction, more(`"ExpiredTime":946684800000`), "InvalidParameter", invented}, // milliseconds
		}},
		{"generated entities", esssim.Config{}, []step{
			{bindAction, as("yDOPER7", bind("yDSIM1", "n1")), "ok", ""},
			{bindAction, bind("yDSIM1", "n1"), "InvalidParameter", same},
			{bindAction, bind("yDSIM2", "n1"), "InvalidParameter", other},
			{bindAction, bind("yDSIM"+strings.Repeat("x", 27), "n2"), "ok", ""},
			{bindAction, bind("yDSIM"+strings.Repeat("x", 28), "n3"), "InvalidParameter.ParamError", invented},
			{bindAction, bind("yDSIM", "n4"), "InvalidParameter.ParamError", invented},
			{bindAction, forSubsidiary("yDORG1", bind("yDSIM3", "n1")), "ok", ""},
			{linkAction, forSubsidiary("yDORG1", person(esssim.PersonIDCardNumber)), "ok", ""},
			{linkAction, linkBody("任何人", "990000198001010011", ""), "ok", ""},
			{grantAction, grantBody("yDSEAL1", "yDSIM4", "sim5"), "ok", ""},
			{grantAction, grantBody("yDSEAL1", "yDSIM1"), "InvalidParameter.ParamError", "无效的授权用户Id"}, // the head organisation's
			{grantAction, grantAs(esssim.AppID, "org_sim_9", "sim-operator", "yDSEAL9", `"sim1"`), "ok", ""},
			{grantAction, grantAs(esssim.AppID, "org_sim_9", "sim-operator", "yDSEAL1", `"sim1"`), "ResourceNotFound", "资源不存在。"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCaller(esssim.New(tt.cfg))
				for i, s := range tt.steps {
					got := c.call(t, s.action, s.body)
					fits := got.message() == s.message
					if s.message == invented {
						fits = strings.HasSuffix(got.message(), invented)
					}
					if got.code() != s.code || !fits {
						t.Errorf("step %d: %s = %s %q, want %s %q", i+1, s.action, got.code(), got.message(), s.code, s.message)
					}
				}
			})
		})
	}
}

func TestBind_status(t *testing.T) {
	got := newCaller(esssim.New(esssim.Config{})).call(t, bindAction, okBody(bindAction)).Response
	if got.Status == nil || *got.Status != 1 {
		t.Errorf("bind = Status %v, want 1", got.Status)
	}
}

// Those who may use the seal already are left out of the answer, and ids come
// back in the form they were sent.
func TestGrant_answersNewOnly(t *testing.T) {
	c := newCaller(esssim.New(esssim.Config{}))
	for i, tt := range []struct{ send, want []string }{
		{[]string{esssim.GranteeUserID}, []string{esssim.GranteeUserID}},
		{[]string{esssim.GranteeUserID}, []string{}},
		{[]string{esssim.GranteeOpenID}, []string{}}, // the same one
		{[]string{esssim.GranteeOpenID, esssim.Grantee2OpenID, "yDSIM1"}, []string{esssim.Grantee2OpenID, "yDSIM1"}},
		{[]string{"yDSIM2", "yDSIM2"}, []string{"yDSIM2"}},
	} {
		got := c.call(t, grantAction, grantBody(esssim.SealID, tt.send...))
		if diff := cmp.Diff(tt.want, got.Response.UserIDs); diff != "" || got.code() != "ok" {
			t.Errorf("grant %d to %v = %s (-want +got)\n%s", i+1, tt.send, got.code(), diff)
		}
	}
}

func TestGrant_skipsUnknown(t *testing.T) {
	c := newCaller(esssim.New(esssim.Config{SkipUnknownUsers: true}))
	got := c.call(t, grantAction, grantBody(esssim.SealID, "yDnobody", esssim.GranteeUserID))
	if diff := cmp.Diff([]string{esssim.GranteeUserID}, got.Response.UserIDs); diff != "" {
		t.Errorf("grant with an unknown user (-want +got)\n%s", diff)
	}
}

func TestGrant_operatorVerification(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	c := newCaller(sim)
	withOption := func(value string) string {
		return strings.Replace(okBody(grantAction), `{"Agent"`, `{"Options":[{"Key":"SealOperatorVerify","Value":"`+value+`"}],"Agent"`, 1)
	}
	got := c.call(t, grantAction, withOption("true")).Response
	if got.VerifyPath == "" || got.VerifyImage == "" || len(got.UserIDs) != 0 {
		t.Errorf("grant with verification = %+v, want both links and nobody granted", got)
	}
	got = c.call(t, grantAction, withOption("false")).Response
	if got.VerifyPath != "" || len(got.UserIDs) != 1 {
		t.Errorf("grant without verification = %+v, want no link and one granted", got)
	}
	if code := c.call(t, grantAction, withOption("maybe")).code(); code != "InvalidParameter.ParamError" {
		t.Errorf("grant with another value = %s, want InvalidParameter.ParamError", code)
	}
}

func TestLink_forms(t *testing.T) {
	c := newCaller(esssim.New(esssim.Config{}))
	seen := map[string]bool{}
	for _, endPoint := range []string{"", `,"EndPoint":"HTTP_SHORT_URL"`, `,"EndPoint":"APP"`} {
		got := c.call(t, linkAction, linkBody(esssim.PersonName, esssim.PersonIDCardNumber, endPoint)).Response
		if !strings.HasPrefix(got.URL, "https://essurl.cn/") || got.AppID != "wxa023b292fd19d41d" || got.AppOriginalID != "gh_da88f6188665" || !strings.Contains(got.Path, "&") {
			t.Errorf("link with %q = %+v, want a short link and the mini-program's constants", endPoint, got)
		}
		image, err := base64.StdEncoding.DecodeString(got.QrCode)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(bytes.NewReader(image)); err != nil {
			t.Errorf("QrCode is no picture: %v", err)
		}
		if seen[got.URL] || seen[got.QrCode] {
			t.Errorf("link with %q is one given before", endPoint)
		}
		seen[got.URL], seen[got.QrCode] = true, true
	}
	got := c.call(t, linkAction, linkBody(esssim.PersonName, esssim.PersonIDCardNumber, `,"EndPoint":"HTTP"`)).Response
	if !strings.HasPrefix(got.URL, "https://res.ess.tencent.cn/cdn/") || got.Path+got.QrCode+got.AppID+got.AppOriginalID != "" {
		t.Errorf("link with EndPoint HTTP = %+v, want a long link and nothing else", got)
	}
}

// A link stands in the answer with & as &.
func TestLink_plainAmpersand(t *testing.T) {
	c := newCaller(esssim.New(esssim.Config{}))
	_, body, err := c.raw(c.request(t.Context(), t, linkAction, okBody(linkAction)))
	if err != nil || bytes.Contains(body, []byte(`\u0026`)) || !bytes.Contains(body, []byte("&shortKey=")) {
		t.Errorf("link = %s, %v; want a plain &", body, err)
	}
}

// The default expiry cannot be seen in the answer; that the clock of the vendor
// decides over ExpiredTime can.
func TestLink_expiryByVendorClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{})
		c := newCaller(sim)
		body := linkBody(esssim.PersonName, esssim.PersonIDCardNumber, fmt.Sprintf(`,"ExpiredTime":%d`, time.Now().Add(time.Minute).Unix()))
		sim.Inject(esssim.Fault{Kind: esssim.Clock, Offset: 2 * time.Minute, Count: 1})
		if got := c.call(t, linkAction, body); got.code() != "InvalidParameter" {
			t.Errorf("link that ends before the vendor's now = %s, want InvalidParameter", got.code())
		}
		if got := c.call(t, linkAction, body); got.code() != "ok" {
			t.Errorf("the same with clocks in step = %s, want ok", got.code())
		}
	})
}
