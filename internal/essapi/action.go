package essapi

import (
	"net/http"
	"net/url"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// product is one of the vendor's products: a host, a version and a credential.
// Types of one name differ between products, so each has a file of its own.
type product struct {
	endpoint *url.URL
	version  string
	keys     *keyring
	signer   *signer
}

func newProduct(flag, endpoint string, allowHTTP bool, service, version string, keys *keyring) (*product, error) {
	u, err := parseEndpoint(flag, endpoint, allowHTTP)
	if err != nil {
		return nil, err
	}
	return &product{endpoint: u, version: version, keys: keys, signer: &signer{service: service}}, nil
}

// action is one of a product's actions, with all that is the same in each call.
type action struct {
	name     string // the vendor's
	sub      string // the sub-operation an error is wrapped with
	product  *product
	template *http.Request
	header   http.Header // what of the head is the same in each call
	spanName string
	span     []trace.SpanStartOption
	attrs    []attribute.KeyValue // of its requests
}

func (p *product) action(name, sub string) action {
	attrs := attributes(p.endpoint, name)
	return action{
		name: name, sub: sub, product: p,
		template: &http.Request{
			Method: http.MethodPost, URL: p.endpoint, Host: p.endpoint.Host,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		},
		// Names are as net/http spells them, which spares it the work; HTTP does not mind.
		header: http.Header{
			"Content-Type":       {contentType},
			"User-Agent":         {clientName},
			"X-Tc-Action":        {name},
			"X-Tc-Version":       {p.version},
			"X-Tc-Language":      {"zh-CN"}, // the texts we know are Chinese
			"X-Tc-Requestclient": {clientName},
		},
		spanName: http.MethodPost + " " + name,
		span: []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(attrs...), trace.WithAttributes(semconv.URLFull(p.endpoint.String())),
		},
		attrs: attrs,
	}
}
