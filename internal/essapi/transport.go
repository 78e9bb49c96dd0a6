package essapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"

	"essworker/internal/fault"
	"essworker/internal/mask"
	"essworker/internal/pace"
)

// Codes of failures without an answer of the vendor's. Those of an HTTP status
// are HTTP and the three digits.
const (
	codeTimeout     = "Timeout"            // no answer within Config.Timeout; the outcome is unknown
	codeUnreachable = "Unreachable"        // no connection: nothing was sent
	codeBroken      = "ConnectionBroken"   // no whole answer; the outcome is unknown
	codeCertificate = "CertificateInvalid" // the endpoint is not who it should be
	codeNotTLS      = "NotTLS"             // the endpoint's scheme is https and the server's is not
	codeNotJSON     = "AnswerNotJSON"      // status 200, but no envelope
	codeTooLarge    = "AnswerTooLarge"     // status 200, but more than maxAnswer
	codeIncomplete  = "AnswerIncomplete"   // neither an Error nor the action's output
	codeNoCode      = "AnswerWithoutCode"  // an Error without a code
	codeNotBound    = "NotBound"           // no Error, but a Status other than 1
)

// codeExpired is the vendor's code for a request signed too long ago, by its clock.
const codeExpired = "AuthFailure.SignatureExpire"

const (
	// maxRetryAfter caps what an answer may ask us to wait.
	maxRetryAfter = 5 * time.Minute
	// maxDrained is what is read of an answer nobody looks at, to keep its connection.
	maxDrained = 64 << 10
	// idle is shorter than servers and gateways usually keep a connection, so that
	// a call seldom meets one the other side has just closed.
	idle = 30 * time.Second
)

// newTransport makes a transport of our own: [http.DefaultTransport] keeps two
// idle connections per host, which under load means a TLS handshake per call.
func newTransport(concurrency int) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        idle,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
		// All calls may share one HTTP/2 connection: ask whether it still lives.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// unanswered says what a call without a whole answer came to. ctx is the
// caller's, callCtx the same with the time limit of one call.
func (c *Client) unanswered(ctx, callCtx context.Context, a *action, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	switch {
	case callCtx.Err() != nil:
		return ours(a, codeTimeout, "no answer within "+c.timeout.String(), nil)
	case errors.Is(err, errNotJSON):
		return ours(a, codeNotJSON, "the answer is not a JSON object of the expected shape", nil)
	case errors.Is(err, errTooLarge):
		return ours(a, codeTooLarge, "the answer is longer than 2 MiB", nil)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return ours(a, codeCertificate, "", quiet{err})
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(e.RecordHeader[:]) == "HTTP/" {
		return ours(a, codeNotTLS, "the endpoint answers in plain http", nil)
	}
	if unconnected(err) {
		return ours(a, codeUnreachable, "", quiet{err})
	}
	return ours(a, codeBroken, "the connection ended before the whole answer", quiet{err})
}

// unconnected reports whether an error is from before a request is sent.
func unconnected(err error) bool {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Op == "dial" || e.Op == "proxyconnect" || e.Op == "socks connect"
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() // the TLS handshake's, which has no type of its own
}

// interrupted is the error of a call whose caller gave it up: no fault, since
// nothing is known against event or vendor.
func interrupted(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}

// ours makes the fault of a code from the part of the table that is our own.
func ours(a *action, code, message string, cause error) *fault.Error {
	return classify(a.name, code, "").fault(code, message, cause)
}

// fault makes the fault of a verdict.
func (v verdict) fault(code, message string, cause error) *fault.Error {
	return &fault.Error{
		Kind: v.kind, Scope: v.scope, Tries: v.tries, RetryAfter: v.after,
		Code: code, Message: mask.Cut(message, maxMessage), Err: cause,
	}
}

// byStatus says what an answer of another status than 200 came to. The vendor
// answers 200 whenever it processed a request, so its body is none of the
// vendor's and not looked at.
func byStatus(a *action, resp *http.Response) *fault.Error {
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrained) // for the connection's sake only
	text := http.StatusText(resp.StatusCode)
	if text == "" {
		text = "a status without a name"
	}
	f := ours(a, "HTTP"+strconv.Itoa(resp.StatusCode), text, nil)
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		f.RetryAfter = max(f.RetryAfter, retryAfter(resp.Header.Get("Retry-After"), time.Now()))
	}
	return f
}

// retryAfter reads a Retry-After header, seconds or a date; 0 is none.
func retryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// quiet keeps a cause for [errors.Is] and shows its text only where it is known
// to be the system's: net/http quotes what a broken server sent, which may be
// anything, a person's data included.
type quiet struct{ err error }

func (q quiet) Unwrap() error { return q.err }

func (q quiet) Error() string {
	if text := systemText(q.err); text != "" {
		return mask.Cut(mask.Text(text), maxMessage)
	}
	err := q.err
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

func systemText(err error) string {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e.Error()
	}
	for _, known := range []error{io.ErrUnexpectedEOF, io.EOF, net.ErrClosed} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return e.Error()
	}
	return ""
}

// keepPace makes a call that had to dial ask for another slot of the quota before its
// request is written: the one it has is long past.
func keepPace(ctx context.Context) context.Context {
	if !pace.Paced(ctx) {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(conn httptrace.GotConnInfo) {
		if !conn.Reused {
			_ = pace.Again(ctx) // it fails when ctx has ended, and so does the call
		}
	}})
}
