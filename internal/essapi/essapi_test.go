package essapi_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/fault"
)

// The vendor's published sample key, and an id as its documentation prints them.
const (
	sampleID  = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"
	sampleKey = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
)

// The person of the vendor's own example.
const (
	personName   = "典子谦"
	personNumber = "620000198802020000"
)

const (
	bind  = "BindEmployeeUserIdWithClientOpenId"
	grant = "ChannelCreateSealPolicy"
	link  = "CreateUserAutoSignSealUrl"
)

// wire is the vendor, as a function.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// says is a vendor that always gives this answer.
func says(status int, body string) wire {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, status, strings.NewReader(body)), nil
	}
}

// refuses is a vendor that always gives this error.
func refuses(code, message string) wire {
	return says(http.StatusOK, `{"Response":{"Error":{"Code":"`+code+`","Message":"`+message+`"},"RequestId":"r1"}}`)
}

func response(r *http.Request, status int, body io.Reader) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), Body: io.NopCloser(body), ContentLength: -1, Request: r,
	}
}

func config() essapi.Config {
	return essapi.Config{
		Endpoint: "https://ess.tencentcloudapi.com", BasicEndpoint: "https://essbasic.tencentcloudapi.com",
		Timeout: 35 * time.Second, SecretID: sampleID, SecretKey: sampleKey,
	}
}

func newClient(t testing.TB, rt http.RoundTripper) *essapi.Client {
	t.Helper()
	return newClientWith(t, config(), essapi.Options{Transport: rt})
}

func newClientWith(t testing.TB, cfg essapi.Config, o essapi.Options) *essapi.Client {
	t.Helper()
	c, err := essapi.New(cfg, o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

var (
	sampleBind = essapi.BindEmployee{
		Operator: "yDRSRUUgygj6qnwfUuO4zjEwc193c2hH",
		UserID:   "yDRS4UUgygqdcj56UuO4zjExBQcOiB68",
		OpenID:   "n9527",
	}
	sampleGrant = essapi.GrantSeal{
		AppID: "yDwhxUUckp3gl8j5UuFX33LSNozpRsbi", OrganizationOpenID: "org_dianziqian", OperatorOpenID: "n9527",
		SealID: "yDxZtUyKQD2JuqUuO4zjERYG3XNeEJXw", UserIDs: []string{"yDxbWUyKQDx7OZUuO4zjESvEkRMHc55R"},
	}
	sampleLink = essapi.CreateSealLink{
		Operator: "yDRSRUUgygj6qnwfUuO4zjEwc193c2hH", SceneKey: "E_PRESCRIPTION_AUTO_SIGN",
		Person: essapi.Person{Name: personName, IDCardType: "ID_CARD", IDCardNumber: personNumber},
	}
)

// call makes the sample call of an action and gives its outcome without its type.
func call(ctx context.Context, c *essapi.Client, action string) (any, error) {
	switch action {
	case bind:
		return c.BindEmployee(ctx, sampleBind)
	case grant:
		return c.GrantSeal(ctx, sampleGrant)
	}
	return c.CreateSealLink(ctx, sampleLink)
}

// faultOf makes the sample call and gives its fault; the call must fail with one.
func faultOf(t *testing.T, rt http.RoundTripper, action string) *fault.Error {
	t.Helper()
	got, err := call(t.Context(), newClient(t, rt), action)
	if err == nil {
		t.Fatalf("%s = %+v, want an error", action, got)
	}
	f := fault.Of(err)
	if f.Code == "Unclassified" {
		t.Fatalf("%s: %v, want a classified fault", action, err)
	}
	return f
}
