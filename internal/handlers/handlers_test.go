package handlers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/handlers"
	"essworker/schemas"
)

// wire keeps the bodies of the requests that pass through it.
type wire struct {
	next http.RoundTripper
	sent [][]byte
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	w.sent = append(w.sent, body)
	req.Body = io.NopCloser(bytes.NewReader(body))
	return w.next.RoundTrip(req)
}

// routes gives the routes by type, calling next, and the wire between.
func routes(t *testing.T, d handlers.Defaults, next http.RoundTripper) (map[string]event.Route, *wire) {
	t.Helper()
	w := &wire{next: next}
	api, err := essapi.New(essapi.Config{
		Endpoint: "http://127.0.0.1:9080", BasicEndpoint: "http://127.0.0.1:9080", Timeout: time.Minute,
		SecretID: esssim.SecretID, SecretKey: esssim.SecretKey,
	}, essapi.Options{Transport: w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	byType := map[string]event.Route{}
	for _, r := range handlers.Routes(api, d) {
		byType[r.Type] = r
	}
	return byType, w
}

// run takes data through schema, Prepare and Call, and the result through its schema.
func run(t *testing.T, r event.Route, data string) (event.Job, []byte, error) {
	t.Helper()
	if err := schemas.Validate(r.Type, []byte(data)); err != nil {
		t.Fatalf("%s: the test's own data: %v", r.Type, err)
	}
	job, err := r.Prepare([]byte(data))
	if err != nil {
		return job, nil, err
	}
	result, err := job.Call(t.Context())
	if err == nil {
		if err := schemas.Validate(r.Success, result); err != nil {
			t.Errorf("%s breaks its schema: %v\n%s", r.Success, err, result)
		}
	}
	return job, result, err
}

// summary is all of a fault that decides something.
func summary(err error) string {
	f := fault.Of(err)
	if f == nil {
		return ""
	}
	reason := fault.Reason("")
	if f.Kind == fault.Permanent {
		reason = f.LetterReason()
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s", f.Kind, reason, f.Scope, f.Code)), " ")
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	return fields
}

const (
	subsidiary = esssim.SubsidiaryPrefix + "1"
	employee   = esssim.EmployeePrefix + "1"
	person     = `"userInfo": {"name": "` + esssim.PersonName + `", "idCardType": "ID_CARD", "idCardNumber": "` + esssim.PersonIDCardNumber + `"}`
	stranger   = `"userInfo": {"name": "` + esssim.PersonWithoutName + `", "idCardType": "ID_CARD", "idCardNumber": "` + esssim.PersonWithoutIDCardNumber + `"}`
	anyone     = `"userInfo": {"name": "甲", "idCardType": "ID_CARD", "idCardNumber": "990000000000000001"}`
	client     = `"agent": {"proxyOrganizationOpenId": "` + esssim.ClientOpenID + `", "proxyOperator": {"openId": "n9527"}}`
	ownClient  = `"agent": {"appId": "` + esssim.AppID + `", "proxyOrganizationOpenId": "` + esssim.ClientOpenID + `", "proxyOperator": {"openId": "n9527"}}`

	sentClient = `"Agent": {"AppId": "` + esssim.AppID + `", "ProxyOrganizationOpenId": "` + esssim.ClientOpenID + `", "ProxyOperator": {"OpenId": "n9527"}}`
)

// faces are the ways an event can turn out, in the vendor's state after before.
var faces = []struct {
	name, typ    string
	before, data string
	subject      string
	tenant       string
	sent         string // the request; of a link without ExpiredTime
	want         string // fields of the result
	fault        string
}{
	{
		name: "bound", typ: "employee.onboarded",
		data:    `{"userId": "` + esssim.EmployeeUserID + `", "openId": "n9527"}`,
		subject: esssim.EmployeeUserID, tenant: "ess:" + esssim.OperatorUserID,
		sent: `{"Operator": {"UserId": "` + esssim.OperatorUserID + `"}, "UserId": "` + esssim.EmployeeUserID + `", "OpenId": "n9527"}`,
		want: `{"userId": "` + esssim.EmployeeUserID + `", "openId": "n9527", "alreadyBound": false}`,
	},
	{
		name: "bound already", typ: "employee.onboarded",
		before:  `{"userId": "` + esssim.EmployeeUserID + `", "openId": "n9527"}`,
		data:    `{"userId": "` + esssim.EmployeeUserID + `", "openId": "n9527"}`,
		subject: esssim.EmployeeUserID, tenant: "ess:" + esssim.OperatorUserID,
		sent: `{"Operator": {"UserId": "` + esssim.OperatorUserID + `"}, "UserId": "` + esssim.EmployeeUserID + `", "OpenId": "n9527"}`,
		want: `{"userId": "` + esssim.EmployeeUserID + `", "openId": "n9527", "alreadyBound": true}`,
	},
	{
		name: "openId of another", typ: "employee.onboarded",
		before:  `{"userId": "` + esssim.EmployeeUserID + `", "openId": "n9527"}`,
		data:    `{"userId": "` + esssim.Employee2UserID + `", "openId": "n9527"}`,
		subject: esssim.Employee2UserID, tenant: "ess:" + esssim.OperatorUserID,
		sent:  `{"Operator": {"UserId": "` + esssim.OperatorUserID + `"}, "UserId": "` + esssim.Employee2UserID + `", "OpenId": "n9527"}`,
		fault: "permanent rejected InvalidParameter",
	},
	{
		name: "bound by a named operator in a subsidiary", typ: "employee.onboarded",
		data:    `{"userId": "` + employee + `", "openId": "n1", "operatorUserId": "` + esssim.LinkOperatorUserID + `", "agent": {"proxyOrganizationId": "` + subsidiary + `"}}`,
		subject: employee, tenant: "ess:" + subsidiary,
		sent: `{"Operator": {"UserId": "` + esssim.LinkOperatorUserID + `"}, "UserId": "` + employee + `", "OpenId": "n1", "Agent": {"ProxyOrganizationId": "` + subsidiary + `"}}`,
		want: `{"userId": "` + employee + `", "openId": "n1", "alreadyBound": false}`,
	},
	{
		name: "granted", typ: "seal.grant.requested",
		data:    `{` + client + `, "sealId": "` + esssim.SealID + `", "userIds": ["` + esssim.GranteeUserID + `"]}`,
		subject: esssim.SealID, tenant: "essbasic:" + esssim.AppID + "/" + esssim.ClientOpenID,
		sent: `{` + sentClient + `, "SealId": "` + esssim.SealID + `", "UserIds": ["` + esssim.GranteeUserID + `"]}`,
		want: `{"sealId": "` + esssim.SealID + `", "granted": ["` + esssim.GranteeUserID + `"], "alreadyGranted": []}`,
	},
	{
		name: "granted to one, already to the other", typ: "seal.grant.requested",
		data:    `{` + ownClient + `, "sealId": "` + esssim.Seal2ID + `", "userIds": ["` + esssim.GranteeUserID + `", "` + esssim.Grantee2OpenID + `"]}`,
		subject: esssim.Seal2ID, tenant: "essbasic:" + esssim.AppID + "/" + esssim.ClientOpenID,
		sent: `{` + sentClient + `, "SealId": "` + esssim.Seal2ID + `", "UserIds": ["` + esssim.GranteeUserID + `", "` + esssim.Grantee2OpenID + `"]}`,
		want: `{"granted": ["` + esssim.Grantee2OpenID + `"], "alreadyGranted": ["` + esssim.GranteeUserID + `"]}`,
	},
	{
		name: "granted already", typ: "seal.grant.requested",
		data:    `{` + client + `, "sealId": "` + esssim.Seal2ID + `", "userIds": ["` + esssim.GranteeUserID + `"]}`,
		subject: esssim.Seal2ID, tenant: "essbasic:" + esssim.AppID + "/" + esssim.ClientOpenID,
		sent: `{` + sentClient + `, "SealId": "` + esssim.Seal2ID + `", "UserIds": ["` + esssim.GranteeUserID + `"]}`,
		want: `{"granted": [], "alreadyGranted": ["` + esssim.GranteeUserID + `"]}`,
	},
	{
		name: "no such grantee", typ: "seal.grant.requested",
		data:    `{` + client + `, "sealId": "` + esssim.SealID + `", "userIds": ["` + esssim.UnverifiedUserID + `"]}`,
		subject: esssim.SealID, tenant: "essbasic:" + esssim.AppID + "/" + esssim.ClientOpenID,
		sent:  `{` + sentClient + `, "SealId": "` + esssim.SealID + `", "UserIds": ["` + esssim.UnverifiedUserID + `"]}`,
		fault: "permanent rejected InvalidParameter.ParamError",
	},
	{
		name: "link", typ: "autosign.link.requested",
		data:    `{"sceneKey": "E_PRESCRIPTION_AUTO_SIGN", ` + person + `}`,
		subject: "E_PRESCRIPTION_AUTO_SIGN", tenant: "ess:" + esssim.OperatorUserID,
		sent: `{"Operator": {"UserId": "` + esssim.OperatorUserID + `"}, "SceneKey": "E_PRESCRIPTION_AUTO_SIGN",
			"UserInfo": {"Name": "` + esssim.PersonName + `", "IdCardType": "ID_CARD", "IdCardNumber": "` + esssim.PersonIDCardNumber + `"}}`,
		want: `{"appId": "wxa023b292fd19d41d", "appOriginalId": "gh_da88f6188665", "expiresAt": "2000-01-08T00:00:00Z"}`,
	},
	{
		name: "link by a named operator for a subsidiary", typ: "autosign.link.requested",
		data:    `{"sceneKey": "OTHER", ` + anyone + `, "operatorUserId": "` + esssim.LinkOperatorUserID + `", "agent": {"proxyOrganizationId": "` + subsidiary + `"}}`,
		subject: "OTHER", tenant: "ess:" + subsidiary,
		sent: `{"Operator": {"UserId": "` + esssim.LinkOperatorUserID + `"}, "SceneKey": "OTHER", "Agent": {"ProxyOrganizationId": "` + subsidiary + `"},
			"UserInfo": {"Name": "甲", "IdCardType": "ID_CARD", "IdCardNumber": "990000000000000001"}}`,
		want: `{"expiresAt": "2000-01-08T00:00:00Z"}`,
	},
	{
		name: "link for somebody without automatic signing", typ: "autosign.link.requested",
		data:    `{"sceneKey": "OTHER", ` + stranger + `}`,
		subject: "OTHER", tenant: "ess:" + esssim.OperatorUserID,
		sent: `{"Operator": {"UserId": "` + esssim.OperatorUserID + `"}, "SceneKey": "OTHER",
			"UserInfo": {"Name": "` + esssim.PersonWithoutName + `", "IdCardType": "ID_CARD", "IdCardNumber": "` + esssim.PersonWithoutIDCardNumber + `"}}`,
		fault: "permanent rejected FailedOperation",
	},
}

func TestRoutes_faces(t *testing.T) {
	for _, tt := range faces {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				byType, w := routes(t, defaults, esssim.New(esssim.Config{}))
				r := byType[tt.typ]
				if tt.before != "" {
					if _, _, err := run(t, r, tt.before); err != nil {
						t.Fatal(err)
					}
				}
				job, result, err := run(t, r, tt.data)
				if job.Subject != tt.subject || job.Tenant != tt.tenant {
					t.Errorf("Prepare() = subject %q, tenant %q, want %q, %q", job.Subject, job.Tenant, tt.subject, tt.tenant)
				}
				sent := decode(t, w.sent[len(w.sent)-1])
				delete(sent, "ExpiredTime") // TestLink_expiry
				if diff := cmp.Diff(decode(t, []byte(tt.sent)), sent); diff != "" {
					t.Errorf("request (-want +got):\n%s", diff)
				}
				if got := summary(err); got != tt.fault {
					t.Errorf("Call() = fault %q, want %q (%v)", got, tt.fault, err)
				}
				if tt.fault != "" {
					return
				}
				got := decode(t, result)
				if got["requestId"] == "" {
					t.Errorf("Call() = %s, want a requestId", result)
				}
				for field, want := range decode(t, []byte(tt.want)) {
					if diff := cmp.Diff(want, got[field]); diff != "" {
						t.Errorf("%s of the result (-want +got):\n%s", field, diff)
					}
				}
			})
		})
	}
}

