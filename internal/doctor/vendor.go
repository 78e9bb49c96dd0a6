package doctor

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/fault"
)

// Vendor is how the vendor is asked.
type Vendor struct {
	Config   essapi.Config
	Operator string // the defaults of events that name none
	AppID    string
}

// vendor asks each action of the routes once, product by product.
func (d Doctor) vendor(ctx context.Context, t tell) {
	v := *d.Vendor
	if err := v.Config.Validate(); err != nil {
		for _, err := range parts(err) {
			t.bad("vendor settings", "`worker config` shows what is in force and where it comes from", "%v", err)
		}
		return
	}
	v.Config.Timeout = min(v.Config.Timeout, d.Patience)
	heard := &hearing{base: transport(d.Patience), answers: map[string]heardAnswer{}}
	api, err := essapi.New(v.Config, essapi.Options{Transport: heard})
	if err != nil {
		t.bad("vendor settings", "mend the file, or name another", "%v", err)
		return
	}
	defer api.Close()
	v.defaults(t)
	var products []*product
	for _, r := range d.Routes {
		i := slices.IndexFunc(products, func(p *product) bool { return p.name == r.Product })
		if i < 0 {
			i = len(products)
			products = append(products, &product{name: r.Product, vendor: v, api: api, heard: heard})
		}
		products[i].actions = append(products[i].actions, r.Action)
	}
	var asked sync.WaitGroup
	for _, p := range products {
		asked.Go(func() { p.ask(ctx) })
	}
	asked.Wait()
	for _, p := range products {
		for _, f := range p.findings {
			t(f)
		}
	}
}

// defaults tells which of them are missing.
func (v Vendor) defaults(t tell) {
	var missing []string
	if v.Operator == "" {
		missing = append(missing, "ESS_OPERATOR_USER_ID")
	}
	if v.AppID == "" {
		missing = append(missing, "ESS_APP_ID")
	}
	if len(missing) > 0 {
		t.warn("defaults", "set it, unless every event names its own", "%s not set: events that rely on it wait", strings.Join(missing, " and "))
		return
	}
	t.ok("defaults", "ESS_OPERATOR_USER_ID and ESS_APP_ID are set")
}

// product is one of the vendor's hosts, with the credential it is called with.
type product struct {
	name     string
	actions  []string
	vendor   Vendor
	api      *essapi.Client
	heard    *hearing
	findings []Finding
}

// ask calls the product's actions one after the other, until there is no point in more.
func (p *product) ask(ctx context.Context) {
	t := tell(func(f Finding) { p.findings = append(p.findings, f) })
	var fine []string
	for i, action := range slices.Compact(p.actions) {
		err := p.call(ctx, action)
		switch p.judge(t, action, fault.Of(err), i == 0) {
		case useless:
			return
		case allowed:
			fine = append(fine, action)
		case spoken:
		}
	}
	if len(fine) > 0 {
		t.ok("actions "+p.name, "may be called: %s", strings.Join(fine, ", "))
	}
}

// call makes a call that the vendor checks the signature and the rights of, and can
// only refuse: it names nobody and nothing to act on. An action without one here is
// not called.
func (p *product) call(ctx context.Context, action string) (err error) {
	switch action {
	case "BindEmployeeUserIdWithClientOpenId":
		_, err = p.api.BindEmployee(ctx, essapi.BindEmployee{Operator: p.vendor.Operator})
	case "CreateUserAutoSignSealUrl":
		_, err = p.api.CreateSealLink(ctx, essapi.CreateSealLink{Operator: p.vendor.Operator})
	case "ChannelCreateSealPolicy":
		_, err = p.api.GrantSeal(ctx, essapi.GrantSeal{AppID: p.vendor.AppID})
	default:
		err = &fault.Error{Kind: fault.Permanent, Code: uncalled}
	}
	return err
}

// uncalled is our code for an action that has no harmless call.
const uncalled = "NotCalled"

// answered is what follows from an answer.
type answered int

const (
	allowed answered = iota // the action may be called
	spoken                  // something was said about it
	useless                 // the product's other actions would fare the same
)

