package esssim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// The fixed words of signature v3 (vendor docs, "signature v3").
const (
	algorithm  = "TC3-HMAC-SHA256"
	terminator = "tc3_request"
)

// authorization is a readable Authorization header.
type authorization struct {
	secretID  string
	date      string // of the credential scope
	service   string
	signed    string // header names as listed
	signature string
}

// parseAuthorization reads the header and reports whether it has the documented
// form, with at least content-type and host among the signed headers.
func parseAuthorization(h string) (authorization, bool) {
	var a authorization
	rest, ok := strings.CutPrefix(h, algorithm+" ")
	if !ok {
		return a, false
	}
	var scope string
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			scope = value
		case "SignedHeaders":
			a.signed = value
		case "Signature":
			a.signature = value
		default:
			return a, false
		}
	}
	a.secretID, scope, _ = strings.Cut(scope, "/")
	a.date, scope, _ = strings.Cut(scope, "/")
	a.service, scope, _ = strings.Cut(scope, "/")
	if a.secretID == "" || a.date == "" || a.service == "" || scope != terminator {
		return a, false
	}
	return a, isSignature(a.signature) && lists(a.signed, "content-type") && lists(a.signed, "host")
}

// isSignature says whether s is 64 lower-case hexadecimal digits.
func isSignature(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}

// lists says whether a SignedHeaders value names the header.
func lists(signed, name string) bool {
	for s := range strings.SplitSeq(signed, ";") {
		if s == name {
			return true
		}
	}
	return false
}

// signature computes what the Authorization should have said, over whatever
// headers it lists. The canonical headers stand in ASCII order whatever the
// order of the list: a client that signs them unsorted is refused.
func (k *signingKeys) signature(a authorization, secretKey, timestamp, host string, h http.Header, payload [sha256.Size]byte) string {
	names := strings.Split(a.signed, ";")
	slices.Sort(names)

	b := make([]byte, 0, 512)
	b = append(b, http.MethodPost+"\n/\n\n"...) // the query of a POST is always empty
	for _, name := range names {
		b = append(b, name...)
		b = append(b, ':')
		b = append(b, strings.ToLower(strings.TrimSpace(signedValue(name, host, h)))...)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, a.signed...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, payload[:])
	canonical := sha256.Sum256(b)

	b = append(b[:0], algorithm+"\n"...)
	b = append(b, timestamp...)
	b = append(b, '\n')
	b = append(b, a.date+"/"+a.service+"/"+terminator+"\n"...)
	b = hex.AppendEncode(b, canonical[:])

	mac := hmac.New(sha256.New, k.get(secretKey, a.date, a.service))
	mac.Write(b)
	return hex.EncodeToString(mac.Sum(b[:0]))
}

// signedValue is what a signed header says.
func signedValue(name, host string, h http.Header) string {
	switch name {
	case "host":
		return host
	case "content-type":
		return h.Get("Content-Type")
	case "x-tc-action":
		return h.Get(headerAction)
	}
	return h.Get(name)
}

// signingKeys remembers the derived keys, which change once a day only. The zero
// value is ready.
type signingKeys struct {
	mu   sync.Mutex
	keys map[signingKey][]byte
}

type signingKey struct{ secretKey, date, service string }

// maxSigningKeys bounds what a caller can make us remember with odd dates.
const maxSigningKeys = 256

// get derives the signing key of a day and service, or remembers it.
func (k *signingKeys) get(secretKey, date, service string) []byte {
	id := signingKey{secretKey, date, service}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[id]; ok {
		return key
	}
	if k.keys == nil || len(k.keys) >= maxSigningKeys {
		k.keys = map[signingKey][]byte{}
	}
	key := mac(mac(mac([]byte("TC3"+secretKey), date), service), terminator)
	k.keys[id] = key
	return key
}

// mac is HMAC-SHA256.
func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
