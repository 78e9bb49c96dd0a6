package essapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"essworker/internal/essapi"
)

func TestConfig_Validate(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*essapi.Config)
		want   string // in the error; empty is valid
	}{
		"as is":                   {func(*essapi.Config) {}, ""},
		"nothing given":           {func(c *essapi.Config) { *c = essapi.Config{} }, "--ess-endpoint: must be a URL"},
		"trailing slash":          {func(c *essapi.Config) { c.Endpoint = "https://ess.test.ess.tencent.cn/" }, ""},
		"port":                    {func(c *essapi.Config) { c.BasicEndpoint = "https://proxy.example:8443" }, ""},
		"http to loopback":        {func(c *essapi.Config) { c.Endpoint, c.BasicEndpoint = "http://127.0.0.1:9080", "http://localhost:9080" }, ""},
		"http to loopback, IPv6":  {func(c *essapi.Config) { c.Endpoint = "http://[::1]:9080" }, ""},
		"http elsewhere":          {func(c *essapi.Config) { c.Endpoint = "http://ess.tencentcloudapi.com" }, `--ess-endpoint: plain http to "ess.tencentcloudapi.com" needs --ess-allow-http`},
		"http to a name like it":  {func(c *essapi.Config) { c.BasicEndpoint = "http://localhost.example" }, "--essbasic-endpoint: plain http"},
		"http to an address":      {func(c *essapi.Config) { c.Endpoint = "http://10.0.0.1" }, "--ess-endpoint: plain http"},
		"http allowed":            {func(c *essapi.Config) { c.Endpoint, c.AllowHTTP = "http://sim:9080", true }, ""},
		"other scheme":            {func(c *essapi.Config) { c.Endpoint = "ftp://ess.tencentcloudapi.com" }, "--ess-endpoint: must be a URL"},
		"no scheme":               {func(c *essapi.Config) { c.Endpoint = "ess.tencentcloudapi.com" }, "--ess-endpoint: must be a URL"},
		"no host":                 {func(c *essapi.Config) { c.Endpoint = "https://" }, "--ess-endpoint: must be a URL"},
		"port without host":       {func(c *essapi.Config) { c.Endpoint = "https://:443" }, "--ess-endpoint: host"},
		"colon without port":      {func(c *essapi.Config) { c.Endpoint = "https://ess.example:" }, "--ess-endpoint: host"},
		"unparseable":             {func(c *essapi.Config) { c.Endpoint = "https://u:secret@[" }, "--ess-endpoint: must be a URL"},
		"path":                    {func(c *essapi.Config) { c.Endpoint = "https://ess.example/api" }, "--ess-endpoint: must be scheme and host only"},
		"query":                   {func(c *essapi.Config) { c.Endpoint = "https://ess.example?secret" }, "--ess-endpoint: must be scheme and host only"},
		"query without a word":    {func(c *essapi.Config) { c.Endpoint = "https://ess.example?" }, "--ess-endpoint: must be scheme and host only"},
		"user":                    {func(c *essapi.Config) { c.Endpoint = "https://u:secret@ess.example" }, "--ess-endpoint: must be scheme and host only"},
		"not ASCII":               {func(c *essapi.Config) { c.Endpoint = "https://电子签.example" }, "--ess-endpoint: host"},
		"zone":                    {func(c *essapi.Config) { c.Endpoint = "https://[fe80::1%25eth0]" }, "--ess-endpoint: host"},
		"no timeout":              {func(c *essapi.Config) { c.Timeout = 0 }, "--ess-timeout: must be above 0"},
		"negative timeout":        {func(c *essapi.Config) { c.Timeout = -time.Second }, "--ess-timeout: must be above 0"},
		"timeout too long":        {func(c *essapi.Config) { c.Timeout = time.Hour }, "at most 5m0s, not 1h0m0s"},
		"no id":                   {func(c *essapi.Config) { c.SecretID = "" }, "--tencentcloud-secret-id: missing, set TENCENTCLOUD_SECRET_ID or TENCENTCLOUD_SECRET_ID_FILE"},
		"no key":                  {func(c *essapi.Config) { c.SecretKey = "" }, "TENCENTCLOUD_SECRET_KEY"},
		"value and file":          {func(c *essapi.Config) { c.SecretKeyFile = "/run/key" }, "--tencentcloud-secret-key and --tencentcloud-secret-key-file: both given"},
		"token and file":          {func(c *essapi.Config) { c.Token, c.TokenFile = "secret", "/run/token" }, "--tencentcloud-token and --tencentcloud-token-file: both given"},
		"token":                   {func(c *essapi.Config) { c.Token = "t" }, ""},
		"key with a line end":     {func(c *essapi.Config) { c.SecretKey += "\n" }, ""},
		"key of two lines":        {func(c *essapi.Config) { c.SecretKey = "secret\r\nX-Injected: 1" }, "--tencentcloud-secret-key: holds characters"},
		"key of blanks":           {func(c *essapi.Config) { c.SecretKey = " " }, "--tencentcloud-secret-key: is empty"},
		"files":                   {func(c *essapi.Config) { c.SecretID, c.SecretKey, c.SecretIDFile, c.SecretKeyFile = "", "", "/a", "/b" }, ""},
		"one of the other's":      {func(c *essapi.Config) { c.BasicSecretID = "AKID" }, "--essbasic-secret-key: missing, set ESSBASIC_SECRET_KEY or ESSBASIC_SECRET_KEY_FILE"},
		"the other's own":         {func(c *essapi.Config) { c.BasicSecretID, c.BasicSecretKeyFile = "AKID", "/b" }, ""},
		"the other's alone":       {func(c *essapi.Config) { c.SecretID, c.BasicSecretID, c.BasicSecretKey = "", "AKID", "k" }, "--tencentcloud-secret-id: missing"},
		"the other's, both given": {func(c *essapi.Config) { c.BasicSecretID, c.BasicSecretKey, c.BasicSecretIDFile = "AKID", "k", "/a" }, "--essbasic-secret-id and --essbasic-secret-id-file"},
	} {
		cfg := config()
		tt.change(&cfg)
		err := cfg.Validate()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: Validate() = %v, want nil", name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: Validate() = %v, want %q in it", name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret\r") || strings.Contains(fmt.Sprint(err), ":secret@") {
			t.Errorf("%s: Validate() = %v shows a secret", name, err)
		}
		if _, newErr := essapi.New(cfg, essapi.Options{}); err != nil && (newErr == nil || newErr.Error() != err.Error()) {
			t.Errorf("%s: New = %v, want Validate's %v", name, newErr, err)
		}
	}
}

// All that is wrong is told at once.
func TestConfig_Validate_tellsAll(t *testing.T) {
	err := essapi.Config{}.Validate()
	for _, flag := range []string{"--ess-endpoint", "--essbasic-endpoint", "--ess-timeout", "--tencentcloud-secret-id", "--tencentcloud-secret-key"} {
		if err == nil || strings.Count(err.Error(), flag+":") != 1 {
			t.Errorf("Validate() of nothing = %v, want %s in it once", err, flag)
		}
	}
}

func TestConfig_hidesSecrets(t *testing.T) {
	cfg := config()
	cfg.Token, cfg.BasicSecretKey = "token", "basickey"
	for _, format := range []string{"%v", "%+v", "%#v"} {
		text := fmt.Sprintf(format, cfg)
		for _, secret := range []string{sampleID, sampleKey, `"token"`, "basickey"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s of a Config shows %q", format, secret)
			}
		}
	}
}
