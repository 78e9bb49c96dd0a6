package event_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/event"
)

// bindHeader is what a sender that keeps to the binding gives.
func bindHeader() nats.Header {
	return nats.Header{
		"ce-specversion": {"1.0"},
		"ce-id":          {"0198c6c4-7a3e-7d52-9c1f-3f6f0e5b2a10"},
		"ce-source":      {"/hr/onboarding"},
		"ce-type":        {"employee.onboarded"},
		"ce-time":        {"2026-11-22T03:21:00Z"},
		"content-type":   {"application/json"},
		"Nats-Msg-Id":    {"/hr/onboarding|0198c6c4-7a3e-7d52-9c1f-3f6f0e5b2a10"},
	}
}

const (
	bindData = `{"userId":"yDRS4UUgygqdcj56UuO4zjExBQcOiB68","openId":"n9527"}`
	linkData = `{"sceneKey":"OTHER","userInfo":{"name":"典子谦","idCardType":"ID_CARD","idCardNumber":"620000198802020000"},"validFor":"168h"}`
)

func grantData(users int) string {
	ids := make([]string, users)
	for i := range ids {
		ids[i] = fmt.Sprintf(`"yDdzUUUgygqdcj56UuO4zjEwBQcO%04d"`, i)
	}
	return `{"agent":{"proxyOrganizationOpenId":"org_dianziqian","proxyOperator":{"openId":"n9527"}},"sealId":"yDRTZUUgygqdcj56UuO4zjEyBQcOiC79","userIds":[` +
		strings.Join(ids, ",") + `]}`
}

func BenchmarkParse(b *testing.B) {
	run := func(name, typ string, h nats.Header, data string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.Parse(typ, h, []byte(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	typed := func(typ string) nats.Header {
		h := bindHeader()
		h.Set("ce-type", typ)
		return h
	}
	run("bind", "employee.onboarded", bindHeader(), bindData)
	run("link", "autosign.link.requested", typed("autosign.link.requested"), linkData)
	run("grant to 1", "seal.grant.requested", typed("seal.grant.requested"), grantData(1))
	run("grant to 100", "seal.grant.requested", typed("seal.grant.requested"), grantData(100))
	run("bind structured", "employee.onboarded", nil, `{"specversion":"1.0","id":"1","source":"/hr","type":"employee.onboarded","data":`+bindData+`}`)
}

func BenchmarkResult(b *testing.B) {
	cause, err := event.Parse("employee.onboarded", bindHeader(), []byte(bindData))
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(`{"userId":"yDRS4UUgygqdcj56UuO4zjExBQcOiB68","openId":"n9527","alreadyBound":false,"requestId":"fc0b"}`)
	b.ReportAllocs()
	h := nats.Header{}
	for b.Loop() {
		clear(h)
		_, err := event.Result(h, event.ResultSpec{
			Type: "employee.bound", Source: "/essworker", Subject: "yDRS4UUgygqdcj56UuO4zjExBQcOiB68",
			Cause: cause, CauseKey: event.Key(cause.Source(), cause.ID()), Time: time.Unix(1764403260, 0), Data: data,
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
