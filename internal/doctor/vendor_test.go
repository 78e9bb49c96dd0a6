package doctor_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"essworker/internal/doctor"
	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/internal/mask"
)

const (
	bindAction  = "BindEmployeeUserIdWithClientOpenId"
	linkAction  = "CreateUserAutoSignSealUrl"
	grantAction = "ChannelCreateSealPolicy"
)

// office is a vendor behind a socket, and the doctor that asks it. There is no NATS
// server.
type office struct {
	sim    *esssim.Sim
	server *httptest.Server
	doctor doctor.Doctor
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{sim: esssim.New(esssim.Config{Rate: 20})}
	o.server = httptest.NewServer(o.sim)
	t.Cleanup(o.server.Close)
	asked := slices.DeleteFunc(handlers.Routes(nil, handlers.Defaults{}), func(r event.Route) bool {
		return !slices.Contains([]string{bindAction, linkAction, grantAction}, r.Action) // there may be more by now
	})
	o.doctor = doctor.Doctor{
		Connect:  func(context.Context) (*nats.Conn, error) { return nil, errors.New("no server, for this test") },
		Routes:   asked,
		Patience: 20 * time.Second,
		Vendor: &doctor.Vendor{
			Config: essapi.Config{
				Endpoint: o.server.URL, BasicEndpoint: o.server.URL, Timeout: 35 * time.Second,
				SecretID: esssim.SecretID, SecretKey: esssim.SecretKey,
			},
			Operator: esssim.OperatorUserID, AppID: esssim.AppID,
		},
	}
	return o
}

// state is all that a call could change.
func (o *office) state() esssim.State {
	s := o.sim.State()
	s.Counters = nil
	return s
}

const noServer = "bad connection: no server, for this test"

// TestVendor_healthy asks each action once, which changes nothing at the vendor.
func TestVendor_healthy(t *testing.T) {
	o := newOffice(t)
	before := o.state()
	list := examine(t, o.doctor)
	expect(t, list, noServer)
	if d := cmp.Diff(before, o.state()); d != "" {
		t.Errorf("asking has changed something at the vendor (-before +after):\n%s", d)
	}
	asked := map[string]int{}
	for _, c := range o.sim.Calls() {
		asked[c.Action]++
		if c.Committed {
			t.Errorf("%s was carried out", c.Action)
		}
	}
	if d := cmp.Diff(map[string]int{bindAction: 1, linkAction: 1, grantAction: 1}, asked); d != "" {
		t.Errorf("calls by action (-want +got):\n%s", d)
	}
	for check, want := range map[string]string{
		"credential ess": "accepted", "credential essbasic": "accepted", "clock ess": "within a second of the vendor's",
		"actions ess": "may be called: " + bindAction + ", " + linkAction, "actions essbasic": "may be called: " + grantAction,
	} {
		if got := find(t, list, check).Found; got != want {
			t.Errorf("%s: %q, want %q", check, got, want)
		}
	}
}

// TestVendor_notAsked says nothing of the vendor.
func TestVendor_notAsked(t *testing.T) {
	o := newOffice(t)
	o.doctor.Vendor = nil
	if list := examine(t, o.doctor); len(list) != 1 || len(o.sim.Calls()) > 0 {
		t.Errorf("%v after %d calls, want nothing of the vendor and no call", list, len(o.sim.Calls()))
	}
}

// TestVendor_unknownAction leaves alone what it knows no harmless call of.
func TestVendor_unknownAction(t *testing.T) {
	o := newOffice(t)
	o.doctor.Routes = append(o.doctor.Routes, event.Route{Type: "later", Action: "DeleteEverything", Product: "ess"})
	expect(t, examine(t, o.doctor), noServer, "warn actions ess: DeleteEverything was not asked")
	if n := len(o.sim.Calls()); n != 3 {
		t.Errorf("%d calls, want those of the 3 known actions", n)
	}
}

