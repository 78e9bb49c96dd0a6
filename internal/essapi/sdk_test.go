package essapi_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"essworker/internal/essapi"
)

// sdkRequest is the vendor's way to write a request down: the properties in the
// order its generated code has them, all pointers.
type sdkUser struct {
	UserID *string `json:"UserId,omitempty"`
	OpenID *string `json:"OpenId,omitempty"`
}

type sdkBind struct {
	*tchttp.BaseRequest
	Operator *sdkUser `json:"Operator,omitempty"`
	UserID   *string  `json:"UserId,omitempty"`
	OpenID   *string  `json:"OpenId,omitempty"`
}

type sdkLink struct {
	*tchttp.BaseRequest
	Operator *sdkUser   `json:"Operator,omitempty"`
	SceneKey *string    `json:"SceneKey,omitempty"`
	UserInfo *sdkPerson `json:"UserInfo,omitempty"`
}

type sdkPerson struct {
	Name         *string `json:"Name,omitempty"`
	IDCardType   *string `json:"IdCardType,omitempty"`
	IDCardNumber *string `json:"IdCardNumber,omitempty"`
}

type sdkGrant struct {
	*tchttp.BaseRequest
	Agent   *sdkAgent `json:"Agent,omitempty"`
	SealID  *string   `json:"SealId,omitempty"`
	UserIDs []*string `json:"UserIds,omitempty"`
}

type sdkAgent struct {
	AppID                   *string  `json:"AppId,omitempty"`
	ProxyOrganizationOpenID *string  `json:"ProxyOrganizationOpenId,omitempty"`
	ProxyOperator           *sdkUser `json:"ProxyOperator,omitempty"`
}

type sdkResponse struct {
	*tchttp.BaseResponse
	Response *struct {
		Status *int64
	}
}

// sdkRequests are the sample calls in the SDK's types.
func sdkRequests() map[string]tchttp.Request {
	b := &sdkBind{&tchttp.BaseRequest{}, &sdkUser{UserID: &sampleBind.Operator}, &sampleBind.UserID, &sampleBind.OpenID}
	b.Init().WithApiInfo("ess", "2020-11-11", bind)
	p := sampleLink.Person
	l := &sdkLink{&tchttp.BaseRequest{}, &sdkUser{UserID: &sampleLink.Operator}, &sampleLink.SceneKey, &sdkPerson{&p.Name, &p.IDCardType, &p.IDCardNumber}}
	l.Init().WithApiInfo("ess", "2020-11-11", link)
	g := &sdkGrant{
		&tchttp.BaseRequest{},
		&sdkAgent{&sampleGrant.AppID, &sampleGrant.OrganizationOpenID, &sdkUser{OpenID: &sampleGrant.OperatorOpenID}},
		&sampleGrant.SealID,
		[]*string{&sampleGrant.UserIDs[0]},
	}
	g.Init().WithApiInfo("essbasic", "2021-05-26", grant)
	return map[string]tchttp.Request{bind: b, link: l, grant: g}
}

func sdkClient(t *testing.T, rt http.RoundTripper) *common.Client {
	t.Helper()
	c, err := common.NewClientWithSecretId(sampleID, sampleKey, "")
	if err != nil {
		t.Fatal(err)
	}
	return c.WithProfile(profile.NewClientProfile()).WithHttpTransport(rt)
}

// The vendor's own SDK sends the same bytes for the same call, and signs them as
// our signer would, given what the SDK signs: another content type, no action.
func TestSDK_sameBytesSameSignature(t *testing.T) {
	for action, req := range sdkRequests() {
		var theirs, ours []sent
		if err := sdkClient(t, recording(t, &theirs)).Send(req, &sdkResponse{BaseResponse: &tchttp.BaseResponse{}}); err != nil {
			t.Fatalf("the SDK's %s: %v", action, err)
		}
		if _, err := call(t.Context(), newClient(t, recording(t, &ours)), action); err != nil {
			t.Fatalf("%s: %v", action, err)
		}
		their, our := theirs[0], ours[0]
		if their.body != our.body {
			t.Errorf("%s: the SDK's body\n%s, ours\n%s", action, their.body, our.body)
		}
		if a, b := their.request.URL.String(), our.request.URL.String(); strings.TrimSuffix(a, "/") != strings.TrimSuffix(b, "/") {
			t.Errorf("%s: the SDK calls %s, we %s", action, a, b)
		}
		for _, s := range []sent{their, our} {
			if err := verify(s.request, []byte(s.body), sampleKey); err != nil {
				t.Errorf("%s, %s: %v", action, s.request.Header.Get("X-TC-RequestClient"), err)
			}
		}
		header := their.request.Header.Get
		unix, err := strconv.ParseInt(header("X-TC-Timestamp"), 10, 64)
		if err != nil {
			t.Fatalf("the SDK's timestamp: %v", err)
		}
		want := essapi.Authorization(sampleID, sampleKey, req.GetService(), req.GetDomain(), header("Content-Type"), "", []byte(their.body), unix)
		if got := header("Authorization"); got != want {
			t.Errorf("%s: the SDK signs\n%s, we\n%s", action, got, want)
		}
		for _, name := range []string{"X-TC-Action", "X-TC-Version", "X-TC-Language"} {
			if got, want := our.request.Header.Get(name), header(name); got != want {
				t.Errorf("%s: %s %q, the SDK's %q", action, name, got, want)
			}
		}
	}
}

// Why the SDK is not what calls the vendor: what it calls a success, and what it
// puts into its error texts. Should it ever mend these, this test says so.
func TestSDK_defectsWeDoNotShare(t *testing.T) {
	send := func(rt http.RoundTripper) error {
		return sdkClient(t, rt).Send(sdkRequests()[bind], &sdkResponse{BaseResponse: &tchttp.BaseResponse{}})
	}
	for _, body := range []string{`{}`, `{"Response":null}`, `{"Response":{"Status":0}}`, `{"Response":{"Error":{"Code":""}}}`} {
		if err := send(says(200, body)); err != nil {
			t.Errorf("the SDK answered %s: %v, no longer a success", body, err)
		}
		leaks(t, faultOf(t, says(200, body), bind))
	}
	page := "<html>" + personName + "</html>"
	for _, status := range []int{200, 502} {
		if err := send(says(status, page)); err == nil || !strings.Contains(err.Error(), personName) {
			t.Errorf("the SDK answered HTTP %d with a page: %v, no longer with the page in it", status, err)
		}
		leaks(t, faultOf(t, says(status, page), bind))
	}
	panics := func() (p any) {
		defer func() { p = recover() }()
		return fmt.Sprint(send(says(200, `null`)))
	}
	if s, ok := panics().(string); ok {
		t.Errorf("the SDK answered null: %s, no longer a panic", s)
	}
	leaks(t, faultOf(t, says(200, `null`), bind))
}
