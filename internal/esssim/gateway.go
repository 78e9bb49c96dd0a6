package esssim

import (
	"cmp"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The two products, by their service name in the credential scope.
const (
	productESS   = "ess"
	productBasic = "essbasic"
)

// versions pairs each product with the one API version it has.
var versions = map[string]string{productESS: "2020-11-11", productBasic: "2021-05-26"}

// clockTolerance is how far a timestamp may be off (vendor docs, "signature v3").
const clockTolerance = 300 * time.Second

// The vendor's headers, spelled as net/http keeps them: looking one up as the
// vendor writes it would cost an allocation.
const (
	headerAction    = "X-Tc-Action"
	headerVersion   = "X-Tc-Version"
	headerTimestamp = "X-Tc-Timestamp"
	headerLanguage  = "X-Tc-Language"
	headerToken     = "X-Tc-Token"
	headerRegion    = "X-Tc-Region"
)

// call is one request on its way through the vendor.
type call struct {
	request *http.Request
	host    string
	body    payload
	data    map[string]any // nil if the body is not a JSON object

	action, version, timestamp, language string

	auth      authorization
	readable  bool      // auth is
	now       time.Time // by the vendor's clock
	count     int       // arrivals of the limited second, this one included
	limit     int       // what they may be
	drawn     Fault     // by hostile mode; its Kind is empty if none
	requestID string
	rec       *Call
}

// newCall reads the request; nothing is checked yet.
func newCall(r *http.Request, host string, body payload) *call {
	c := &call{
		request:   r,
		host:      host,
		body:      body,
		data:      body.object(),
		action:    r.Header.Get(headerAction),
		version:   r.Header.Get(headerVersion),
		timestamp: r.Header.Get(headerTimestamp),
		language:  r.Header.Get(headerLanguage),
	}
	c.auth, c.readable = parseAuthorization(r.Header.Get("Authorization"))
	return c
}

// refusal is an answer with an Error. The zero value is none.
type refusal struct{ code, message string }

// gateway carries the call through the checks in front of the business, in this
// package's order (the vendor's is not documented), counts it and puts it on
// record. It gives the refusal, or else the fault the call meets behind it.
func (s *Sim) gateway(c *call) (refused refusal, met Fault) {
	key, known, tampered := s.begin(c)
	refused = c.checkHead()
	if refused == (refusal{}) {
		refused = s.checkKey(c, key, known, tampered)
	}
	if refused == (refusal{}) {
		refused = c.checkPermission(key)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.begin(c, time.Now())
	if tampered.Kind != "" {
		c.note(tampered)
	}
	if refused != (refusal{}) {
		return refused, Fault{}
	}
	if refused = s.countIn(c, key); refused != (refusal{}) {
		return refused, Fault{}
	}
	if f, ok := s.pick(c, atWork); ok {
		c.note(f)
		return refusal{}, f
	}
	return refusal{}, Fault{}
}

// begin takes from the shared state what the checks need.
func (s *Sim) begin(c *call) (key Key, known bool, tampered Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.requestID = s.newRequestID(c)
	s.draw(c)
	if f, ok := s.pick(c, atAuth); ok {
		tampered = f
	}
	c.now = time.Now().Add(tampered.Offset)
	key, known = s.keys[c.auth.secretID]
	return key, known, tampered
}

// checkHead is about what a request must look like.
func (c *call) checkHead() refusal {
	h := c.request.Header
	switch {
	case c.request.Method != http.MethodPost:
		return refusal{"UnsupportedProtocol", textProtocol.in(c.language)}
	case !isJSON(h.Get("Content-Type")):
		return refusal{"InvalidParameter", textContentType.in(c.language)}
	case c.action == "":
		return refusal{"MissingParameter", textMissing.in(c.language, "Action")}
	case c.version == "":
		return refusal{"MissingParameter", textMissing.in(c.language, "Version")}
	case c.timestamp == "":
		return refusal{"MissingParameter", textMissing.in(c.language, "Timestamp")}
	case !c.readable:
		return refusal{"AuthFailure.InvalidAuthorization", textAuthorization.in(c.language)}
	}
	return refusal{}
}

// checkKey is about who is calling, and when.
func (s *Sim) checkKey(c *call, key Key, known bool, tampered Fault) refusal {
	seconds, err := strconv.ParseInt(c.timestamp, 10, 64)
	signed := time.Unix(seconds, 0).UTC()
	token := c.request.Header.Get(headerToken)
	switch {
	case !known:
		return refusal{"AuthFailure.SecretIdNotFound", textSecretID.in(c.language)}
	case err != nil || c.now.Sub(signed).Abs() > clockTolerance:
		return refusal{"AuthFailure.SignatureExpire", textExpire.in(c.language)}
	case string(signed.AppendFormat(make([]byte, 0, len(time.DateOnly)), time.DateOnly)) != c.auth.date:
		return refusal{"AuthFailure.SignatureFailure", textSignature.in(c.language)}
	case token != key.Token || tampered.Kind == ExpireToken || (!key.Expires.IsZero() && !c.now.Before(key.Expires)):
		return refusal{"AuthFailure.TokenFailure", textToken.in(c.language)}
	}
	secret := key.SecretKey
	if tampered.Kind == RotateKey {
		secret = cmp.Or(tampered.SecretKey, "no caller has this key")
	}
	want := s.signing.signature(c.auth, secret, c.timestamp, c.host, c.request.Header, c.body.sum)
	if subtle.ConstantTimeCompare([]byte(want), []byte(c.auth.signature)) != 1 {
		return refusal{"AuthFailure.SignatureFailure", textSignature.in(c.language)}
	}
	return refusal{}
}

// checkPermission is about what the key may call, from where, and whether there
// is such a thing.
func (c *call) checkPermission(key Key) refusal {
	from := c.address()
	version, product := versions[c.auth.service]
	act, exists := actions[c.action]
	switch {
	case slices.Contains(key.DenyIPs, from):
		return refusal{"IpInBlacklist", textAddress.in(c.language, from)}
	case len(key.AllowIPs) > 0 && !slices.Contains(key.AllowIPs, from):
		return refusal{"IpNotInWhitelist", textAddress.in(c.language, from)}
	case len(key.Actions) > 0 && !slices.Contains(key.Actions, c.action):
		return refusal{"UnauthorizedOperation", textCAM.in(c.language, c.auth.service, c.action, c.auth.service, key.Account)}
	case !product:
		return refusal{"NoSuchProduct", textProduct.in(c.language, c.auth.service)}
	case c.version != version:
		return refusal{"NoSuchVersion", textVersion.in(c.language, c.version)}
	case !exists || act.product != c.auth.service:
		return refusal{"InvalidAction", textAction.in(c.language, c.action)}
	}
	return checkRegion(c)
}

// checkRegion refuses a region header that names no region. None of the actions
// needs one, so none is right and so is any real one.
func checkRegion(c *call) refusal {
	values, sent := c.request.Header[headerRegion]
	if !sent {
		return refusal{}
	}
	area, rest, ok := strings.Cut(strings.Join(values, ","), "-")
	if !ok || area == "" || strings.Trim(area+rest, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return refusal{"InvalidParameterValue", textRegion.in(c.language)}
	}
	if !slices.Contains([]string{"ap", "na", "eu", "sa", "me"}, area) {
		return refusal{"UnsupportedRegion", textNoRegion.in(c.language)}
	}
	return refusal{}
}

// window counts the arrivals of one calendar second.
type window struct {
	second int64
	n      int
}

// windowKey says what is counted together.
type windowKey struct{ code, owner, action string }

// countIn counts the arrival in every window it falls into, refused or not, and
// refuses it where one is full. The caller holds the lock, and stamped the call
// under it, so that counters and record never disagree on the second.
func (s *Sim) countIn(c *call, key Key) refusal {
	var refused refusal
	for _, w := range []struct {
		windowKey
		limit int
	}{
		{windowKey{throttleCodes[""], key.SubAccount, c.action}, s.cfg.Rate},
		{windowKey{throttleCodes[ThrottleUin], key.Account, ""}, s.cfg.UinRate},
		{windowKey{throttleCodes[ThrottleIP], c.address(), ""}, s.cfg.IPRate},
	} {
		if w.limit == 0 {
			continue
		}
		n := s.arrival(w.windowKey, c.rec.At.Unix())
		if refused == (refusal{}) && n > w.limit {
			refused = refusal{w.code, textTooFast.in(c.language, n, w.limit)}
		}
		if c.limit == 0 {
			c.count, c.limit = n, w.limit
		}
	}
	c.rec.Counted = true
	return refused
}

// arrival adds one to a window and gives its count.
func (s *Sim) arrival(k windowKey, second int64) int {
	w := s.windows[k]
	if w == nil {
		w = &window{}
		s.windows[k] = w
	}
	if w.second != second {
		*w = window{second: second}
	}
	w.n++
	return w.n
}

// address is where the call comes from. Without sockets that is this machine.
func (c *call) address() string {
	if c.request.RemoteAddr == "" {
		return "127.0.0.1"
	}
	host, _, _ := net.SplitHostPort(c.request.RemoteAddr)
	return host
}

// isJSON says whether a content type is application/json, with or without parameters.
func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/json")
}
