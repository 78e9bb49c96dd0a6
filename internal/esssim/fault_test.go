package esssim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/esssim"
)

// patience is how long the callers of these tests wait for an answer that does not come:
// long enough for the call to arrive, by a socket of a busy machine too.
const patience = 5 * time.Second

// faultTests say of every kind what a caller of Bind sees and after how long,
// what becomes of the call, and what the record says. The same is expected with
// and without sockets, but that sockets may take longer.
var faultTests = []struct {
	name      string
	fault     esssim.Fault
	sees      string
	after     time.Duration
	committed bool
	outcome   string
}{
	{"latency", esssim.Fault{Kind: esssim.Latency, Delay: 50 * time.Millisecond}, "200 ok", 50 * time.Millisecond, true, "ok"},
	{"delay of another kind", esssim.Fault{Kind: esssim.Null, Delay: 50 * time.Millisecond}, "200 null", 50 * time.Millisecond, true, "ok"},
	{"hang_before", esssim.Fault{Kind: esssim.HangBefore}, "deadline", patience, false, ""},
	{"hang_after", esssim.Fault{Kind: esssim.HangAfter}, "deadline", patience, true, "ok"},
	{"hang_after with an end", esssim.Fault{Kind: esssim.HangAfter, Delay: 50 * time.Millisecond}, "reset", 50 * time.Millisecond, true, "ok"},
	{"reset_before", esssim.Fault{Kind: esssim.ResetBefore}, "reset", 0, false, ""},
	{"reset_after", esssim.Fault{Kind: esssim.ResetAfter}, "reset", 0, true, "ok"},
	{"status", esssim.Fault{Kind: esssim.Status}, "502 html", 0, false, ""},
	{"status 503", esssim.Fault{Kind: esssim.Status, Status: 503}, "503 html", 0, false, ""},
	{"status 504 after the work", esssim.Fault{Kind: esssim.Status, Status: 504, Commit: true}, "504 html", 0, true, "ok"},
	{"waf", esssim.Fault{Kind: esssim.WAF}, "401 html", 0, false, ""},
	{"waf 403", esssim.Fault{Kind: esssim.WAF, Status: 403}, "403 html", 0, false, ""},
	{"redirect", esssim.Fault{Kind: esssim.Redirect}, "307 html to https://elsewhere.invalid/", 0, false, ""},
	{"redirect elsewhere", esssim.Fault{Kind: esssim.Redirect, Status: 302, Location: "/x"}, "302 html to /x", 0, false, ""},
	{"code", esssim.Fault{Kind: esssim.Code, Code: "InternalError.Db"}, "200 InternalError.Db 数据库异常。", 0, false, "InternalError.Db"},
	{"code with a message", esssim.Fault{Kind: esssim.Code, Code: "A.B", Message: "<m>"}, "200 A.B <m>", 0, false, "A.B"},
	{"code unknown", esssim.Fault{Kind: esssim.Code, Code: "A.B"}, "200 A.B 模拟的错误。[sim]", 0, false, "A.B"},
	{"code after the work", esssim.Fault{Kind: esssim.Code, Code: "InternalError", Commit: true}, "200 InternalError 内部错误。", 0, true, "InternalError"},
	{"throttle", esssim.Fault{Kind: esssim.Throttle}, "200 RequestLimitExceeded 您当前每秒请求 `21` 次，超过了每秒频率上限 `20`，请稍后重试。", 0, false, "RequestLimitExceeded"},
	{"throttle uin", esssim.Fault{Kind: esssim.Throttle, Variant: esssim.ThrottleUin}, "200 RequestLimitExceeded.UinLimitExceeded 您当前每秒请求 `21` 次，超过了每秒频率上限 `20`，请稍后重试。", 0, false, "RequestLimitExceeded.UinLimitExceeded"},
	{"throttle global_uin", esssim.Fault{Kind: esssim.Throttle, Variant: esssim.ThrottleGlobalUin}, "200 RequestLimitExceeded.GlobalRegionUinLimitExceeded 您当前每秒请求 `21` 次，超过了每秒频率上限 `20`，请稍后重试。", 0, false, "RequestLimitExceeded.GlobalRegionUinLimitExceeded"},
	{"throttle ip", esssim.Fault{Kind: esssim.Throttle, Variant: esssim.ThrottleIP}, "200 RequestLimitExceeded.IPLimitExceeded 您当前每秒请求 `21` 次，超过了每秒频率上限 `20`，请稍后重试。", 0, false, "RequestLimitExceeded.IPLimitExceeded"},
	{"throttle business", esssim.Fault{Kind: esssim.Throttle, Variant: esssim.ThrottleBusiness}, "200 FailedOperation.RequestLimitExceeded 请求的次数超过了频率限制，请联系客服处理。", 0, false, "FailedOperation.RequestLimitExceeded"},
	{"throttle query", esssim.Fault{Kind: esssim.Throttle, Variant: esssim.ThrottleQuery}, "200 OperationDenied.OutQueryLimit 查询限频。[sim]", 0, false, "OperationDenied.OutQueryLimit"},
	{"throttle quota", esssim.Fault{Kind: esssim.Throttle, Variant: esssim.ThrottleQuota, Message: "m"}, "200 LimitExceeded.CallTimes m", 0, false, "LimitExceeded.CallTimes"},
	{"truncated", esssim.Fault{Kind: esssim.Truncated}, "200 cut", 0, true, "ok"},
	{"null", esssim.Fault{Kind: esssim.Null}, "200 null", 0, true, "ok"},
	{"empty_object", esssim.Fault{Kind: esssim.EmptyObject}, "200 {}", 0, true, "ok"},
	{"null_response", esssim.Fault{Kind: esssim.NullResponse}, `200 {"Response":null}`, 0, true, "ok"},
	{"not_json", esssim.Fault{Kind: esssim.NotJSON}, "200 html", 0, true, "ok"},
	{"no_code", esssim.Fault{Kind: esssim.NoCode}, "200  操作失败。", 0, false, ""},
	{"hollow", esssim.Fault{Kind: esssim.Hollow}, "200 Status 0", 0, false, "ok"},
	{"wording of a success", esssim.Fault{Kind: esssim.Wording}, "200 ok", 0, true, "ok"},
	{"gzip", esssim.Fault{Kind: esssim.Gzip}, "200 ok", 0, true, "ok"},
	{"slow_body", esssim.Fault{Kind: esssim.SlowBody, Delay: 50 * time.Millisecond}, "200 ok", 50 * time.Millisecond, true, "ok"},
	{"clock", esssim.Fault{Kind: esssim.Clock, Offset: -6 * time.Minute}, "200 AuthFailure.SignatureExpire 签名已过期，时间戳与服务器时间相差超过五分钟。[sim]", 0, false, "AuthFailure.SignatureExpire"},
	{"clock a little off", esssim.Fault{Kind: esssim.Clock, Offset: 4 * time.Minute}, "200 ok", 0, true, "ok"},
	{"rotate_key", esssim.Fault{Kind: esssim.RotateKey}, "200 AuthFailure.SignatureFailure 请求签名验证失败，请检查您的签名计算是否正确。", 0, false, "AuthFailure.SignatureFailure"},
	{"rotate_key to the caller's", esssim.Fault{Kind: esssim.RotateKey, SecretKey: esssim.SecretKey}, "200 ok", 0, true, "ok"},
	{"expire_token", esssim.Fault{Kind: esssim.ExpireToken}, "200 AuthFailure.TokenFailure Token 验证失败，请检查您的 Token 是否正确。[sim]", 0, false, "AuthFailure.TokenFailure"},
}

