package esssim_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/esssim"
)

// Every check of the gateway, in its order: a request that is wrong in all ways
// meets the first, and once that is mended the next.
func TestGateway_order(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{Rate: 1})
		key := esssim.Key{
			SecretID: "AKIDorder", SecretKey: "secret", Token: "token",
			Actions: []string{linkAction}, AllowIPs: []string{"192.0.2.1"},
		}
		c := newCaller(sim)
		c.id, c.key = key.SecretID, "another secret"

		// The body is wrong too; that is the last thing looked at.
		r := c.request(t.Context(), t, bindAction, `{"Nonsense":1}`)
		timestamp := r.Header.Get("X-TC-Timestamp")
		r.Method = http.MethodGet
		r.Header.Set("Content-Type", "text/plain")
		r.Header.Del("X-TC-Action")
		r.Header.Del("X-TC-Version")
		r.Header.Del("X-TC-Timestamp")
		r.Header.Set("Authorization", "nothing of the kind")
		service := "cvm"
		resign := func() { c.sign(r, service, `{"Nonsense":1}`) }

		steps := []struct {
			want string
			mend func()
		}{
			{"UnsupportedProtocol", func() { r.Method = http.MethodPost }},
			{"InvalidParameter", func() { r.Header.Set("Content-Type", "application/json; charset=utf-8") }},
			{"MissingParameter", func() { r.Header.Set("X-TC-Action", "NoSuchAction") }},
			{"MissingParameter", func() { r.Header.Set("X-TC-Version", "1999-01-01") }},
			{"MissingParameter", func() { r.Header.Set("X-TC-Timestamp", strconv.FormatInt(time.Now().Unix()-301, 10)) }},
			{"AuthFailure.InvalidAuthorization", resign},
			{"AuthFailure.SecretIdNotFound", func() { sim.AddKey(key) }},
			{"AuthFailure.SignatureExpire", func() { r.Header.Set("X-TC-Timestamp", timestamp) }},
			{"AuthFailure.SignatureFailure", resign}, // the scope's date was of five minutes ago, that is of 1999
			{"AuthFailure.TokenFailure", func() { r.Header.Set("X-TC-Token", "token") }},
			{"AuthFailure.SignatureFailure", func() { c.key = key.SecretKey; resign() }},
			{"IpNotInWhitelist", func() { key.AllowIPs = nil; sim.AddKey(key) }},
			{"UnauthorizedOperation", func() { key.Actions = nil; sim.AddKey(key) }},
			{"NoSuchProduct", func() { service = "ess"; resign() }},
			{"NoSuchVersion", func() { r.Header.Set("X-TC-Version", "2020-11-11") }},
			{"InvalidAction", func() { r.Header.Set("X-TC-Action", bindAction); resign() }},
			{"UnknownParameter", func() {}}, // the counter is below its limit
			{"RequestLimitExceeded", func() { time.Sleep(time.Second) }},
			{"UnknownParameter", func() {}},
		}
		for i, step := range steps {
			again := r.Clone(t.Context())
			again.Body, _ = r.GetBody()
			if got := c.send(t, again); got.code() != step.want {
				t.Fatalf("step %d = %s (%s), want %s", i+1, got.code(), got.message(), step.want)
			}
			step.mend()
		}
	})
}

