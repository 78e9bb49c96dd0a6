package esssim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind names a way to misbehave.
type Kind string

// The kinds. "Works" means that the call is carried out (state changes, a link
// is minted) although the caller cannot tell.
const (
	Latency      Kind = "latency"       // works at once, answers after Delay
	HangBefore   Kind = "hang_before"   // never answers; nothing is done
	HangAfter    Kind = "hang_after"    // works, never answers
	ResetBefore  Kind = "reset_before"  // connection reset; nothing is done
	ResetAfter   Kind = "reset_after"   // works, connection reset: the answer is lost
	Status       Kind = "status"        // an HTML page with Status (default 502), as from a balancer
	WAF          Kind = "waf"           // a firewall's page, Status 401 unless set
	Redirect     Kind = "redirect"      // Status 307 unless set, to Location
	Code         Kind = "code"          // an error envelope with Code and Message
	Throttle     Kind = "throttle"      // one of the refusals for speed, by Variant
	Truncated    Kind = "truncated"     // works; the answer breaks off half-way
	Null         Kind = "null"          // works; the body is null
	EmptyObject  Kind = "empty_object"  // works; the body is {}
	NullResponse Kind = "null_response" // works; the body is {"Response":null}
	NotJSON      Kind = "not_json"      // works; status 200 with an HTML page
	NoCode       Kind = "no_code"       // an Error whose Code is empty; nothing is done
	Hollow       Kind = "hollow"        // no Error, and no output but Status 0; nothing is done
	Wording      Kind = "wording"       // works; the message of a refusal is written otherwise, by Variant
	Gzip         Kind = "gzip"          // works; the answer is compressed, asked for or not
	SlowBody     Kind = "slow_body"     // works; the body trickles for Delay
	Clock        Kind = "clock"         // the vendor's clock is off by Offset
	RotateKey    Kind = "rotate_key"    // only signatures made with SecretKey are right; without one, none is
	ExpireToken  Kind = "expire_token"  // the session token is over
	Hostile      Kind = "hostile"       // a random one of the others, from Seed
)

// The variants of Throttle. The empty one is the gateway's limit per action.
const (
	ThrottleUin       = "uin"        // RequestLimitExceeded.UinLimitExceeded
	ThrottleGlobalUin = "global_uin" // RequestLimitExceeded.GlobalRegionUinLimitExceeded
	ThrottleIP        = "ip"         // RequestLimitExceeded.IPLimitExceeded
	ThrottleBusiness  = "business"   // FailedOperation.RequestLimitExceeded
	ThrottleQuery     = "query"      // OperationDenied.OutQueryLimit
	ThrottleQuota     = "quota"      // LimitExceeded.CallTimes
)

// The variants of Wording. The empty one is both.
const (
	WordingASCII = "ascii" // an ASCII comma for the full-width one
	WordingCase  = "case"  // Latin letters in upper case
)

// Fault is a way to misbehave and the calls that meet it. In JSON its fields are
// lowerCamel, durations are Go durations ("1.5s"), and only Kind is required.
type Fault struct {
	ID   int  `json:"id"` // given by Inject
	Kind Kind `json:"kind"`

	// Which calls; an empty field is any.
	Action     string `json:"action,omitempty"`
	Product    string `json:"product,omitempty"`    // ess or essbasic
	Tenant     string `json:"tenant,omitempty"`     // an operator's, organisation's or application's id in the call
	Credential string `json:"credential,omitempty"` // a SecretId

	Ratio float64 `json:"ratio,omitempty"` // share of those calls, up to 1; 0 is all
	Count int     `json:"count,omitempty"` // how many more; 0 is until cleared

	// What happens; each kind names those it uses.
	Delay    time.Duration `json:"-"`                // "delay": any kind answers this much later; a hang ends in a reset
	Offset   time.Duration `json:"-"`                // "offset": Clock
	Commit   bool          `json:"commit,omitempty"` // Status, WAF, Redirect, Code, Throttle: work first
	Status   int           `json:"status,omitempty"`
	Code     string        `json:"code,omitempty"`
	Message  string        `json:"message,omitempty"`
	Variant  string        `json:"variant,omitempty"`
	Location string        `json:"location,omitempty"`
	// SecretKey is the key after a rotation. Control answers never show it.
	SecretKey string `json:"secretKey,omitempty"`
	Seed      uint64 `json:"seed,omitempty"`  // Hostile
	Kinds     []Kind `json:"kinds,omitempty"` // Hostile: those to draw from; empty is all
}

// plainFault is Fault without its methods; wireFault adds the durations as text.
type (
	plainFault Fault
	wireFault  struct {
		*plainFault
		Delay  string `json:"delay,omitempty"`
		Offset string `json:"offset,omitempty"`
	}
)

// MarshalJSON writes durations as text and leaves the secret key out.
func (f Fault) MarshalJSON() ([]byte, error) {
	f.SecretKey = ""
	w := wireFault{plainFault: (*plainFault)(&f)}
	if f.Delay != 0 {
		w.Delay = f.Delay.String()
	}
	if f.Offset != 0 {
		w.Offset = f.Offset.String()
	}
	return json.Marshal(w)
}

// UnmarshalJSON refuses unknown fields, naming them.
func (f *Fault) UnmarshalJSON(b []byte) error {
	w := wireFault{plainFault: (*plainFault)(f)}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("%s: must be a %s, got %s", strings.TrimPrefix(t.Field, "plainFault."), t.Type, t.Value)
		}
		return err
	}
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{{"delay", w.Delay, &f.Delay}, {"offset", w.Offset, &f.Offset}} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil {
			return fmt.Errorf("%s: must be a duration such as 1.5s, got %q", d.name, d.text)
		}
		*d.to = v
	}
	return nil
}

// Validate names the first field that makes no sense for the fault's kind.
func (f Fault) Validate() error {
	t, ok := traits[f.Kind]
	if !ok {
		return fmt.Errorf("kind: must be one of %v or %s, got %q", Kinds(), Hostile, f.Kind)
	}
	if _, ok := actions[f.Action]; f.Action != "" && !ok {
		return fmt.Errorf("action: the simulator has no %q", f.Action)
	}
	if f.Product != "" && f.Product != productESS && f.Product != productBasic {
		return fmt.Errorf("product: must be %s or %s, got %q", productESS, productBasic, f.Product)
	}
	if !(f.Ratio >= 0 && f.Ratio <= 1) {
		return fmt.Errorf("ratio: must be more than 0 and at most 1, got %v", f.Ratio)
	}
	if f.Count < 0 {
		return fmt.Errorf("count: must be 0 (until cleared) or more, got %d", f.Count)
	}
	if f.Delay < 0 {
		return fmt.Errorf("delay: must not be negative, got %s", f.Delay)
	}
	for _, k := range f.Kinds {
		if _, ok := traits[k]; !ok || k == Hostile {
			return fmt.Errorf("kinds: must be among %v, got %q", Kinds(), k)
		}
	}
	if t.check != nil {
		return t.check(f)
	}
	return nil
}
