package essapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"essworker/internal/essapi"
)

func BenchmarkSign(b *testing.B) {
	b.ReportAllocs()
	sign := essapi.Signer(sampleID, sampleKey, "ess", "ess.tencentcloudapi.com", typeUTF8, bind)
	body := []byte(bodyBind)
	for b.Loop() {
		sign(body, vectorTime)
	}
}

func BenchmarkClassify(b *testing.B) {
	for name, tt := range map[string]struct{ code, message string }{
		"code":    {"ResourceNotFound.NotExistApplication", "资源不存在。"},
		"message": {"InvalidParameter", "该userId已绑定该openId，无需重新绑定"},
		"unknown": {"NeverSeen.Ever", "m"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				essapi.Classify(bind, tt.code, tt.message)
			}
		})
	}
}

// BenchmarkCall is a whole call but for the network: encode, sign, decode, judge.
func BenchmarkCall(b *testing.B) {
	qr := strings.Replace(successes[link], "EBAQ", strings.Repeat("EBAQ", 16<<10), 1)
	for _, bb := range []struct{ name, action, body string }{
		{"bind", bind, successes[bind]},
		{"grant", grant, successes[grant]},
		{"link", link, successes[link]},
		{"link with 64 KiB of QR code", link, qr},
		{"already bound", bind, `{"Response":{"Error":{"Code":"InvalidParameter","Message":"该userId已绑定该openId，无需重新绑定"},"RequestId":"535482ad-caa5-4302-909c-de054bf4df99"}}`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			c := newClient(b, wire(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(bb.body))}, nil
			}))
			for b.Loop() {
				if _, err := call(b.Context(), c, bb.action); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
