package essapi

import (
	"net/http"

	"essworker/internal/http1"
)

// NewTransport makes the transport that a client has of its own, for several to share.
func NewTransport() http.RoundTripper { return http1.New(newTransport(100)) }

// Authorization signs as the client does, with a signer that has nothing cached.
func Authorization(id, key, service, host, contentType, action string, body []byte, unix int64) string {
	s := &signer{service: service}
	return s.authorization(&credential{id: id, key: key}, signable{
		host: host, contentType: contentType, action: action, body: body,
	}, unix)
}

// Signer gives a function that signs as the client does, keeping the day's key.
func Signer(id, key, service, host, contentType, action string) func(body []byte, unix int64) string {
	s := &signer{service: service}
	cred := &credential{id: id, key: key}
	return func(body []byte, unix int64) string {
		return s.authorization(cred, signable{host: host, contentType: contentType, action: action, body: body}, unix)
	}
}

// HMAC is one step of the key's derivation.
var HMAC = hmacSHA256

// Row is one code of the table with its advice.
type Row struct{ Code, Mend string }

// Rows gives the code table.
func Rows() []Row {
	rows := make([]Row, 0, len(codes))
	for _, r := range codes {
		rows = append(rows, Row{r.code, r.mend})
	}
	return rows
}

// Rule is one rule of the message table.
type Rule struct {
	Action, Code string
	Texts        []string
	Done         bool
}

// Rules gives the message table.
func Rules() []Rule {
	all := make([]Rule, 0, len(rules))
	for _, r := range rules {
		all = append(all, Rule{r.action, r.code, r.texts, r.done})
	}
	return all
}

// Advice gives action and code of each advice that is an action's own.
func Advice() [][2]string {
	all := make([][2]string, 0, len(mends))
	for _, m := range mends {
		all = append(all, [2]string{m.action, m.code})
	}
	return all
}

// Classify runs the classifier alone; it reports whether the code is a success.
func Classify(action, code, message string) bool { return classify(action, code, message).done }