// judge says what an answer tells about host, credential and action. The first call
// of a product speaks for the host and the credential.
func (p *product) judge(t tell, action string, f *fault.Error, first bool) answered {
	host, key, actions := "vendor "+p.name, "credential "+p.name, "actions "+p.name
	if f != nil && f.Code == uncalled {
		t.warn(actions, "its first event will tell", "%s was not asked: no harmless call of it is known", action)
		return spoken
	}
	if f != nil && f.RequestID == "" { // not the vendor's own answer
		say := t.bad
		if f.Kind == fault.Throttled || strings.HasPrefix(f.Code, "HTTP5") {
			say = t.warn // somebody is there
		}
		say(host, essapi.Mend(action, f.Code), "%s: %s", p.heard.of(action).where, f.Error())
		p.clock(t, action)
		return useless
	}
	if first {
		t.ok(host, "%s answers in %v", p.heard.of(action).where, brief(p.heard.of(action).took))
		p.clock(t, action)
	}
	credential := f != nil && (f.Scope == fault.Credential && f.Kind == fault.Misconfigured ||
		strings.HasPrefix(f.Code, "AuthFailure") && f.Scope != fault.Action)
	if credential {
		t.bad(key, essapi.Mend(action, f.Code), "%s", f.Error())
		return useless
	}
	if first {
		t.ok(key, "accepted")
	}
	switch {
	case f == nil:
		t.warn(actions, "report this: the call named nobody and had to be refused", "%s was answered as done", action)
	case f.Kind == fault.Misconfigured && f.Scope == fault.Action:
		t.bad(actions, essapi.Mend(action, f.Code), "%s: %s", action, f.Error())
	case f.Scope == fault.Tenant && p.relies(action):
		t.warn("defaults", essapi.Mend(action, f.Code), "%s, called with the default and without anything else, answers %s", action, f.Error())
	case f.Kind == fault.Permanent, f.Scope == fault.Tenant, strings.HasPrefix(f.Code, "FailedOperation") && f.Kind == fault.Transient:
		return allowed // refused for what it asks, which comes after who asks
	default: // it is throttled, or ill: that passes
		t.warn(actions, essapi.Mend(action, f.Code), "%s: %s", action, f.Error())
	}
	return spoken
}

// relies reports whether the call of an action named the default of its product.
func (p *product) relies(action string) bool {
	if action == "ChannelCreateSealPolicy" {
		return p.vendor.AppID != ""
	}
	return p.vendor.Operator != ""
}

// clock compares ours with the one in the answer's Date.
func (p *product) clock(t tell, action string) {
	a := p.heard.of(action)
	if a.date.IsZero() {
		return // nobody answered, or without a date
	}
	check, off := "clock "+p.name, ahead(a.at, a.date)
	switch found := against(off, "the vendor's"); {
	case off.Abs() >= clockRefused:
		t.bad(check, "set this machine's clock (NTP): the vendor refuses signatures that are five minutes off", "%s", found)
	case off.Abs() >= clockOff:
		t.warn(check, "set this machine's clock (NTP): beyond five minutes the vendor refuses every call", "%s", found)
	default:
		t.ok(check, "%s", found)
	}
}

// hearing is a transport that remembers of each action's answer what the client does
// not tell. It is safe for concurrent use.
type hearing struct {
	base http.RoundTripper

	mu      sync.Mutex
	answers map[string]heardAnswer // by action
}

type heardAnswer struct {
	where string        // scheme and host that were asked
	at    time.Time     // the middle of the call, by our clock
	date  time.Time     // by theirs; zero if there was none
	took  time.Duration // until the answer began
}

// RoundTrip implements http.RoundTripper.
func (h *hearing) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := h.base.RoundTrip(req)
	a := heardAnswer{where: req.URL.Scheme + "://" + req.URL.Host, took: time.Since(sent)}
	a.at = sent.Add(a.took / 2)
	if err == nil {
		if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			a.date = date.Add(time.Second / 2) // it has no fractions
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[req.Header.Get("X-TC-Action")] = a
	return resp, err
}

func (h *hearing) of(action string) heardAnswer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answers[action]
}

// CloseIdleConnections is for the client's Close.
func (h *hearing) CloseIdleConnections() {
	if t, ok := h.base.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// transport is the network, with no more patience than ours.
func transport(patience time.Duration) *http.Transport {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: patience, ForceAttemptHTTP2: true}
}
