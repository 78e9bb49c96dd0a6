// Package essapi makes one signed call to the vendor and says what came of it.
//
// Its one rule: one attempt is one signed request. Nothing is retried, no
// redirect is followed and no answer is believed that does not hold what its
// action must give. An error is a [fault.Error], or wraps one, and its text is
// the vendor's masked message or our own words: never a body, a link or a
// person's data. That the vendor refuses because all is already as wanted is a
// success.
//
// The two cases in which the vendor's documentation suggests to sign again at
// once stay attempts of their own, too: if credential files changed under a
// refused call, or the machine stood still between signing and sending, the
// fault is Transient instead of Misconfigured, and the next attempt, paced and
// counted like any other, is signed afresh.
package essapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"essworker/internal/fault"
	"essworker/internal/http1"
	"essworker/internal/mask"
)

const (
	contentType = "application/json; charset=utf-8"
	clientName  = "essworker"
)

// Options are what a Client gets from the program around it, not from its settings.
type Options struct {
	// Transport sends the requests; nil is a pooled transport of the Client's own.
	Transport http.RoundTripper
	// Concurrency is the number of calls in flight at most, over all actions. It
	// sizes the connection pool; 0 is 100.
	Concurrency int
	// Meter takes the Client's metrics; nil is none.
	Meter metric.Meter
	// Log says when a credential is replaced, or its files cannot be used; nil is nobody.
	Log *slog.Logger
}

// Client calls the vendor. It is safe for concurrent use; close it when done.
type Client struct {
	transport         http.RoundTripper
	timeout           time.Duration
	metrics           *metrics
	bind, grant, link action
	buffers           sync.Pool // of *bytes.Buffer, for answers
	encoders          sync.Pool // of *encoder, for requests
}

// New makes a Client. It validates cfg and reads the credential files, so that a
// wrong setting shows at start; it calls nobody. Files that cannot be read later
// leave the last good credential in force.
func New(cfg Config, o Options) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	meter := o.Meter
	if meter == nil {
		meter = noop.NewMeterProvider().Meter(scope)
	}
	m, err := newMetrics(meter)
	if err != nil {
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	shared, err := newKeyring(cfg.shared(), m.reloads, log)
	if err != nil {
		return nil, err
	}
	own := shared
	if s := cfg.basic(); s.given() {
		if own, err = newKeyring(s, m.reloads, log); err != nil {
			return nil, err
		}
	}
	ess, err := newProduct("--ess-endpoint", cfg.Endpoint, cfg.AllowHTTP, essService, essVersion, shared)
	if err != nil {
		return nil, err
	}
	essbasic, err := newProduct("--essbasic-endpoint", cfg.BasicEndpoint, cfg.AllowHTTP, basicService, basicVersion, own)
	if err != nil {
		return nil, err
	}
	c := &Client{
		transport: o.Transport,
		timeout:   cfg.Timeout,
		metrics:   m,
		bind:      ess.action(actionBind, "bind employee"),
		grant:     essbasic.action(actionGrant, "grant seal"),
		link:      ess.action(actionLink, "create seal link"),
		encoders:  sync.Pool{New: newEncoder},
	}
	if c.transport == nil {
		n := o.Concurrency
		if n <= 0 {
			n = 100
		}
		c.transport = http1.New(newTransport(n))
	}
	return c, nil
}

// Close closes idle connections. Calls in flight go on; no call may follow.
func (c *Client) Close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// call makes one call: in is the request's body, out takes the answer, personal
// are the values of the request that no text may repeat.
func (c *Client) call(ctx context.Context, a *action, in any, out answer, personal ...string) (reply, error) {
	ctx, span := a.start(ctx)
	defer span.End()
	start := time.Now()
	r, err := c.attempt(ctx, a, in, out, personal)
	c.metrics.request(ctx, a, time.Since(start), r, err)
	record(span, r, err)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", a.sub, err)
	}
	return r, nil
}

// reply is what became of an attempt, besides its output.
type reply struct {
	status    int    // of HTTP; 0 if nothing came back
	requestID string // fit to be shown; empty if there was none
	already   bool   // refused because it is so already: a success without output
}

func (c *Client) attempt(ctx context.Context, a *action, in any, out answer, personal []string) (reply, error) {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	now := time.Now()
	cred := a.product.keys.get(ctx, now)
	req, err := c.request(keepPace(callCtx), a, in, cred, now)
	if err != nil {
		return reply{}, err
	}
	// Not an http.Client: all it would add is redirects and cookies.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return reply{}, c.unanswered(ctx, callCtx, a, err)
	}
	if resp.Body == nil { // a round-tripper of a test's may leave it out
		resp.Body = http.NoBody
	}
	defer resp.Body.Close()
	r := reply{status: resp.StatusCode}
	if resp.StatusCode != http.StatusOK {
		return r, byStatus(a, resp)
	}
	if err := c.readAnswer(resp.Body, out); err != nil {
		return r, c.unanswered(ctx, callCtx, a, err)
	}
	r.requestID = requestID(out.common().RequestID, personal)

	f := c.judge(ctx, a, out, personal)
	if f == nil {
		r.already = out.common().Error.there
		return r, nil
	}
	f.RequestID = r.requestID
	if f.Kind == fault.Misconfigured && f.Scope == fault.Credential {
		c.reconsider(ctx, a, f, cred, resp.Header.Get("Date"))
	}
	return r, f
}

