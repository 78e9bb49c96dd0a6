package essapi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"essworker/internal/essapi"
)

const (
	bodyPublished = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	bodyBind      = `{"Operator":{"UserId":"yDRSRUUgygj6qnwfUuO4zjEwc193c2hH"},"UserId":"yDRS4UUgygqdcj56UuO4zjExBQcOiB68","OpenId":"n9527"}`
	bodyLink      = `{"Operator":{"UserId":"yDRSRUUgygj6qnwfUuO4zjEwc193c2hH"},"SceneKey":"E_PRESCRIPTION_AUTO_SIGN","UserInfo":{"Name":"典子谦","IdCardType":"ID_CARD","IdCardNumber":"620000198802020000"}}`
	bodyGrant     = `{"Agent":{"AppId":"yDwhxUUckp3gl8j5UuFX33LSNozpRsbi","ProxyOrganizationOpenId":"org_dianziqian","ProxyOperator":{"OpenId":"n9527"}},"SealId":"yDxZtUyKQD2JuqUuO4zjERYG3XNeEJXw","UserIds":["yDxbWUyKQDx7OZUuO4zjESvEkRMHc55R"]}`

	typeUTF8  = "application/json; charset=utf-8"
	typePlain = "application/json"

	vectorTime = 1700000000 // 2023-11-14
)

type vector struct {
	name                       string
	id, key                    string
	service, host, contentType string
	action                     string // empty is not signed
	body                       string
	unix                       int64
	signature                  string
}

// authorization is the header that must come out.
func (v vector) authorization() string {
	signed := "content-type;host"
	if v.action != "" {
		signed += ";x-tc-action"
	}
	return fmt.Sprintf("TC3-HMAC-SHA256 Credential=%s/%s/%s/tc3_request, SignedHeaders=%s, Signature=%s",
		v.id, time.Unix(v.unix, 0).UTC().Format(time.DateOnly), v.service, signed, v.signature)
}

// vectors are signatures known from elsewhere: V1 to V3 published by the vendor,
// A to E agreed on by independent implementations.
var vectors = []vector{
	{
		"V1", sampleID, sampleKey, "cvm", "cvm.tencentcloudapi.com", typeUTF8, "", bodyPublished, 1551113065,
		"72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
	},
	{
		"V2", sampleID, "Gu5t9xGARNpq86cd98joQYCN3*******", "cvm", "cvm.tencentcloudapi.com", typeUTF8, "", bodyPublished, 1551113065,
		"2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c",
	},
	{
		"V3", "AKID" + strings.Repeat("*", 32), strings.Repeat("*", 32), "cvm", "cvm.tencentcloudapi.com", typeUTF8, "DescribeInstances", bodyPublished, 1551113065,
		"10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
	},
	{
		"A", sampleID, sampleKey, "ess", "ess.tencentcloudapi.com", typeUTF8, bind, bodyBind, vectorTime,
		"15a2929d2e0642c658b48cd897c5a6ea63bda6221b010dc3734bc1825002e463",
	},
	{
		"B", sampleID, sampleKey, "ess", "ess.tencentcloudapi.com", typeUTF8, link, bodyLink, vectorTime,
		"de1c0bc31041d1594acf4043c4fcac720914e5655499c153623e7414a8c78fc7",
	},
	{
		"C", sampleID, sampleKey, "essbasic", "essbasic.tencentcloudapi.com", typeUTF8, grant, bodyGrant, vectorTime,
		"5ed3ae3faff30f309a69a659d511cb75edcc6e01aa11a8b54bb1ff4f6aa7affc",
	},
	{
		"D", sampleID, sampleKey, "ess", "127.0.0.1:8080", typePlain, bind, bodyBind, vectorTime,
		"49ab6d0031996f39dcfea3b7e9c3699fbcbeabaffc57a861ba40cfda5c2d8a97",
	},
	{
		"E", sampleID, sampleKey, "ess", "127.0.0.1:8080", typePlain, "", bodyBind, vectorTime,
		"4ccce4045eeeb97332b6392d90d805c70bb44a40d0bdc4d4cb6603689e70b547",
	},
}

func TestAuthorization(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			got := essapi.Authorization(v.id, v.key, v.service, v.host, v.contentType, v.action, []byte(v.body), v.unix)
			if want := v.authorization(); got != want {
				t.Errorf("authorization =\n%s, want\n%s", got, want)
			}
		})
	}
}

