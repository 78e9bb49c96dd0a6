package esssim

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxBody is what the vendor accepts with signature v3; maxRead is where the
// simulator stops listening.
const (
	maxBody = 10 << 20
	maxRead = 8 * maxBody
)

// payload is a body and its hash.
type payload struct {
	bytes    []byte
	sum      [sha256.Size]byte
	tooLarge bool // bytes is only its beginning
}

// readPayload reads a body. Of one that is too large it keeps the hash, since
// the signature is checked before the size.
func readPayload(r io.Reader) (payload, error) {
	if r == nil {
		return payload{sum: sha256.Sum256(nil)}, nil
	}
	b, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return payload{}, err
	}
	if len(b) <= maxBody {
		return payload{bytes: b, sum: sha256.Sum256(b)}, nil
	}
	p := payload{bytes: b, tooLarge: true}
	h := sha256.New()
	h.Write(b)
	if _, err := io.Copy(h, io.LimitReader(r, maxRead)); err != nil {
		return payload{}, err
	}
	h.Sum(p.sum[:0])
	return p, nil
}

// object decodes the body, nil if it is not a JSON object.
func (p payload) object() map[string]any {
	if p.tooLarge {
		return nil
	}
	var v any
	if json.Unmarshal(p.bytes, &v) != nil {
		return nil
	}
	m, _ := v.(map[string]any)
	return m
}

// reply is what goes back. Status 0 is a connection reset.
type reply struct {
	status int
	header http.Header
	body   []byte
	cut    bool          // send half of the body, then close
	gzip   bool          // compress it
	over   time.Duration // spread it over this time

	outcome string  // for the record: "ok", the code answered, or empty if nothing was decided
	refused refusal // the Error inside, if any
}

// answer is an envelope around a success.
func (c *call) answer(fields any) reply {
	return envelope(fields, "ok")
}

// refuse is an envelope around an Error.
func (c *call) refuse(r refusal) reply {
	type vendorError struct{ Code, Message string }
	rep := envelope(struct {
		Error     vendorError
		RequestID string `json:"RequestId"`
	}{vendorError{r.code, r.message}, c.requestID}, r.code)
	rep.header.Set("Date", c.now.UTC().Format(http.TimeFormat)) // by which a caller finds its own clock wrong
	rep.refused = r
	return rep
}

// envelope encodes a processed call's answer, as always with status 200.
func envelope(response any, outcome string) reply {
	return asJSON(http.StatusOK, struct{ Response any }{response}, outcome)
}

// asJSON encodes without escaping &: the vendor's links have it plain.
func asJSON(status int, v any, outcome string) reply {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return page(http.StatusInternalServerError, err.Error()) // of our own types: cannot happen
	}
	return reply{
		status:  status,
		header:  http.Header{"Content-Type": {"application/json"}},
		body:    bytes.TrimSuffix(b.Bytes(), []byte("\n")),
		outcome: outcome,
	}
}

// page is what stands in front of the vendor speaking: HTML.
func page(status int, outcome string) reply {
	title := fmt.Sprintf("%d %s", status, cmp.Or(http.StatusText(status), "Unknown"))
	return reply{
		status:  status,
		header:  http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		body:    []byte("<html>\n<head><title>" + title + "</title></head>\n<body><center><h1>" + title + "</h1></center><hr><center>esssim</center></body>\n</html>\n"),
		outcome: outcome,
	}
}

// handle answers one request, whichever way it came. The error says that there
// is nobody left to answer.
func (s *Sim) handle(r *http.Request, host string) (reply, error) {
	if strings.HasPrefix(r.URL.Path, "/sim/") {
		return s.control(r), nil
	}
	if r.URL.Path != "/" && r.URL.Path != "" {
		return page(http.StatusNotFound, ""), nil
	}
	body, err := readPayload(r.Body)
	if err != nil {
		return reply{}, err
	}
	return s.vendor(r.Context(), newCall(r, host, body))
}

// vendor takes a call through the gateway, and to the business behind it unless
// a fault keeps it away.
func (s *Sim) vendor(ctx context.Context, c *call) (reply, error) {
	refused, met := s.gateway(c)
	var rep reply
	var err error
	switch {
	case refused != (refusal{}):
		rep = c.refuse(refused)
	case met.Kind == "":
		rep = s.work(c)
	default:
		rep, err = s.misbehave(ctx, c, met)
	}
	s.settle(c, rep)
	return rep, err
}

// misbehave answers a call that meets a fault.
func (s *Sim) misbehave(ctx context.Context, c *call, f Fault) (reply, error) {
	t := traits[f.Kind]
	var honest reply
	if t.works == always || (t.works == onCommit && f.Commit) {
		honest = s.work(c)
	}
	var err error
	switch {
	case t.hold && f.Delay == 0:
		<-ctx.Done()
		err = ctx.Err()
	case !t.paced:
		err = sleep(ctx, f.Delay)
	}
	if err != nil {
		return reply{outcome: honest.outcome}, err
	}
	return t.spoil(c, f, honest), nil
}

// sleep waits, or returns early with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// packed is the body as it goes over the wire.
func (r reply) packed() []byte {
	if !r.gzip {
		return r.body
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(r.body) // a bytes.Buffer takes everything
	_ = z.Close()
	return b.Bytes()
}
