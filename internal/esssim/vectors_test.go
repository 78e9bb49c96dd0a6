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

const (
	keyV1 = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"

	jsonUTF8  = "application/json; charset=utf-8"
	jsonPlain = "application/json"

	bodyV = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	bodyA = `{"Operator":{"UserId":"yDRSRUUgygj6qnwfUuO4zjEwc193c2hH"},"UserId":"yDRS4UUgygqdcj56UuO4zjExBQcOiB68","OpenId":"n9527"}`
	bodyB = `{"Operator":{"UserId":"yDRSRUUgygj6qnwfUuO4zjEwc193c2hH"},"SceneKey":"E_PRESCRIPTION_AUTO_SIGN","UserInfo":{"Name":"典子谦","IdCardType":"ID_CARD","IdCardNumber":"620000198802020000"}}`
	bodyC = `{"Agent":{"AppId":"yDwhxUUckp3gl8j5UuFX33LSNozpRsbi","ProxyOrganizationOpenId":"org_dianziqian","ProxyOperator":{"OpenId":"n9527"}},"SealId":"yDxZtUyKQD2JuqUuO4zjERYG3XNeEJXw","UserIds":["yDxbWUyKQDx7OZUuO4zjESvEkRMHc55R"]}`
)

// vectors are signatures of other hands: V1 to V3 published by the vendor for
// another of its products, A to E agreed on by several implementations. What a
// right signature meets behind the check tells it from a wrong one.
var vectors = []struct {
	name               string
	unix               int64
	service, host      string
	version, action    string
	contentType, body  string
	secretKey, signed  string
	signature, outcome string
}{
	{
		"V1", 1551113065, "cvm", "cvm.tencentcloudapi.com", "2017-03-12", "DescribeInstances", jsonUTF8, bodyV, keyV1,
		"content-type;host", "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168", "NoSuchProduct",
	},
	{
		"V2", 1551113065, "cvm", "cvm.tencentcloudapi.com", "2017-03-12", "DescribeInstances", jsonUTF8, bodyV,
		"Gu5t9xGARNpq86cd98joQYCN3" + strings.Repeat("*", 7),
		"content-type;host", "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c", "NoSuchProduct",
	},
	{
		"V3", 1551113065, "cvm", "cvm.tencentcloudapi.com", "2017-03-12", "DescribeInstances", jsonUTF8, bodyV,
		strings.Repeat("*", 32),
		"content-type;host;x-tc-action", "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f", "NoSuchProduct",
	},
	{
		"A", 1700000000, "ess", "ess.tencentcloudapi.com", "2020-11-11", bindAction, jsonUTF8, bodyA, keyV1,
		"content-type;host;x-tc-action", "15a2929d2e0642c658b48cd897c5a6ea63bda6221b010dc3734bc1825002e463", "ok",
	},
	{
		"B", 1700000000, "ess", "ess.tencentcloudapi.com", "2020-11-11", linkAction, jsonUTF8, bodyB, keyV1,
		"content-type;host;x-tc-action", "de1c0bc31041d1594acf4043c4fcac720914e5655499c153623e7414a8c78fc7", "ok",
	},
	{
		"C", 1700000000, "essbasic", "essbasic.tencentcloudapi.com", "2021-05-26", grantAction, jsonUTF8, bodyC, keyV1,
		"content-type;host;x-tc-action", "5ed3ae3faff30f309a69a659d511cb75edcc6e01aa11a8b54bb1ff4f6aa7affc", "ok",
	},
	{
		"D", 1700000000, "ess", "127.0.0.1:8080", "2020-11-11", bindAction, jsonPlain, bodyA, keyV1,
		"content-type;host;x-tc-action", "49ab6d0031996f39dcfea3b7e9c3699fbcbeabaffc57a861ba40cfda5c2d8a97", "ok",
	},
	{
		"E", 1700000000, "ess", "127.0.0.1:8080", "2020-11-11", bindAction, jsonPlain, bodyA, keyV1,
		"content-type;host", "4ccce4045eeeb97332b6392d90d805c70bb44a40d0bdc4d4cb6603689e70b547", "ok",
	},
}

func TestSignature_vectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Unix(v.unix, 0)))
				sim := esssim.New(esssim.Config{})
				sim.AddKey(esssim.Key{SecretID: "AKIDvector", SecretKey: v.secretKey})
				send := func(signature string) envelope {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+v.host+"/", strings.NewReader(v.body))
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Content-Type", v.contentType)
					r.Header.Set("X-TC-Action", v.action)
					r.Header.Set("X-TC-Version", v.version)
					r.Header.Set("X-TC-Timestamp", strconv.FormatInt(v.unix, 10))
					r.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential=AKIDvector/"+
						time.Unix(v.unix, 0).UTC().Format(time.DateOnly)+"/"+v.service+"/tc3_request, SignedHeaders="+v.signed+", Signature="+signature)
					return newCaller(sim).send(t, r)
				}
				if got := send(v.signature); got.code() != v.outcome {
					t.Errorf("vector = %s, want %s", got.code(), v.outcome)
				}
				wrong := strings.Map(func(r rune) rune { return map[bool]rune{true: '1', false: r}[r == '0'] }, v.signature)
				if got := send(wrong); got.code() != "AuthFailure.SignatureFailure" {
					t.Errorf("vector with another signature = %s, want AuthFailure.SignatureFailure", got.code())
				}
			})
		})
	}
}
