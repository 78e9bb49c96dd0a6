package esssim_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"essworker/internal/esssim"
)

// tamper changes a request between the SDK and the wire.
type tamper func(*http.Request)

func (f tamper) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return http.DefaultTransport.RoundTrip(r)
}

// The vendor's own client is an independent signer: what it signs is accepted,
// and nothing else.
func TestServeHTTP_vendorSDK(t *testing.T) {
	honest := func(*http.Request) {}
	tests := []struct {
		name, service, version, action, body string
		tamper                               tamper
		want                                 string
	}{
		{"bind", "ess", "2020-11-11", bindAction, okBody(bindAction), honest, "ok"},
		{"grant", "essbasic", "2021-05-26", grantAction, okBody(grantAction), honest, "ok"},
		{"link", "ess", "2020-11-11", linkAction, okBody(linkAction), honest, "ok"},
		{"body changed", "ess", "2020-11-11", bindAction, okBody(bindAction), func(r *http.Request) {
			const other = `{"OpenId":"n9528"}`
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(other)), int64(len(other))
		}, "AuthFailure.SignatureFailure"},
		{"header changed", "ess", "2020-11-11", bindAction, okBody(bindAction), func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
		}, "AuthFailure.SignatureFailure"},
		{"time changed", "ess", "2020-11-11", bindAction, okBody(bindAction), func(r *http.Request) {
			r.Header.Set("X-TC-Timestamp", strconv.FormatInt(time.Now().Unix()+2, 10))
		}, "AuthFailure.SignatureFailure"},
		{"time too old", "ess", "2020-11-11", bindAction, okBody(bindAction), func(r *http.Request) {
			r.Header.Set("X-TC-Timestamp", strconv.FormatInt(time.Now().Unix()-301, 10))
		}, "AuthFailure.SignatureExpire"},
		{"wrong version", "ess", "2021-05-26", bindAction, okBody(bindAction), honest, "NoSuchVersion"},
		{"wrong product", "essbasic", "2021-05-26", bindAction, okBody(bindAction), honest, "InvalidAction"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(esssim.New(esssim.Config{Rate: 20}))
			defer server.Close()
			prof := profile.NewClientProfile()
			prof.HttpProfile.Endpoint = strings.TrimPrefix(server.URL, "http://")
			prof.HttpProfile.Scheme = "HTTP"
			client := common.NewCommonClient(common.NewCredential(esssim.SecretID, esssim.SecretKey), "", prof)
			client.WithHttpTransport(tt.tamper)

			req := tchttp.NewCommonRequest(tt.service, tt.version, tt.action)
			if err := req.SetActionParameters(tt.body); err != nil {
				t.Fatal(err)
			}
			got := "ok"
			if err := client.Send(req, tchttp.NewCommonResponse()); err != nil {
				refused, ok := errors.AsType[*sdkerrors.TencentCloudSDKError](err)
				if !ok {
					t.Fatal(err)
				}
				got = refused.Code
			}
			if got != tt.want {
				t.Errorf("the vendor's SDK got %s, want %s", got, tt.want)
			}
		})
	}
}