func TestGateway_refuses(t *testing.T) {
	set := func(name, value string) func(caller, *http.Request) {
		return func(_ caller, r *http.Request) { r.Header.Set(name, value) }
	}
	authorization := func(from, to string) func(caller, *http.Request) {
		return func(_ caller, r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		}
	}
	at := func(d time.Duration) func(caller, *http.Request) {
		return func(c caller, r *http.Request) {
			r.Header.Set("X-TC-Timestamp", strconv.FormatInt(time.Now().Add(d).Unix(), 10))
			c.sign(r, "ess", okBody(bindAction))
		}
	}
	tests := []struct {
		name   string
		change func(caller, *http.Request)
		want   string
	}{
		{"nothing wrong", func(caller, *http.Request) {}, "ok"},
		{"content type without a charset", func(c caller, r *http.Request) {
			r.Header.Set("Content-Type", "Application/JSON")
			c.sign(r, "ess", okBody(bindAction))
		}, "ok"},
		{"algorithm", authorization("TC3-HMAC-SHA256", "HmacSHA256"), "AuthFailure.InvalidAuthorization"},
		{"scope of three parts", authorization("/ess/", "/"), "AuthFailure.InvalidAuthorization"},
		{"scope's last word", authorization("tc3_request", "tc2_request"), "AuthFailure.InvalidAuthorization"},
		{"host not signed", authorization("content-type;host", "content-type"), "AuthFailure.InvalidAuthorization"},
		{"content type not signed", authorization("content-type;host", "host"), "AuthFailure.InvalidAuthorization"},
		{"signature cut", func(_ caller, r *http.Request) {
			sent := r.Header.Get("Authorization")
			r.Header.Set("Authorization", sent[:len(sent)-1])
		}, "AuthFailure.InvalidAuthorization"},
		{"signature not hexadecimal", func(_ caller, r *http.Request) {
			sent := r.Header.Get("Authorization")
			r.Header.Set("Authorization", sent[:len(sent)-1]+"g")
		}, "AuthFailure.InvalidAuthorization"},
		{"no Authorization", func(_ caller, r *http.Request) { r.Header.Del("Authorization") }, "AuthFailure.InvalidAuthorization"},
		{"signed headers not in order", authorization("content-type;host", "host;content-type"), "AuthFailure.SignatureFailure"},
		{"signed header missing", authorization("x-tc-action", "x-tc-absent"), "AuthFailure.SignatureFailure"},
		{"five minutes slow", at(-300 * time.Second), "ok"},
		{"five minutes fast", at(300 * time.Second), "ok"},
		{"too slow", at(-301 * time.Second), "AuthFailure.SignatureExpire"},
		{"too fast", at(301 * time.Second), "AuthFailure.SignatureExpire"},
		{"timestamp in words", set("X-TC-Timestamp", "now"), "AuthFailure.SignatureExpire"},
		{"timestamp out of range", set("X-TC-Timestamp", "9223372036854775807"), "AuthFailure.SignatureExpire"},
		{"token on a permanent key", set("X-TC-Token", "token"), "AuthFailure.TokenFailure"},
		{"action signed otherwise", set("X-TC-Action", linkAction), "AuthFailure.SignatureFailure"},
		{"version of the other product", set("X-TC-Version", "2021-05-26"), "NoSuchVersion"},
		{"region empty", set("X-TC-Region", ""), "InvalidParameterValue"},
		{"region odd", set("X-TC-Region", "Guangzhou!"), "InvalidParameterValue"},
		{"region unknown", set("X-TC-Region", "xx-nowhere"), "UnsupportedRegion"},
		{"region right", set("X-TC-Region", "ap-guangzhou"), "ok"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour) // five minutes to either side are the same day then
				c := newCaller(esssim.New(esssim.Config{}))
				r := c.request(t.Context(), t, bindAction, okBody(bindAction))
				tt.change(c, r)
				if got := c.send(t, r); got.code() != tt.want {
					t.Errorf("got %s (%s), want %s", got.code(), got.message(), tt.want)
				}
			})
		})
	}
}

func TestGateway_otherPath(t *testing.T) {
	c := newCaller(esssim.New(esssim.Config{}))
	c.url += "v2/"
	status, _, err := c.raw(c.request(t.Context(), t, bindAction, okBody(bindAction)))
	if err != nil || status != http.StatusNotFound {
		t.Errorf("POST /v2/ = %d, %v; want 404", status, err)
	}
}

func TestGateway_temporaryKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{})
		sim.AddKey(esssim.Key{SecretID: "AKIDtmp", SecretKey: "tmp", Token: "token-1", Expires: time.Now().Add(time.Hour)})
		c := newCaller(sim)
		c.id, c.key = "AKIDtmp", "tmp"
		for _, step := range []struct{ token, want string }{
			{"", "AuthFailure.TokenFailure"}, {"token-2", "AuthFailure.TokenFailure"}, {"token-1", "ok"},
		} {
			c.token = step.token
			if got := c.call(t, linkAction, okBody(linkAction)); got.code() != step.want {
				t.Errorf("token %q = %s, want %s", step.token, got.code(), step.want)
			}
		}
		time.Sleep(time.Hour)
		if got := c.call(t, linkAction, okBody(linkAction)); got.code() != "AuthFailure.TokenFailure" {
			t.Errorf("expired token = %s, want AuthFailure.TokenFailure", got.code())
		}
	})
}