// canned is a vendor with one answer.
type canned string

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(c))),
	}, nil
}

func TestGrant_operatorMustVerify(t *testing.T) {
	byType, _ := routes(t, defaults, canned(`{"Response": {"UserIds": [], "RequestId": "r-1",
		"SealOperatorVerifyPath": "/pages/guide?to=FACE&token=1", "SealOperatorVerifyQrcodeUrl": "https://essurl.cn/qr?a=1&b=2"}}`))
	_, result, err := run(t, byType["seal.grant.requested"], `{`+client+`, "sealId": "s", "userIds": ["u"]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"sealId":"s","granted":[],"alreadyGranted":[],"requestId":"r-1",` +
		`"operatorVerification":{"path":"/pages/guide?to=FACE&token=1","qrCodeUrl":"https://essurl.cn/qr?a=1&b=2"}}`
	if string(result) != want {
		t.Errorf("Call() = %s, want %s", result, want)
	}
}

// Without a default, events that need it are held, and those alone.
func TestRoutes_noDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		byType, w := routes(t, handlers.Defaults{}, esssim.New(esssim.Config{}))
		for _, tt := range []struct{ typ, data, tenant, names string }{
			{"employee.onboarded", `{"userId": "` + esssim.EmployeeUserID + `", "openId": "n9527"%s}`, "ess:", "ESS_OPERATOR_USER_ID"},
			{"autosign.link.requested", `{"sceneKey": "OTHER", ` + anyone + `%s}`, "ess:", "ESS_OPERATOR_USER_ID"},
			{"seal.grant.requested", `{"agent": {"proxyOrganizationOpenId": "` + esssim.ClientOpenID + `", "proxyOperator": {"openId": "n9527"}%s},
				"sealId": "` + esssim.SealID + `", "userIds": ["` + esssim.GranteeUserID + `"]}`, "essbasic:", "ESS_APP_ID"},
		} {
			named := `, "operatorUserId": "` + esssim.OperatorUserID + `"`
			if tt.names == "ESS_APP_ID" {
				named = `, "appId": "` + esssim.AppID + `"`
			}
			if _, _, err := run(t, byType[tt.typ], strings.Replace(tt.data, "%s", named, 1)); err != nil {
				t.Errorf("%s that names its own = %v, want a success", tt.typ, err)
			}
			calls := len(w.sent)
			job, _, err := run(t, byType[tt.typ], strings.Replace(tt.data, "%s", "", 1))
			if got, want := summary(err), "misconfigured tenant NoDefault"; got != want {
				t.Errorf("%s = fault %q, want %q", tt.typ, got, want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.names) {
				t.Errorf("%s = %q, want it to name %s", tt.typ, err, tt.names)
			}
			if job.Tenant != tt.tenant || job.Subject == "" {
				t.Errorf("%s = subject %q, tenant %q, want a subject and %q", tt.typ, job.Subject, job.Tenant, tt.tenant)
			}
			if len(w.sent) != calls {
				t.Errorf("%s made a call", tt.typ)
			}
		}
	})
}