// sees describes what comes of a Bind, and says how long that took.
func sees(ctx context.Context, t *testing.T, c caller, patience time.Duration) (string, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := time.Now()
	what := describe(c.rt.RoundTrip(c.request(ctx, t, bindAction, okBody(bindAction)))) //nolint:bodyclose // describe does
	return what, time.Since(start)
}

func describe(resp *http.Response, err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case err != nil:
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	status := fmt.Sprint(resp.StatusCode, " ")
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return status + "cut"
	case err != nil:
		return status + err.Error()
	case bytes.HasPrefix(body, []byte("<html>")) && resp.Header.Get("Location") != "":
		return status + "html to " + resp.Header.Get("Location")
	case bytes.HasPrefix(body, []byte("<html>")):
		return status + "html"
	}
	var e envelope
	if json.Unmarshal(body, &e) != nil || e.Response == nil {
		return status + string(body)
	}
	switch r := e.Response; {
	case r.Error != nil:
		return status + r.Error.Code + " " + r.Error.Message
	case r.Status == nil || *r.Status != 1:
		return status + "Status 0"
	}
	return status + "ok"
}

func TestFault_everyKind(t *testing.T) {
	covered := map[esssim.Kind]bool{esssim.Hostile: true}
	for _, tt := range faultTests {
		covered[tt.fault.Kind] = true
		check := func(t *testing.T, sim *esssim.Sim, c caller, exact bool) {
			t.Helper()
			ctx, wait := t.Context(), time.Minute
			if tt.after == patience {
				wait = patience
			}
			tt.fault.Count, tt.fault.Action = 1, bindAction
			sim.Inject(tt.fault)
			got, after := sees(ctx, t, c, wait)
			if got != tt.sees || after < tt.after || (exact && after != tt.after) {
				t.Errorf("the caller sees %q after %s, want %q after %s", got, after, tt.sees, tt.after)
			}
			calls := sim.Calls()
			if len(calls) != 1 {
				t.Fatalf("%d calls on record, want 1", len(calls))
			}
			if got := calls[0]; got.Committed != tt.committed || got.Outcome != tt.outcome || got.Fault != tt.fault.Kind {
				t.Errorf("record = committed %v, outcome %q, fault %s; want %v, %q, %s", got.Committed, got.Outcome, got.Fault, tt.committed, tt.outcome, tt.fault.Kind)
			}
			want := "200 InvalidParameter 该userId已绑定该openId，无需重新绑定"
			if !tt.committed {
				want = "200 ok"
			}
			if got, _ := sees(ctx, t, c, time.Minute); got != want {
				t.Errorf("the next call sees %q, want %q", got, want)
			}
			if n := sim.Commits()[esssim.BindEntity(esssim.EmployeeUserID, esssim.EmployeeOpenID)]; n != 1 {
				t.Errorf("bound %d times in all, want once", n)
			}
		}
		t.Run("RoundTrip/"+tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := esssim.New(esssim.Config{Rate: 20})
				check(t, sim, newCaller(sim), true)
			})
		})
		t.Run("ServeHTTP/"+tt.name, func(t *testing.T) {
			t.Parallel()
			sim := esssim.New(esssim.Config{Rate: 20})
			server := httptest.NewServer(sim)
			defer server.Close()
			c := newCaller(server.Client().Transport)
			c.url = server.URL + "/"
			check(t, sim, c, false)
		})
	}
	for _, k := range esssim.Kinds() {
		if !covered[k] {
			t.Errorf("kind %s has no test", k)
		}
	}
}