// The intermediate keys the vendor publishes with V1 to V3, and those of A to E.
func TestAuthorization_keys(t *testing.T) {
	stars := strings.Repeat("*", 32)
	for _, tt := range []struct{ secret, date, service, kDate, kService, kSigning string }{
		{sampleKey, "2019-02-25", "cvm", "", "", "ac658d5dde49e9bfdd14e04e062f66b05d9f637d44b8a8d845327d4a77f666b1"},
		{"Gu5t9xGARNpq86cd98joQYCN3*******", "2019-02-25", "cvm", "", "", "8aa8ab5755582f576e94bcfe383b8e29325b0ca90c3590d569221c6a63a091ed"},
		{
			stars, "2019-02-25", "cvm", "da98fb70dcf6b112dc21038d1eeeb3a95c74b4dcb12c1131f864f6066bd02be0",
			"8d70cbefb03939f929db64d32dc2ba89b1095620119fe3e050e2b18c5bd2752f", "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af",
		},
		{
			sampleKey, "2023-11-14", "ess", "887d0077ac19ed5cba18590a4fe79f7e1d851a9b05bd4e02a3af730156456978",
			"", "71d72560b3bbbb2c5a42a5ae6b4f2d8ec57cbbceebb019706ebcd34b27e5f035",
		},
		{
			sampleKey, "2023-11-14", "essbasic", "887d0077ac19ed5cba18590a4fe79f7e1d851a9b05bd4e02a3af730156456978",
			"", "6accb5ea85964b8a1b1484f136f7a6e5f3b004ddb38551b7a80b9e2a1e01787e",
		},
	} {
		key := []byte("TC3" + tt.secret)
		for _, step := range []struct{ message, want string }{
			{tt.date, tt.kDate}, {tt.service, tt.kService}, {"tc3_request", tt.kSigning},
		} {
			key = essapi.HMAC(key, step.message)
			if got := hex.EncodeToString(key); step.want != "" && got != step.want {
				t.Errorf("key of %s %s after %q = %s, want %s", tt.date, tt.service, step.message, got, step.want)
			}
		}
	}
}

// The day's key is kept: neither another day nor the first one again may get the wrong one.
func TestAuthorization_acrossMidnight(t *testing.T) {
	sign := essapi.Signer(sampleID, sampleKey, "ess", "h", typeUTF8, bind)
	midnight := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for _, unix := range []int64{midnight - 1, midnight, midnight - 1, midnight + 86399, midnight + 86400} {
		got := sign([]byte(bodyBind), unix)
		want := essapi.Authorization(sampleID, sampleKey, "ess", "h", typeUTF8, bind, []byte(bodyBind), unix)
		if got != want {
			t.Errorf("authorization at %d =\n%s, want\n%s", unix, got, want)
		}
	}
}

// verify checks a request's signature as the vendor does, from its headers and
// body alone, written apart from the code it checks.
func verify(r *http.Request, body []byte, secretKey string) error {
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "TC3-HMAC-SHA256 ")
	if !ok {
		return fmt.Errorf("Authorization %q is not TC3-HMAC-SHA256", r.Header.Get("Authorization"))
	}
	part := map[string]string{}
	for field := range strings.SplitSeq(auth, ", ") {
		name, value, _ := strings.Cut(field, "=")
		part[name] = value
	}
	_, scope, _ := strings.Cut(part["Credential"], "/")
	names := strings.Split(part["SignedHeaders"], ";")
	if !slices.IsSorted(names) || !slices.Contains(names, "content-type") || !slices.Contains(names, "host") {
		return fmt.Errorf("SignedHeaders %q lacks what must be signed", names)
	}
	var headers strings.Builder
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.ToLower(strings.TrimSpace(value)))
	}
	hash := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	canonical := strings.Join([]string{r.Method, r.URL.Path, r.URL.RawQuery, headers.String(), part["SignedHeaders"], hash(string(body))}, "\n")
	toSign := strings.Join([]string{"TC3-HMAC-SHA256", r.Header.Get("X-TC-Timestamp"), scope, hash(canonical)}, "\n")
	key := []byte("TC3" + secretKey)
	for _, message := range append(strings.Split(scope, "/"), toSign) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(message))
		key = h.Sum(nil)
	}
	if got, want := part["Signature"], hex.EncodeToString(key); got != want {
		return fmt.Errorf("signature %s, want %s", got, want)
	}
	return nil
}