// A schema that lets through what a struct cannot hold must not crash a lane.
func TestPrepare_misfit(t *testing.T) {
	for _, r := range handlers.Routes(nil, defaults) {
		for _, data := range []string{`[]`, `{"userId": 1, "sealId": 1, "sceneKey": 1}`, `{`} {
			_, err := r.Prepare([]byte(data))
			if got, want := summary(err), "permanent invalid SchemaViolation"; got != want {
				t.Errorf("%s: Prepare(%s) = fault %q, want %q", r.Type, data, got, want)
			}
		}
	}
}

// A call's tenant at the vendor is the one its fault is held against.
func TestRoutes_tenantAtTheVendor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{})
		byType, _ := routes(t, defaults, sim)
		for _, data := range []string{
			`{"userId": "` + esssim.EmployeeUserID + `", "openId": "n9527"}`,
			`{"userId": "` + employee + `", "openId": "n1", "agent": {"proxyOrganizationId": "` + subsidiary + `"}}`,
		} {
			if _, _, err := run(t, byType["employee.onboarded"], data); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, c := range sim.Calls() {
			got = append(got, c.Tenant+" "+c.Entity)
		}
		want := []string{
			esssim.OperatorUserID + " " + esssim.BindEntity(esssim.EmployeeUserID, "n9527"),
			subsidiary + " " + esssim.BindEntity(employee, "n1"),
		}
		if !slices.Equal(got, want) {
			t.Errorf("calls = %q, want %q", got, want)
		}
	})
}
