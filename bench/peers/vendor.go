package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"essworker/internal/esssim"
)

// vendor makes the call with net/http, on connections that are kept, signed by hand. The
// day's key is derived once.
type vendor struct {
	http     *http.Client
	endpoint string
	host     string

	mu  sync.Mutex
	day string
	key []byte
}

func newVendor(endpoint string, concurrency int) *vendor {
	host := endpoint
	if u, err := url.Parse(endpoint); err == nil {
		host = u.Host
	}
	return &vendor{
		endpoint: endpoint + "/", host: host,
		http: &http.Client{Transport: &http.Transport{
			MaxIdleConns: concurrency, MaxIdleConnsPerHost: concurrency, DisableCompression: true, IdleConnTimeout: time.Minute,
		}},
	}
}

type user struct {
	UserID string `json:"UserId"`
}

type bindRequest struct {
	Operator user   `json:"Operator"`
	UserID   string `json:"UserId"`
	OpenID   string `json:"OpenId"`
}

type bindAnswer struct {
	Response struct {
		Status    int    `json:"Status"`
		RequestID string `json:"RequestId"`
		Error     *struct {
			Code    string `json:"Code"`
			Message string `json:"Message"`
		} `json:"Error"`
	} `json:"Response"`
}

// boundAlready is what the vendor says of a pair that is bound; there is no code for it.
const boundAlready = "该userId已绑定该openId，无需重新绑定"

const contentType = "application/json; charset=utf-8"

func (v *vendor) bind(ctx context.Context, userID, openID string) (requestID string, err error) {
	body, err := json.Marshal(bindRequest{user{esssim.OperatorUserID}, userID, openID})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.endpoint, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	now := time.Now()
	req.Header = http.Header{
		"Content-Type":   {contentType},
		"Authorization":  {v.sign(body, now)},
		"X-Tc-Action":    {"BindEmployeeUserIdWithClientOpenId"},
		"X-Tc-Version":   {"2020-11-11"},
		"X-Tc-Timestamp": {strconv.FormatInt(now.Unix(), 10)},
	}
	resp, err := v.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer bindAnswer
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	switch r := answer.Response; {
	case r.Error != nil && r.Error.Message == boundAlready: // an earlier call whose event came again
		return r.RequestID, nil
	case r.Error != nil:
		return "", fmt.Errorf("vendor: %s: %s", r.Error.Code, r.Error.Message)
	case r.Status != 1:
		return "", fmt.Errorf("vendor: status %d", r.Status)
	default:
		return r.RequestID, nil
	}
}

// sign is TC3-HMAC-SHA256 over content type and host.
func (v *vendor) sign(body []byte, now time.Time) string {
	day := now.UTC().Format(time.DateOnly)
	scope := day + "/ess/tc3_request"
	canonical := "POST\n/\n\ncontent-type:" + contentType + "\nhost:" + v.host + "\n\ncontent-type;host\n" + hash(body)
	text := "TC3-HMAC-SHA256\n" + strconv.FormatInt(now.Unix(), 10) + "\n" + scope + "\n" + hash([]byte(canonical))
	return "TC3-HMAC-SHA256 Credential=" + esssim.SecretID + "/" + scope + ", SignedHeaders=content-type;host, Signature=" +
		hex.EncodeToString(mac(v.dayKey(day), text))
}

func (v *vendor) dayKey(day string) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.day != day {
		v.day = day
		v.key = mac(mac(mac([]byte("TC3"+esssim.SecretKey), day), "ess"), "tc3_request")
	}
	return v.key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
