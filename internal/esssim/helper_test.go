package esssim_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"essworker/internal/esssim"
)

const (
	bindAction   = "BindEmployeeUserIdWithClientOpenId"
	unbindAction = "UnbindEmployeeUserIdWithClientOpenId"
	grantAction  = "ChannelCreateSealPolicy"
	linkAction   = "CreateUserAutoSignSealUrl"
)

// caller is a small honest client, the third writing of the signature here: it
// shares no code with the simulator nor with the project's own client.
type caller struct {
	rt       http.RoundTripper
	url      string // of the vendor
	id, key  string
	token    string
	language string
}

func newCaller(rt http.RoundTripper) caller {
	return caller{rt: rt, url: "http://vendor.test/", id: esssim.SecretID, key: esssim.SecretKey, language: "zh-CN"}
}

// product gives the service and version an action belongs to.
func product(action string) (service, version string) {
	if action == grantAction {
		return "essbasic", "2021-05-26"
	}
	return "ess", "2020-11-11"
}

// request builds a signed call.
func (c caller) request(ctx context.Context, t testing.TB, action, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	service, version := product(action)
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-TC-Action", action)
	r.Header.Set("X-TC-Version", version)
	r.Header.Set("X-TC-Timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	r.Header.Set("X-TC-Language", c.language)
	if c.token != "" {
		r.Header.Set("X-TC-Token", c.token)
	}
	c.sign(r, service, body)
	return r
}

// sign signs what the headers say by now.
func (c caller) sign(r *http.Request, service, body string) {
	sum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	mac := func(key, s string) string {
		m := hmac.New(sha256.New, []byte(key))
		_, _ = io.WriteString(m, s)
		return string(m.Sum(nil))
	}
	ts := r.Header.Get("X-TC-Timestamp")
	sec, _ := strconv.ParseInt(ts, 10, 64)
	date := time.Unix(sec, 0).UTC().Format("2006-01-02")
	scope := date + "/" + service + "/tc3_request"
	canonical := "POST\n/\n\ncontent-type:" + strings.ToLower(r.Header.Get("Content-Type")) +
		"\nhost:" + r.URL.Host +
		"\nx-tc-action:" + strings.ToLower(r.Header.Get("X-TC-Action")) +
		"\n\ncontent-type;host;x-tc-action\n" + sum(body)
	key := mac(mac(mac("TC3"+c.key, date), service), "tc3_request")
	signature := hex.EncodeToString([]byte(mac(key, "TC3-HMAC-SHA256\n"+ts+"\n"+scope+"\n"+sum(canonical))))
	r.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential="+c.id+"/"+scope+
		", SignedHeaders=content-type;host;x-tc-action, Signature="+signature)
}

// envelope is an answer of the vendor.
type envelope struct {
	Response *response `json:"Response"`
}

type response struct {
	Error         *refusal `json:"Error"`
	Status        *int     `json:"Status"`
	UserIDs       []string `json:"UserIds"`
	VerifyPath    string   `json:"SealOperatorVerifyPath"`
	VerifyImage   string   `json:"SealOperatorVerifyQrcodeUrl"`
	AppID         string   `json:"AppId"`
	AppOriginalID string   `json:"AppOriginalId"`
	URL           string   `json:"Url"`
	Path          string   `json:"Path"`
	QrCode        string   `json:"QrCode"`
	RequestID     string   `json:"RequestId"`
}

type refusal struct {
	Code    string `json:"Code"`
	Message string `json:"Message"`
}

// code is the answer's code, "ok" for a success.
func (e envelope) code() string {
	switch {
	case e.Response == nil:
		return "no envelope"
	case e.Response.Error != nil:
		return e.Response.Error.Code
	}
	return "ok"
}

// message is the answer's message, empty for a success.
func (e envelope) message() string {
	if e.Response == nil || e.Response.Error == nil {
		return ""
	}
	return e.Response.Error.Message
}

// call makes a signed call and expects an envelope.
func (c caller) call(t testing.TB, action, body string) envelope {
	t.Helper()
	return c.send(t, c.request(t.Context(), t, action, body))
}

// send makes a call and expects an envelope.
func (c caller) send(t testing.TB, r *http.Request) envelope {
	t.Helper()
	status, text, err := c.raw(r)
	if err != nil {
		t.Fatalf("%s: %v", r.Header.Get("X-TC-Action"), err)
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil || status != http.StatusOK || e.Response == nil || e.Response.RequestID == "" {
		t.Fatalf("%s = status %d, %q; want 200 and an envelope with a RequestId (%v)", r.Header.Get("X-TC-Action"), status, text, err)
	}
	return e
}

// raw makes a call, whatever comes back.
func (c caller) raw(r *http.Request) (status int, body []byte, err error) {
	resp, err := c.rt.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.Bytes(), err
}

// Bodies of honest calls.

func bindBody(userID, openID string) string {
	return `{"Operator":{"UserId":"` + esssim.OperatorUserID + `"},"UserId":"` + userID + `","OpenId":"` + openID + `"}`
}

func grantBody(sealID string, ids ...string) string {
	list, _ := json.Marshal(append([]string{}, ids...))
	return `{"Agent":{"AppId":"` + esssim.AppID + `","ProxyOrganizationOpenId":"` + esssim.ClientOpenID +
		`","ProxyOperator":{"OpenId":"` + esssim.ClientOperatorOpenID + `"}},"SealId":"` + sealID + `","UserIds":` + string(list) + `}`
}

// linkBody takes more properties as JSON members, with a comma in front.
func linkBody(name, number, more string) string {
	return `{"Operator":{"UserId":"` + esssim.OperatorUserID + `"},"SceneKey":"` + esssim.SceneKey +
		`","UserInfo":{"Name":"` + name + `","IdCardType":"ID_CARD","IdCardNumber":"` + number + `"}` + more + `}`
}

// okBody is a body the action accepts on a fresh Sim.
func okBody(action string) string {
	switch action {
	case grantAction:
		return grantBody(esssim.SealID, esssim.GranteeUserID)
	case linkAction:
		return linkBody(esssim.PersonName, esssim.PersonIDCardNumber, "")
	}
	return bindBody(esssim.EmployeeUserID, esssim.EmployeeOpenID)
}