// TestVendor_broken has one thing wrong at a time.
func TestVendor_broken(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(o *office)
		want   []string
	}{
		{"wrong key", func(o *office) { o.doctor.Vendor.Config.SecretKey = "hunter2" }, []string{
			"bad credential ess: AuthFailure.SignatureFailure", "bad credential essbasic: AuthFailure.SignatureFailure",
		}},
		{"unknown key", func(o *office) { o.doctor.Vendor.Config.SecretID = "AKIDunknown" }, []string{
			"bad credential ess: AuthFailure.SecretIdNotFound", "bad credential essbasic: AuthFailure.SecretIdNotFound",
		}},
		{"wrong key of one product", func(o *office) {
			o.doctor.Vendor.Config.BasicSecretID, o.doctor.Vendor.Config.BasicSecretKey = "AKIDunknown", "x"
		}, []string{"bad credential essbasic: AuthFailure.SecretIdNotFound"}},
		{"address not allowed", func(o *office) {
			o.sim.AddKey(esssim.Key{SecretID: esssim.SecretID, SecretKey: esssim.SecretKey, AllowIPs: []string{"198.51.100.1"}})
		}, []string{"bad credential ess: IpNotInWhitelist", "bad credential essbasic: IpNotInWhitelist"}},
		{"key ended", func(o *office) { o.sim.Inject(esssim.Fault{Kind: esssim.ExpireToken, Product: "ess"}) }, []string{
			"bad credential ess: AuthFailure.TokenFailure",
		}},
		{"action not granted", func(o *office) {
			o.sim.AddKey(esssim.Key{SecretID: esssim.SecretID, SecretKey: esssim.SecretKey, Actions: []string{bindAction, grantAction}})
		}, []string{"bad actions ess: " + linkAction + ": UnauthorizedOperation"}},
		{"action not granted, by the other code", func(o *office) {
			o.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "AuthFailure.UnauthorizedOperation", Action: bindAction})
		}, []string{"bad actions ess: " + bindAction + ": AuthFailure.UnauthorizedOperation"}},
		{"wrong product", func(o *office) {
			o.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "NoSuchVersion", Action: grantAction})
		}, []string{"bad actions essbasic: " + grantAction + ": NoSuchVersion"}},
		{"throttled", func(o *office) { o.sim.Inject(esssim.Fault{Kind: esssim.Throttle, Action: bindAction}) }, []string{
			"warn actions ess: " + bindAction + ": RequestLimitExceeded",
		}},
		{"ill", func(o *office) {
			o.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InternalError.Db", Action: linkAction})
		}, []string{
			"warn actions ess: " + linkAction + ": InternalError.Db",
		}},
		{"fails for what it asks", func(o *office) {
			o.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "FailedOperation", Action: linkAction})
		}, nil},
		{"takes it", func(o *office) {
			o.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "FailedOperation.HasAuthorized", Action: grantAction})
		}, []string{"warn actions essbasic: " + grantAction + " was answered as done"}},
		{"away", func(o *office) { o.server.Close() }, []string{"bad vendor ess: http://127.0.0.1:…: Unreachable", "bad vendor essbasic: "}},
		{"behind a firewall", func(o *office) { o.sim.Inject(esssim.Fault{Kind: esssim.WAF, Product: "ess"}) }, []string{
			"bad vendor ess: http://127.0.0.1:…HTTP401",
		}},
		{"down", func(o *office) { o.sim.Inject(esssim.Fault{Kind: esssim.Status, Product: "ess"}) }, []string{"warn vendor ess: …HTTP502"}},
		{"redirects", func(o *office) {
			o.sim.Inject(esssim.Fault{Kind: esssim.Redirect, Product: "ess", Location: "http://127.0.0.1:1"})
		}, []string{
			"bad vendor ess: …HTTP307",
		}},
		{"mute", func(o *office) { // both products: who is to answer gets more time than this
			o.doctor.Patience = 300 * time.Millisecond
			o.sim.Inject(esssim.Fault{Kind: esssim.HangBefore})
		}, []string{"bad vendor ess: …Timeout: no answer within 300ms", "bad vendor essbasic: …Timeout: no answer within 300ms"}},
		{"not TLS", func(o *office) {
			o.doctor.Vendor.Config.Endpoint = strings.Replace(o.server.URL, "http:", "https:", 1)
		}, []string{"bad vendor ess: https://127.0.0.1:…NotTLS"}},
		{"no default", func(o *office) { o.doctor.Vendor.Operator = "" }, []string{"warn defaults: ESS_OPERATOR_USER_ID not set"}},
		{"no defaults", func(o *office) { o.doctor.Vendor.Operator, o.doctor.Vendor.AppID = "", "" }, []string{
			"warn defaults: ESS_OPERATOR_USER_ID and ESS_APP_ID not set",
		}},
		{"wrong default", func(o *office) { o.doctor.Vendor.Operator = "nobody" }, []string{
			"warn defaults: " + bindAction + ", called with the default and without anything else, answers InvalidParameter.InvalidOperatorId",
			"warn defaults: " + linkAction + ", called…InvalidParameter.InvalidOperatorId",
		}},
		{"no settings", func(o *office) { o.doctor.Vendor.Config.SecretID, o.doctor.Vendor.Config.Endpoint = "", "x" }, []string{
			"bad vendor settings: --ess-endpoint", "bad vendor settings: --tencentcloud-secret-id: missing",
		}},
		{"no file", func(o *office) {
			o.doctor.Vendor.Config.SecretKey, o.doctor.Vendor.Config.SecretKeyFile = "", "/no/such/file"
		}, []string{"bad vendor settings: --tencentcloud-secret-key-file: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t)
			tt.change(o)
			before := o.state()
			list := examine(t, o.doctor)
			expect(t, list, append([]string{noServer}, tt.want...)...)
			if d := cmp.Diff(before, o.state()); d != "" {
				t.Errorf("asking has changed something at the vendor (-before +after):\n%s", d)
			}
			for _, f := range list {
				for _, secret := range []mask.Secret{esssim.SecretKey, "hunter2"} {
					if strings.Contains(f.Found+f.Advice, secret.Reveal()) {
						t.Errorf("%+v shows a secret", f)
					}
				}
			}
		})
	}
}

// TestVendor_clock has a vendor whose clock is not ours: the Date of its answers, and
// beyond five minutes its refusal.
func TestVendor_clock(t *testing.T) {
	for _, tt := range []struct {
		off  time.Duration
		want []string
	}{
		{0, nil},
		{20 * time.Second, nil},
		{-45 * time.Second, []string{"warn clock ess: this machine's is 4…s ahead of the vendor's", "warn clock essbasic: "}},
		{4 * time.Minute, []string{"warn clock ess: this machine's is …behind the vendor's", "warn clock essbasic: "}},
		{-time.Hour, []string{
			"bad clock ess: this machine's is …ahead of the vendor's", "bad credential ess: AuthFailure.SignatureExpire: …our clock is",
			"bad clock essbasic: ", "bad credential essbasic: AuthFailure.SignatureExpire",
		}},
	} {
		t.Run(tt.off.String(), func(t *testing.T) {
			o := newOffice(t)
			if tt.off != 0 {
				o.sim.Inject(esssim.Fault{Kind: esssim.Clock, Offset: tt.off})
			}
			expect(t, examine(t, o.doctor), append([]string{noServer}, tt.want...)...)
		})
	}
}
