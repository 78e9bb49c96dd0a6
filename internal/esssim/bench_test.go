package esssim_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"essworker/internal/esssim"
)

// The happy path without sockets. Requests are signed beforehand: what is
// measured is the vendor alone.
func BenchmarkRoundTrip(b *testing.B) {
	for _, action := range []string{bindAction, grantAction, linkAction} {
		for _, noRecord := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/noRecord=%v", action, noRecord), func(b *testing.B) {
				sim := esssim.New(esssim.Config{NoRecord: noRecord, OverwriteBinding: true})
				c := newCaller(sim)
				body := okBody(action)
				r := c.request(b.Context(), b, action, body)
				b.ReportAllocs()
				for b.Loop() {
					r.Body = io.NopCloser(strings.NewReader(body))
					resp, err := sim.RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		}
	}
}
