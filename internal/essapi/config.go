package essapi

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"essworker/internal/mask"
)

// maxTimeout bounds one call: the vendor's gateway gives its backend 30 s, so
// that waiting longer than a few minutes can only be a slip of the unit.
const maxTimeout = 5 * time.Minute

// Config is what the vendor must be called with: where, as whom, for how long.
// A zero Config is not valid, so that no test reaches the vendor by omission.
type Config struct {
	Endpoint      string        `name:"ess-endpoint" default:"https://ess.tencentcloudapi.com" env:"ESS_ENDPOINT" help:"Where product ess is called: a URL of scheme and host." placeholder:"URL"`
	BasicEndpoint string        `name:"essbasic-endpoint" default:"https://essbasic.tencentcloudapi.com" env:"ESSBASIC_ENDPOINT" help:"Where product essbasic is called: a URL of scheme and host." placeholder:"URL"`
	AllowHTTP     bool          `name:"ess-allow-http" env:"ESS_ALLOW_HTTP" help:"Allow plain http beyond loopback: calls carry personal data in the clear."`
	Timeout       time.Duration `name:"ess-timeout" default:"35s" env:"ESS_TIMEOUT" help:"Longest time for one call. Below 30s, calls the vendor still finishes are given up." placeholder:"DURATION"`

	SecretID      mask.Secret `name:"tencentcloud-secret-id" env:"TENCENTCLOUD_SECRET_ID" help:"SecretId of the vendor credential." placeholder:"ID"`
	SecretIDFile  string      `name:"tencentcloud-secret-id-file" env:"TENCENTCLOUD_SECRET_ID_FILE" help:"File holding the SecretId, re-read when it changes." placeholder:"FILE"`
	SecretKey     mask.Secret `name:"tencentcloud-secret-key" env:"TENCENTCLOUD_SECRET_KEY" help:"SecretKey of the vendor credential." placeholder:"KEY"`
	SecretKeyFile string      `name:"tencentcloud-secret-key-file" env:"TENCENTCLOUD_SECRET_KEY_FILE" help:"File holding the SecretKey, re-read when it changes." placeholder:"FILE"`
	Token         mask.Secret `name:"tencentcloud-token" env:"TENCENTCLOUD_TOKEN" help:"Session token, with a temporary credential only." placeholder:"TOKEN"`
	TokenFile     string      `name:"tencentcloud-token-file" env:"TENCENTCLOUD_TOKEN_FILE" help:"File holding the session token, re-read when it changes." placeholder:"FILE"`

	BasicSecretID      mask.Secret `name:"essbasic-secret-id" env:"ESSBASIC_SECRET_ID" help:"SecretId for product essbasic, if it has a credential of its own." placeholder:"ID"`
	BasicSecretIDFile  string      `name:"essbasic-secret-id-file" env:"ESSBASIC_SECRET_ID_FILE" help:"File holding that SecretId, re-read when it changes." placeholder:"FILE"`
	BasicSecretKey     mask.Secret `name:"essbasic-secret-key" env:"ESSBASIC_SECRET_KEY" help:"SecretKey for product essbasic." placeholder:"KEY"`
	BasicSecretKeyFile string      `name:"essbasic-secret-key-file" env:"ESSBASIC_SECRET_KEY_FILE" help:"File holding that SecretKey, re-read when it changes." placeholder:"FILE"`
	BasicToken         mask.Secret `name:"essbasic-token" env:"ESSBASIC_TOKEN" help:"Session token for product essbasic." placeholder:"TOKEN"`
	BasicTokenFile     string      `name:"essbasic-token-file" env:"ESSBASIC_TOKEN_FILE" help:"File holding that session token, re-read when it changes." placeholder:"FILE"`
}

// Validate checks every setting that can be checked without reading a file or
// calling anyone. Its error names each setting that is wrong, by its flag, and
// never shows a secret.
func (c Config) Validate() error {
	_, errEss := parseEndpoint("--ess-endpoint", c.Endpoint, c.AllowHTTP)
	_, errBasic := parseEndpoint("--essbasic-endpoint", c.BasicEndpoint, c.AllowHTTP)
	errs := []error{errEss, errBasic}
	if c.Timeout <= 0 || c.Timeout > maxTimeout {
		errs = append(errs, fmt.Errorf("--ess-timeout: must be above 0 and at most %s, not %s", maxTimeout, c.Timeout))
	}
	errs = append(errs, c.shared().validate())
	if own := c.basic(); own.given() {
		errs = append(errs, own.validate())
	}
	return errors.Join(errs...)
}

// shared is the credential of both products, unless essbasic has its own.
func (c Config) shared() secrets {
	return secrets{
		{name: "tencentcloud-secret-id", value: c.SecretID, file: c.SecretIDFile},
		{name: "tencentcloud-secret-key", value: c.SecretKey, file: c.SecretKeyFile},
		{name: "tencentcloud-token", value: c.Token, file: c.TokenFile},
	}
}

// basic is the credential of essbasic alone.
func (c Config) basic() secrets {
	return secrets{
		{name: "essbasic-secret-id", value: c.BasicSecretID, file: c.BasicSecretIDFile},
		{name: "essbasic-secret-key", value: c.BasicSecretKey, file: c.BasicSecretKeyFile},
		{name: "essbasic-token", value: c.BasicToken, file: c.BasicTokenFile},
	}
}

// parseEndpoint gives the URL of an endpoint. The host is signed as it is sent,
// so only hosts that net/http sends unchanged are taken.
func parseEndpoint(flag, s string, allowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		// The text of a URL that does not parse is not repeated: it may hold a password.
		return nil, fmt.Errorf("%s: must be a URL like https://ess.tencentcloudapi.com", flag)
	case u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%s: must be scheme and host only, without user, path, query or fragment", flag)
	case !plainHost(u):
		return nil, fmt.Errorf("%s: host %q must be an ASCII name or an address, with a port or none", flag, u.Host)
	case u.Scheme == "http" && !allowHTTP && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%s: plain http to %q needs --ess-allow-http; use https", flag, u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: "/"}, nil
}

func plainHost(u *url.URL) bool {
	if u.Hostname() == "" || strings.HasSuffix(u.Host, ":") {
		return false
	}
	return !strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '%' })
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// Credential names the credential a product ("ess" or "essbasic") is called with,
// so that what is wrong with one credential is not held against the other.
func (c Config) Credential(product string) string {
	if product == basicService && c.basic().given() {
		return basicService
	}
	return essService
}
