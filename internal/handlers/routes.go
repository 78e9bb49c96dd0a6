// Package handlers turns each event type into one vendor call.
//
// A handler is one file: the event's data, the result's data, and one function
// between them. Handlers know nothing of retries, acknowledgements, logs or
// metrics, and never look at a fault's kind: an if on a kind here would mean that
// the classification in package essapi is wrong.
package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/event"
	"essworker/internal/fault"
)

// Defaults fill in what an event leaves out.
type Defaults struct {
	Operator string `name:"ess-operator-user-id" env:"ESS_OPERATOR_USER_ID" help:"Platform user id that acts when an event names no operatorUserId." placeholder:"ID"`
	AppID    string `name:"ess-app-id" env:"ESS_APP_ID" help:"Application id used when an event's agent names no appId." placeholder:"ID"`
}

// Routes is the product: what comes in, what is called, what goes out. The api
// may be nil where no call is made, such as checking data before publishing it.
func Routes(api *essapi.Client, d Defaults) []event.Route {
	h := handlers{api, d}
	return []event.Route{
		route("employee.onboarded", "employee.bound", "employee.bind.failed", ess, "BindEmployeeUserIdWithClientOpenId", h.bindEmployee),
		route("seal.grant.requested", "seal.granted", "seal.grant.failed", essbasic, "ChannelCreateSealPolicy", h.grantSeal),
		route("autosign.link.requested", "autosign.link.created", "autosign.link.failed", ess, "CreateUserAutoSignSealUrl", h.createLink),
	}
}

// Types lists the event types, in the order of Routes.
func Types() []string {
	var types []string
	for _, r := range Routes(nil, Defaults{}) {
		types = append(types, r.Type)
	}
	return types
}

// The vendor's two products: each has its own host and may have its own key.
const (
	ess      = "ess"
	essbasic = "essbasic"
)

type handlers struct {
	api      *essapi.Client
	defaults Defaults
}

// A handler reads its event's data into a request: what the result is about,
// whose fault a tenant's fault is, and the call itself.
type request[Out any] struct {
	subject string
	tenant  string
	expires time.Time // when the call is of no use any more; zero is never
	call    func(context.Context) (Out, error)
}

// route joins a handler to its names: decode, prepare, and later call and encode.
func route[In, Out any](typ, success, failure, product, action string, handle func(In) (request[Out], error)) event.Route {
	prepare := func(data []byte) (event.Job, error) {
		var in In
		if err := json.Unmarshal(data, &in); err != nil {
			// The schema has passed, so this is a schema that allows what the struct does not.
			return event.Job{}, fault.Errorf(fault.Invalid, "SchemaViolation", "the data does not fit %T", in)
		}
		req, err := handle(in)
		job := event.Job{Subject: req.subject, Tenant: product + ":" + req.tenant, Expires: req.expires}
		if err != nil {
			return job, err
		}
		job.Call = func(ctx context.Context) ([]byte, error) {
			out, err := req.call(ctx)
			if err != nil {
				return nil, err
			}
			return encode(out)
		}
		return job, nil
	}
	return event.Route{Type: typ, Success: success, Failure: failure, Product: product, Action: action, Prepare: prepare}
}

// encode writes JSON with & as &: subscribers that treat a link as text would
// trip over \u0026.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// missing is the fault of a deployment that relies on a default nobody set. It
// holds only the events that need the default: those that name their own go on.
func missing(what, variable string) error {
	return &fault.Error{
		Kind: fault.Misconfigured, Scope: fault.Tenant, Code: "NoDefault",
		Message: fmt.Sprintf("the event names no %s and %s is not set", what, variable),
	}
}