func TestGateway_rotation(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	before := newCaller(sim)
	after := before
	after.key = "the next secret key"
	sim.AddKey(esssim.Key{SecretID: esssim.SecretID, SecretKey: after.key})
	if got := before.call(t, linkAction, okBody(linkAction)); got.code() != "AuthFailure.SignatureFailure" {
		t.Errorf("old key = %s, want AuthFailure.SignatureFailure", got.code())
	}
	if got := after.call(t, linkAction, okBody(linkAction)); got.code() != "ok" {
		t.Errorf("new key = %s, want ok", got.code())
	}
	sim.RemoveKey(esssim.SecretID)
	if got := after.call(t, linkAction, okBody(linkAction)); got.code() != "AuthFailure.SecretIdNotFound" {
		t.Errorf("removed key = %s, want AuthFailure.SecretIdNotFound", got.code())
	}
}

func TestGateway_deniedAddress(t *testing.T) {
	sim := esssim.New(esssim.Config{})
	sim.AddKey(esssim.Key{SecretID: esssim.SecretID, SecretKey: esssim.SecretKey, DenyIPs: []string{"192.0.2.7"}})
	c := newCaller(sim)
	r := c.request(t.Context(), t, linkAction, okBody(linkAction))
	r.RemoteAddr = "192.0.2.7:1234"
	if got := c.send(t, r); got.code() != "IpInBlacklist" {
		t.Errorf("call from a denied address = %s, want IpInBlacklist", got.code())
	}
}

func TestGateway_bodyTooLarge(t *testing.T) {
	t.Parallel()
	sim := esssim.New(esssim.Config{})
	c := newCaller(sim)
	const limit = 10 << 20
	body := okBody(bindAction)
	if got := c.call(t, bindAction, body+strings.Repeat(" ", limit-len(body))); got.code() != "ok" {
		t.Errorf("10 MB = %s, want ok", got.code())
	}
	if got := c.call(t, bindAction, strings.Repeat(" ", limit+1)); got.code() != "RequestSizeLimitExceeded" {
		t.Errorf("10 MB and a byte = %s, want RequestSizeLimitExceeded", got.code())
	}
}

func TestGateway_languages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{Rate: 1})
		wrong := newCaller(sim)
		wrong.key = "not the key"
		for _, tt := range []struct{ language, want string }{
			{"zh-CN", "请求签名验证失败，请检查您的签名计算是否正确。"},
			{"en-US", "The provided credentials could not be validated. Please check your signature is correct."},
			{"", "The provided credentials could not be validated. Please check your signature is correct."},
		} {
			wrong.language = tt.language
			if got := wrong.call(t, linkAction, okBody(linkAction)).message(); got != tt.want {
				t.Errorf("signature failure in %q = %q, want %q", tt.language, got, tt.want)
			}
		}
		c := newCaller(sim)
		c.call(t, linkAction, okBody(linkAction))
		if got, want := c.call(t, linkAction, okBody(linkAction)).message(), "您当前每秒请求 `2` 次，超过了每秒频率上限 `1`，请稍后重试。"; got != want {
			t.Errorf("throttled in zh-CN = %q, want %q", got, want)
		}
		c.language = "en-US"
		if got, want := c.call(t, linkAction, okBody(linkAction)).message(), "Your current request times equals to `3` in a second, which exceeds the frequency limit `1` for a second. Please reduce the frequency of calls."; got != want {
			t.Errorf("throttled in en-US = %q, want %q", got, want)
		}
		time.Sleep(time.Second)
		if got, want := c.call(t, linkAction, linkBody(esssim.PersonWithoutName, esssim.PersonWithoutIDCardNumber, "")).message(), "用户未开通自动签"; got != want {
			t.Errorf("business refusal in en-US = %q, want it in Chinese: %q", got, want)
		}
	})
}
