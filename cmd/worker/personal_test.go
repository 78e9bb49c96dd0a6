package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	promexport "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"essworker/internal/handlers"
	"essworker/internal/natstest"
)

// Who the events are about. A name is known to be personal by the field it stands in, a
// number by its shape as well.
const (
	hanName   = "欧阳测试"
	latinName = "Marguerite Oyang"
	oneWord   = "Oyangce"
	idNumber  = "990000198802021234"
	permit    = "H1020304050"
	phone     = "13812340987"
	linkToken = "l1nk7oken"
	linkImage = "cXJjb2RlLW9mLWEtbGluaw"
	faceToken = "f4c3t0k3n"
)

func personalTexts() []string {
	return []string{hanName, latinName, oneWord, idNumber, permit, phone, linkToken, linkImage, faceToken}
}

// TestPersonal_staysInside drives personal data in every form, in their place and in wrong
// ones, through a worker and past every command, and searches all that was said for them:
// they may be in events, letters and results, and nowhere else.
func TestPersonal_staysInside(t *testing.T) {
	t.Parallel()
	d := newDiary(t)
	d.publish()
	d.settled()
	d.operate()
	d.hold()
	d.close()
	for where, what := range map[string]string{
		"log": `"outcome":"lettered"`, "spans": "process autosign.link.requested", "metrics": "essworker_letters_total", "readyz": "AuthFailure",
		d.Topology.AuditStream(): "letters.discard", d.Topology.FleetStream(): "AuthFailure", "letters": "SchemaViolation", "failures": `"reason":"rejected"`,
	} {
		if !strings.Contains(d.said[where], what) {
			t.Errorf("%s: %q is not in it, so nothing was searched", where, what)
		}
	}
	for _, where := range slices.Sorted(maps.Keys(d.said)) {
		for secret, found := range leaks(d.said[where]) {
			t.Errorf("%s: %q is in it: … %s …", where, secret, found)
		}
	}
}

// diary is a deployment with one worker, and what it says.
type diary struct {
	*natstest.Bed

	t        *testing.T
	vendor   *httptest.Server
	said     map[string]string // by where
	log      transcript
	spans    *tracetest.SpanRecorder
	registry *prometheus.Registry
	health   *health
	sent     int
	end      func()
}

