package natsconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Metrics of the connection.
const (
	metricViolations    = "nats.permission_violations"
	metricSlowConsumers = "nats.slow_consumers"
	metricReconnects    = "nats.reconnects"
)

// handlers is told what happens to the connection after it was made. The client
// calls them one at a time.
type handlers struct {
	log        *slog.Logger
	denied     func(*DeniedError) // may be nil
	violations metric.Int64Counter
	slow       metric.Int64Counter
	reconnects metric.Int64Counter
}

func newHandlers(opts Options) (*handlers, error) {
	h := &handlers{log: opts.Log, denied: opts.Denied}
	for _, c := range []struct {
		counter    *metric.Int64Counter
		name, help string
	}{
		{&h.violations, metricViolations, "Publishes and subscriptions the NATS server denied."},
		{&h.slow, metricSlowConsumers, "Times messages were dropped because a subscription did not keep up."},
		{&h.reconnects, metricReconnects, "Times the connection to NATS was lost and made again."},
	} {
		var err error
		if *c.counter, err = opts.Meter.Int64Counter(c.name, metric.WithDescription(c.help)); err != nil {
			return nil, fmt.Errorf("metric %s: %w", c.name, err)
		}
	}
	return h, nil
}

// failed is called for what no caller waits for. A denied publish is one: its
// caller sees a timeout at best, so this line is what tells an operator.
func (h *handlers) failed(nc *nats.Conn, sub *nats.Subscription, err error) {
	ctx := context.Background()
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		operation, subject := violation(err.Error())
		h.violations.Add(ctx, 1, metric.WithAttributes(attribute.String("operation", operation)))
		h.log.ErrorContext(ctx, "denied by the NATS server: grant the user this subject",
			"operation", operation, "subject", subject)
		if h.denied != nil {
			h.denied(&DeniedError{Operation: operation, Subject: subject, User: nc.Opts.User})
		}
	case errors.Is(err, nats.ErrSlowConsumer):
		h.slow.Add(ctx, 1)
		h.log.WarnContext(ctx, "messages dropped: a subscription does not keep up", "subject", subjectOf(sub))
	default:
		h.log.ErrorContext(ctx, "NATS", "error", err, "subject", subjectOf(sub))
	}
}

func (h *handlers) disconnected(_ *nats.Conn, err error) {
	if err != nil { // nil when we closed it
		h.log.Warn("disconnected from NATS", "error", err)
	}
}

func (h *handlers) reconnected(nc *nats.Conn) {
	h.reconnects.Add(context.Background(), 1)
	h.log.Info("reconnected to NATS", "url", redact(nc.ConnectedUrl()), "server", nc.ConnectedServerName())
}

func (h *handlers) closed(nc *nats.Conn) {
	if err := nc.LastError(); err != nil {
		h.log.Debug("connection to NATS closed", "last_error", err)
	}
}

func (h *handlers) lameDuck(nc *nats.Conn) {
	h.log.Info("the NATS server is about to stop: moving to another", "server", nc.ConnectedServerName())
}

func subjectOf(sub *nats.Subscription) string {
	if sub == nil {
		return ""
	}
	return sub.Subject
}

// violation reads the server's text: Permissions Violation for Publish to "x",
// and the same with Subscription.
func violation(text string) (operation, subject string) {
	operation = "publish"
	if strings.Contains(strings.ToLower(text), "subscription to") {
		operation = "subscribe"
	}
	_, rest, _ := strings.Cut(text, `"`)
	subject, _, _ = strings.Cut(rest, `"`)
	return operation, subject
}