func TestFault_wording(t *testing.T) {
	for variant, want := range map[string]string{
		"":                  "该USERID已绑定该OPENID,无需重新绑定",
		esssim.WordingASCII: "该userId已绑定该openId,无需重新绑定",
		esssim.WordingCase:  "该USERID已绑定该OPENID，无需重新绑定",
	} {
		sim := esssim.New(esssim.Config{})
		c := newCaller(sim)
		c.call(t, bindAction, okBody(bindAction))
		sim.Inject(esssim.Fault{Kind: esssim.Wording, Variant: variant})
		if got := c.call(t, bindAction, okBody(bindAction)); got.code() != "InvalidParameter" || got.message() != want {
			t.Errorf("wording %q = %s %q, want InvalidParameter %q", variant, got.code(), got.message(), want)
		}
	}
}

// A compressed answer is compressed whether asked for or not; a transport that
// did not ask unpacks it, one that asked leaves that to its caller.
func TestFault_gzip(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	server := httptest.NewServer(sim)
	defer server.Close()
	for _, tt := range []struct {
		name, accept string
		rt           http.RoundTripper
		url          string
		packed       bool
	}{
		{"no sockets", "", sim, "", false},
		{"no sockets, asked for", "gzip", sim, "", true},
		{"sockets", "", server.Client().Transport, server.URL + "/", false},
		{"sockets, asked for", "gzip", server.Client().Transport, server.URL + "/", true},
		{"sockets, not wanted", "", &http.Transport{DisableCompression: true}, server.URL + "/", true},
	} {
		sim.Inject(esssim.Fault{Kind: esssim.Gzip, Count: 1})
		c := newCaller(tt.rt)
		if tt.url != "" {
			c.url = tt.url
		}
		r := c.request(t.Context(), t, linkAction, okBody(linkAction))
		if tt.accept != "" {
			r.Header.Set("Accept-Encoding", tt.accept)
		}
		resp, err := c.rt.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		packed := resp.Header.Get("Content-Encoding") == "gzip" && bytes.HasPrefix(body, []byte("\x1f\x8b"))
		if err != nil || packed != tt.packed || resp.Uncompressed == tt.packed {
			t.Errorf("%s: packed %v, uncompressed %v, %v; want packed %v", tt.name, packed, resp.Uncompressed, err, tt.packed)
		}
	}
}