func newDiary(t *testing.T) *diary {
	t.Helper()
	d := &diary{
		Bed: natstest.NewTCP(t, handlers.Types()...), t: t, vendor: httptest.NewServer(http.HandlerFunc(talkative)),
		said: map[string]string{}, spans: tracetest.NewSpanRecorder(), registry: prometheus.NewRegistry(),
	}
	t.Cleanup(d.vendor.Close)
	scrape, err := promexport.New(promexport.WithRegisterer(d.registry), promexport.WithoutScopeInfo())
	if err != nil {
		t.Fatal(err)
	}
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(scrape))
	set := simulated(d.vendor.URL)
	set.Fleet.Rate, set.Fleet.BreakerFailures = 0, 1000
	set.Lanes.MaxAttempts, set.Lanes.BackoffMin, set.Lanes.BackoffMax = 2, time.Millisecond, 2*time.Millisecond
	api, err := set.vendor(nil, meter, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	d.health = &health{ctx: ctx}
	worked, takes := make(chan error, 1), make(chan struct{})
	w := worker{
		// Without the last pass of package telemetry: texts are masked where they are made.
		log:      slog.New(slog.NewJSONHandler(&d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		settings: set, api: api, nc: d.NC, js: d.JS, health: d.health, meter: meter,
		tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(d.spans)), ready: func() { close(takes) },
	}
	go func() { worked <- serve(ctx, w) }()
	d.end = func() {
		stop()
		if err := <-worked; err != nil {
			t.Error(err)
		}
		api.Close()
	}
	<-takes
	return d
}

// talkative is a vendor that repeats in many ways what it was told; the operator of a
// call, or the seal, says in which.
func talkative(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	refuse := func(code, id, message string) {
		_ = json.NewEncoder(w).Encode(map[string]any{"Response": map[string]any{
			"Error": map[string]any{"Code": code, "Message": message}, "RequestId": id,
		}})
	}
	var call struct {
		UserInfo struct {
			Name string `json:"Name"`
		} `json:"UserInfo"`
	}
	_ = json.Unmarshal(body, &call) // what is not there is not repeated
	name := call.UserInfo.Name
	plain := fmt.Sprintf("无法找到参与人[姓名：%s,手机号：%s,证件号：%s,%s] https://ess.example/%s", name, phone, idNumber, permit, linkToken)
	switch {
	case bytes.Contains(body, []byte("say-plainly")):
		refuse("InvalidParameter", "req-1", plain)
	case bytes.Contains(body, []byte("say-escaped")):
		refuse("InvalidParameter", "req-2", strings.Join([]string{
			escaped(name), strings.ToUpper(escaped(name)), `\` + escaped(name), url.PathEscape(name), url.QueryEscape(name), strings.ToUpper(name),
		}, " or "))
	case bytes.Contains(body, []byte("say-as-code")):
		refuse("InvalidParameter."+oneWord, oneWord+idNumber, plain)
	case bytes.Contains(body, []byte("say-as-page")):
		w.Header().Set("Location", "https://ess.example/"+phone)
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, plain)
	case bytes.Contains(body, []byte("say-as-header")):
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+idNumber+" "+hanName+"\r\n\r\n")
		_ = conn.Close()
	case bytes.Contains(body, []byte("say-as-text")):
		_, _ = io.WriteString(w, plain)
	case bytes.Contains(body, []byte("hold-the-lane")):
		refuse("AuthFailure.SecretIdNotFound", "req-3", plain)
	case bytes.Contains(body, []byte("SealId")):
		_, _ = fmt.Fprintf(w, `{"Response":{"UserIds":[%q],"SealOperatorVerifyPath":"pages/face?t=%s","SealOperatorVerifyQrcodeUrl":"https://ess.example/%s.png","RequestId":"req-4"}}`, phone, faceToken, faceToken)
	case bytes.Contains(body, []byte("SceneKey")):
		_, _ = fmt.Fprintf(w, `{"Response":{"Url":"https://ess.example/%s","Path":"pages/guide?to=%s","QrCode":%q,"AppId":"a","AppOriginalId":"b","RequestId":"req-5"}}`, linkToken, linkToken, linkImage)
	default:
		_, _ = io.WriteString(w, `{"Response":{"Status":1,"RequestId":"req-6"}}`)
	}
}

// link is the data of a link for somebody, and how the vendor takes it.
func link(name, number, vendor string) string {
	return fmt.Sprintf(`{"sceneKey":"OTHER","operatorUserId":"%s","userInfo":{"name":"%s","idCardType":"ID_CARD","idCardNumber":"%s"}}`, vendor, name, number)
}

// escaped is a text as some JSON libraries write it.
func escaped(s string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return b.String()
}

// publish stores the events.
func (d *diary) publish() {
	const links, bound, seals = "autosign.link.requested", "employee.onboarded", "seal.grant.requested"
	person, broken := link(hanName, idNumber, "o"), link(hanName, idNumber, "o")[:90]
	send := d.send
	// Where they belong, with vendors that talk.
	for _, vendor := range []string{"o", "say-as-page", "say-as-header", "say-as-text"} {
		send(links, link(hanName, idNumber, vendor))
	}
	for _, vendor := range []string{"say-plainly", "say-escaped"} {
		send(links, link(hanName, idNumber, vendor))
		send(links, link(escaped(hanName), idNumber, vendor))
		send(links, link(latinName, idNumber, vendor))
	}
	send(links, link(oneWord, idNumber, "say-as-code"))
	send(links, strings.Replace(link(hanName, permit, "say-plainly"), "ID_CARD", "HONGKONG_AND_MACAO", 1))
	send(bound, fmt.Sprintf(`{"userId":"u1","openId":"%s","operatorUserId":"say-plainly"}`, phone))
	send(bound, fmt.Sprintf(`{"userId":"%s","openId":"n1"}`, idNumber))
	send(seals, fmt.Sprintf(`{"agent":{"proxyOrganizationOpenId":"o","proxyOperator":{"openId":"%s"}},"sealId":"s1","userIds":["%s"]}`, phone, phone))
	send(seals, fmt.Sprintf(`{"agent":{"proxyOrganizationOpenId":"o","proxyOperator":{"openId":"p"}},"sealId":"say-plainly","userIds":["%s"]}`, idNumber))
	// In wrong places of the data.
	send(links, strings.Replace(person, "OTHER", idNumber, 1))
	send(links, strings.Replace(person, "ID_CARD", hanName, 1))
	send(links, strings.Replace(person, `"sceneKey"`, `"`+hanName+`":1,"`+idNumber+`":{},"sceneKey"`, 1))
	send(links, strings.Replace(person, `"o"`, `{"`+escaped(hanName)+`":"`+escaped(hanName)+`"}`, 1))
	send(links, `{"sceneKey":"OTHER","userInfo":"`+hanName+" "+idNumber+`"}`)
	send(links, `"`+hanName+`"`)
	send(links, `{"sceneKey":"OTHER","userInfo":{"name":["`+hanName+`"],"idCardType":"ID_CARD","idCardNumber":`+idNumber+`}}`)
	send(bound, `{"userId":"u3","openId":"`+permit+`"}`)
	// In what cannot be read.
	send(links, broken)
	send(links, hanName+"\xff"+idNumber)
	send(links, strings.Repeat(broken, 900_000/len(broken)), "x-person", strings.Repeat(hanName, 1000))
	send(links, broken, "x-person", hanName, "x-escaped", url.PathEscape(hanName))
	send(links, `{"specversion":"1.0","id":"`+hanName, "content-type", "application/cloudevents+json", "ce-id", "", "ce-specversion", "")
	send(links, person, "ce-specversion", "", "ce-id", "", "ce-type", "", "ce-source", "", "content-type", "")
	send(links, person, "content-type", "text/"+hanName)
	// In the envelope.
	send(links, person, "ce-type", hanName+idNumber)
	send(links, person, "ce-type", url.PathEscape(hanName))
	send(links, person, "ce-specversion", phone)
	send(links, person, "ce-time", hanName)
	send(links, person, "ce-"+idNumber, "1")
	send(links, link(hanName, idNumber, "say-plainly"), "ce-person", hanName, "x-person", hanName+" "+phone, "x-"+idNumber, "1",
		"ce-traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "ce-tracestate", "p="+idNumber)
	for _, vendor := range []string{"o", "say-plainly"} {
		filler := strings.Repeat("x", 110) + "/" // the log cuts at 128 bytes, within the number
		send(links, link(hanName, idNumber, vendor), "ce-id", vendor+idNumber, "ce-source", "/hr?phone="+phone, "ce-subject", hanName, "ce-correlationid", phone)
		send(links, link(hanName, idNumber, vendor), "ce-id", vendor+filler[len(vendor)+1:]+"/"+idNumber, "ce-source", filler+idNumber)
	}
	// Whole.
	whole := func(data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":"w%d","source":"/site","type":%q,"subject":%q,%s}`, d.sent, links, idNumber, data)
	}
	structured := []string{"content-type", "application/cloudevents+json", "ce-specversion", "", "ce-id", "", "ce-type", "", "ce-source", "", "x-person", hanName}
	send(links, whole(`"data":`+link(hanName, idNumber, "say-plainly")), structured...)
	send(links, whole(`"data_base64":"`+base64.StdEncoding.EncodeToString([]byte(link(hanName, idNumber, "say-plainly")))+`"`), structured...)
	send(links, whole(`"`+idNumber+`":1,"data":{}`), structured...)
}

// send stores one event. Headers are pairs of name and value; one without a value is left
// out.
func (d *diary) send(typ, data string, headers ...string) {
	d.t.Helper()
	d.sent++
	h := nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {fmt.Sprint("e", d.sent)}, "ce-source": {"/site"}, "ce-type": {typ}, "content-type": {"application/json"},
	}
	for i := 0; i < len(headers); i += 2 {
		delete(h, headers[i])
		if headers[i+1] != "" {
			h[headers[i]] = []string{headers[i+1]}
		}
	}
	if _, err := d.JS.PublishMsg(d.t.Context(), &nats.Msg{Subject: d.Topology.EventSubject(typ), Header: h, Data: []byte(data)}); err != nil {
		d.t.Fatal(err)
	}
}

// settled waits until every event is.
func (d *diary) settled() {
	d.t.Helper()
	until(d.t, "every event settled", func() bool { return d.state(d.Topology.EventsStream()).Msgs == 0 })
}

func (d *diary) state(name string) jetstream.StreamState {
	d.t.Helper()
	s, err := d.JS.Stream(d.t.Context(), name)
	if err != nil {
		d.t.Fatal(err)
	}
	return s.CachedInfo().State
}
