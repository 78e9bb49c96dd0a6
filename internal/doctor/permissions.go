package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// message is the try of a need. One that would be stored is refused for the stream it
// expects, which the server checks before anything else; and it is sent as the trace of
// a message, so that nobody who listens without a stream gets it either. The trace goes
// to void, a question without an asker, which the server drops.
func (n need) message(reply, void string) *nats.Msg {
	msg := &nats.Msg{Subject: n.tried, Reply: reply}
	switch n.how {
	case mute:
		msg.Reply, msg.Data = "", []byte(tail)
	case store:
		msg.Header = nats.Header{
			jetstream.ExpectedStreamHeader: {"doctor-expects-to-be-refused"},
			"Nats-Trace-Dest":              {void},
			"Nats-Trace-Only":              {"true"},
		}
	case ask, listen:
	}
	return msg
}

// verb is what a user is to be allowed.
func (n need) verb() string {
	if n.how == listen {
		return "subscribe to"
	}
	return "publish to"
}

// permissions tries everything the worker needs to be allowed.
func (b *broker) permissions(ctx context.Context) (ok bool) {
	needs := b.needs()
	inbox, denied, err := b.tryAll(ctx, needs)
	if err != nil {
		b.tell.bad("permissions", "see whether the server takes no second connection of this user, or is overloaded", "could not be tried: %s", b.silence(err))
		return false
	}
	b.denied = denied
	if denied[inbox] {
		b.tell.bad("permissions", "allow the user to subscribe to "+strings.Split(inbox, ".")[0]+".>",
			"may not subscribe to %s: no answer of the server ever arrives", inbox)
		return false
	}
	grants := map[string][]string{} // by what is lost
	var losses []string
	for _, n := range needs {
		key := n.lost + ": may not " + n.verb() + " "
		switch {
		case !denied[n.tried] || n.lost == "" || slices.Contains(grants[key], n.grant):
			continue
		case grants[key] == nil:
			losses = append(losses, key)
		}
		grants[key] = append(grants[key], n.grant)
	}
	for _, lost := range losses {
		b.tell.bad("permissions", "allow it to the NATS user", "%s%s", lost, strings.Join(grants[lost], ", "))
	}
	if len(losses) == 0 {
		b.tell.ok("permissions", "all that the worker publishes and listens to is allowed")
	}
	return true
}

// tryAll tries every need, and gives the subjects that were denied; among them the
// inbox, if answers cannot be received.
func (b *broker) tryAll(ctx context.Context, needs []need) (inbox string, denied map[string]bool, err error) {
	var stores, others []need
	for _, n := range needs {
		if n.how == store {
			stores = append(stores, n)
		} else {
			others = append(others, n)
		}
	}
	if inbox, denied, err = b.try(ctx, others, ""); err != nil {
		return "", nil, err
	}
	// The traces of what would be stored must go where this user may publish.
	void := slices.IndexFunc(others, func(n need) bool { return strings.HasPrefix(n.tried, directGet) && !denied[n.tried] })
	if void < 0 { // who may read nothing has not been given the right to write either
		for _, n := range stores {
			denied[n.tried] = true
		}
		return inbox, denied, nil
	}
	_, more, err := b.try(ctx, stores, others[void].tried)
	maps.Copy(denied, more)
	return inbox, denied, err
}

// try sends tries over a connection of its own: closing it says when the last denial
// has been heard. Traces of those that would be stored go to void.
func (b *broker) try(ctx context.Context, needs []need, void string) (inbox string, denied map[string]bool, err error) {
	ctx, cancel := b.patient(ctx)
	defer cancel()
	nc, err := b.Connect(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("connect once more: %w", err)
	}
	defer nc.Close()
	denied = map[string]bool{}
	closed := make(chan struct{})
	// The client calls both from one goroutine, in the order of what happened.
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if subject := violated(err); subject != "" {
			denied[subject] = true
		}
	})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	inbox = nc.NewInbox()
	if _, err := nc.SubscribeSync(inbox); err != nil { // where answers go unread
		return "", nil, fmt.Errorf("subscribe: %w", err)
	}
	for _, n := range needs {
		if n.how == listen {
			_, err = nc.SubscribeSync(n.tried)
		} else {
			err = nc.PublishMsg(n.message(inbox, void))
		}
		if err != nil {
			return "", nil, fmt.Errorf("try %q: %w", n.tried, err)
		}
	}
	if err := nc.FlushWithContext(ctx); err != nil { // what is denied is denied before the answer to this
		return "", nil, err
	}
	nc.Close()
	select {
	case <-closed:
		return inbox, denied, nil
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	}
}

var quoted = regexp.MustCompile(`"([^"]*)"`)

// violated gives the subject that an error of the connection says was denied.
func violated(err error) string {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return ""
	}
	found := quoted.FindStringSubmatch(err.Error())
	if found == nil {
		return ""
	}
	return found[1]
}