// judge makes the fault of an answer; nil if the action is done, by this call or
// before it.
func (c *Client) judge(ctx context.Context, a *action, out answer, personal []string) *fault.Error {
	e := out.common().Error
	if !e.there {
		if code := out.missing(); code != "" {
			return ours(a, code, "the answer has no error and does not say that it is done", nil)
		}
		return nil
	}
	code := vendorCode(e.code)
	if code == "" {
		return ours(a, codeNoCode, vendorText(e.message, personal), nil)
	}
	v := classify(a.name, code, e.message[:min(len(e.message), maxVendorText)])
	if v.unlisted {
		code = shownCode(code, personal)
	}
	c.metrics.count(ctx, a.name, code, v)
	if v.done {
		return nil
	}
	return v.fault(code, vendorText(e.message, personal), nil)
}

const (
	// tolerance is how far the vendor lets a request's time be off, by its documentation.
	tolerance = 5 * time.Minute
	// again is the wait before an attempt with a new credential or signature.
	again = time.Second
)

// reconsider looks twice at a refused credential before it holds every lane: the
// credential may have a successor by now, or the request was signed long before
// it was sent. For a wrong clock it says how wrong.
func (c *Client) reconsider(ctx context.Context, a *action, f *fault.Error, used *credential, date string) {
	now := time.Now()
	if a.product.keys.replaced(ctx, used, now) {
		f.Kind, f.Scope, f.RetryAfter = fault.Transient, "", again
		note(f, "the credential was replaced meanwhile")
		return
	}
	vendor, err := http.ParseTime(date)
	if f.Code != codeExpired || err != nil {
		return
	}
	ahead := now.Sub(vendor).Round(time.Second)
	if ahead.Abs() < tolerance {
		f.Kind, f.Scope, f.Tries, f.RetryAfter = fault.Transient, "", 3, again
	}
	note(f, skew(ahead))
}

// note adds to a fault's message words of ours that must not be cut off.
func note(f *fault.Error, text string) {
	if f.Message != "" {
		text = mask.Cut(f.Message, maxMessage-len("; ")-len(text)) + "; " + text
	}
	f.Message = text
}

// skew says how far our clock is ahead of the vendor's.
func skew(ahead time.Duration) string {
	if ahead < 0 {
		return "our clock is " + (-ahead).String() + " behind the vendor's"
	}
	return "our clock is " + ahead.String() + " ahead of the vendor's"
}

// request makes the signed request. Its body is compact, with properties in the
// order of their structs and & as it is: the same input gives the same bytes.
func (c *Client) request(ctx context.Context, a *action, in any, cred *credential, now time.Time) (*http.Request, error) {
	enc := c.encoders.Get().(*encoder)
	defer c.encoders.Put(enc)
	body, err := enc.encode(in)
	if err != nil { // requests are structs of strings: it would be our bug
		return nil, fault.Errorf(fault.Invalid, "RequestNotJSON", "%T", err)
	}
	p, unix := a.product, now.Unix()
	names := [...]string{"X-Tc-Timestamp", "Authorization", "X-Tc-Token"}
	values := []string{strconv.FormatInt(unix, 10), p.signer.authorization(cred, signable{
		host: p.endpoint.Host, contentType: contentType, action: a.name, body: body,
	}, unix), cred.token}
	if cred.token == "" {
		values = values[:2]
	}
	header := make(http.Header, len(a.header)+len(values))
	maps.Copy(header, a.header) // the values are shared: whoever sends a request must not change them
	for i := range values {
		header[names[i]] = values[i : i+1 : i+1]
	}
	req := a.template.WithContext(ctx)
	req.Header = header
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { // for a pooled connection found closed before a byte was sent
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	return req, nil
}

// encoder writes request bodies, one after the other.
type encoder struct {
	buf  bytes.Buffer
	json *json.Encoder
}

func newEncoder() any {
	e := new(encoder)
	e.json = json.NewEncoder(&e.buf)
	e.json.SetEscapeHTML(false)
	return e
}

func (e *encoder) encode(in any) ([]byte, error) {
	e.buf.Reset()
	if err := e.json.Encode(in); err != nil {
		return nil, err
	}
	return bytes.Clone(bytes.TrimSuffix(e.buf.Bytes(), []byte("\n"))), nil
}