// A reset without sockets has the shape of the net package's errors.
func TestRoundTrip_resetShape(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	sim.Inject(esssim.Fault{Kind: esssim.ResetBefore})
	c := newCaller(sim)
	_, err := (&http.Client{Transport: sim}).Do(c.request(t.Context(), t, bindAction, okBody(bindAction))) //nolint:bodyclose // there is none
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "read" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset = %v, want a *net.OpError of a read with ECONNRESET", err)
	}
}

func TestRoundTrip_leaves(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	c := newCaller(sim)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.raw(c.request(ctx, t, bindAction, okBody(bindAction))); !errors.Is(err, context.Canceled) {
		t.Errorf("call with an ended context = %v, want context.Canceled", err)
	}
	if n := len(sim.Calls()); n != 0 {
		t.Errorf("%d calls on record, want none", n)
	}

	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{})
		sim.Inject(esssim.Fault{Kind: esssim.SlowBody, Delay: time.Hour})
		resp, err := sim.RoundTrip(newCaller(sim).request(t.Context(), t, bindAction, okBody(bindAction))) //nolint:bodyclose // below, by another
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Minute)
			_ = resp.Body.Close()
		}()
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("reading a slow body that somebody closes = no error")
		}
	})
}

// Whatever a fault says, Validate names the field that is wrong.
func TestFault_validate(t *testing.T) {
	tests := []struct {
		names string
		fault esssim.Fault
	}{
		{"kind", esssim.Fault{}},
		{"kind", esssim.Fault{Kind: "explode"}},
		{"action", esssim.Fault{Kind: esssim.Null, Action: "NoSuchAction"}},
		{"product", esssim.Fault{Kind: esssim.Null, Product: "cvm"}},
		{"ratio", esssim.Fault{Kind: esssim.Null, Ratio: 1.1}},
		{"ratio", esssim.Fault{Kind: esssim.Null, Ratio: -0.1}},
		{"count", esssim.Fault{Kind: esssim.Null, Count: -1}},
		{"delay", esssim.Fault{Kind: esssim.Null, Delay: -1}},
		{"delay", esssim.Fault{Kind: esssim.Latency}},
		{"delay", esssim.Fault{Kind: esssim.SlowBody}},
		{"offset", esssim.Fault{Kind: esssim.Clock}},
		{"code", esssim.Fault{Kind: esssim.Code}},
		{"variant", esssim.Fault{Kind: esssim.Throttle, Variant: "x"}},
		{"variant", esssim.Fault{Kind: esssim.Wording, Variant: "x"}},
		{"status", esssim.Fault{Kind: esssim.Status, Status: 200}},
		{"status", esssim.Fault{Kind: esssim.WAF, Status: 200}},
		{"status", esssim.Fault{Kind: esssim.Redirect, Status: 500}},
		{"kinds", esssim.Fault{Kind: esssim.Hostile, Kinds: []esssim.Kind{esssim.Hostile}}},
	}
	for _, tt := range tests {
		if err := tt.fault.Validate(); err == nil || !strings.HasPrefix(err.Error(), tt.names+": ") {
			t.Errorf("Validate(%+v) = %v, want an error naming %s", tt.fault, err, tt.names)
		}
	}
}
