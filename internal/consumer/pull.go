package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pullExpires is how long a request for events stands. A request cannot be taken
	// back, and an event sent to nobody comes again only after its ack wait; so a lane
	// that stops waits its requests out, and they are short.
	pullExpires = time.Second
	// pullQuiet is when requests are given up for lost: they must have ended long ago.
	pullQuiet = 3 * pullExpires
	// pullPause is the wait before asking again after the server refused.
	pullPause = 250 * time.Millisecond
)

// errGate says that the lane's gate has changed while it waited for an event.
var errGate = errors.New("the gate has changed")

// puller asks the lane's consumer for as many events as the lane wants, and never for
// more: what a slow worker does not hold, others can take. An event is in hand from the
// moment it is here.
//
// It speaks the pull protocol itself because the client library takes a published
// message with a Status header for a status of the server and drops it, and loses
// the events that arrive while a fetch is being cancelled. Here an event is what
// has a reply to acknowledge it with, and withdraw reads until the last one. Only
// the lane's own goroutine uses a puller.
type puller struct {
	nc      *nats.Conn
	subject string // of the consumer's requests
	room    int    // the most events ever asked for at once
	hand    *hand
	log     *slog.Logger

	sub       *nats.Subscription
	inbox     chan *nats.Msg
	connected chan nats.Status
	asked     int         // events asked for that have not come
	came      []*delivery // events nobody has wanted yet
	refused   error       // what the server said while nobody wanted one
	quiet     *time.Timer // runs out when nothing at all is heard
}

func newPuller(nc *nats.Conn, stream, consumer string, room int, h *hand, log *slog.Logger) *puller {
	return &puller{
		nc: nc, subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer, room: room, hand: h, log: log,
		connected: nc.StatusChanged(nats.CONNECTED), quiet: time.NewTimer(pullQuiet),
	}
}

// reserve puts a token into each of sems, and keeps the events that come meanwhile for
// next. It is false when ctx ends.
func (p *puller) reserve(ctx context.Context, sems ...chan struct{}) bool {
	for len(sems) > 0 {
		select {
		case sems[0] <- struct{}{}:
			sems = sems[1:]
		case msg := <-p.inbox:
			if err := p.take(msg); err != nil {
				p.refused = err
			}
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// next gives the next event. It has the server send as many as are wanted, and ahead
// of that as many before they are.
func (p *puller) next(ctx context.Context, want, ahead int, gate <-chan struct{}) (*delivery, error) {
	select {
	case <-p.connected: // while nobody listened; what is asked for now goes over the new connection
		p.reset()
	default:
	}
	for {
		if err := p.refused; err != nil {
			p.refused = nil
			return nil, err
		}
		if len(p.came) == 0 || ahead > 0 {
			if err := p.ask(want + ahead); err != nil {
				return nil, err
			}
		}
		if len(p.came) > 0 {
			d := p.came[0]
			p.came = slices.Delete(p.came, 0, 1)
			return d, nil
		}
		select {
		case msg := <-p.inbox:
			if err := p.take(msg); err != nil {
				return nil, err
			}
		case <-p.quiet.C:
			p.reset()
		case <-p.connected: // the requests went down with the old connection
			p.reset()
		case <-gate:
			return nil, errGate
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// take takes in what the server has sent: an event, or the status of a request.
func (p *puller) take(msg *nats.Msg) error {
	if !isEvent(msg) {
		return p.status(msg)
	}
	p.asked--
	d, err := newDelivery(msg)
	if err != nil {
		p.log.Error("what came is no event", "subject", p.subject, "why", err)
		return nil
	}
	p.hand.take(d)
	p.came = append(p.came, d)
	return nil
}

// ask tops the requests up once half of what is wanted is used up, so that a busy
// lane asks for many events at a time and an idle one asks once.
func (p *puller) ask(want int) error {
	have := p.asked + len(p.came)
	if have > want/2 {
		return nil
	}
	if p.sub == nil {
		// Room for every event asked for twice over, and for the statuses between them.
		p.inbox = make(chan *nats.Msg, 2*p.room+64)
		sub, err := p.nc.ChanSubscribe(p.nc.NewInbox(), p.inbox)
		if err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		p.sub = sub
	}
	body, err := json.Marshal(struct {
		Batch   int           `json:"batch"`
		Expires time.Duration `json:"expires"`
	}{want - have, pullExpires})
	if err != nil {
		return fmt.Errorf("encode pull request: %w", err)
	}
	if err := p.nc.PublishRequest(p.subject, p.sub.Subject, body); err != nil {
		return fmt.Errorf("ask for events: %w", err)
	}
	p.asked += want - have
	p.quiet.Reset(pullQuiet)
	return nil
}

// status reads what the server says about a request. Whatever is not an ordinary
// end of one makes the puller start over: then the count of events under way is
// right again, whatever has happened to it.
func (p *puller) status(msg *nats.Msg) error {
	switch code := msg.Header.Get("Status"); code {
	case "404", "408": // the request has ended
		if n, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages")); err == nil && n <= p.asked {
			p.asked -= n
			return nil
		}
		p.reset()
		return nil
	default:
		p.reset()
		return fmt.Errorf("the server refused to hand out events: %s %s", code, msg.Header.Get("Description"))
	}
}

// reset forgets requests that have gone wrong, but not the events that have come.
func (p *puller) reset() {
	if p.sub != nil {
		_ = p.sub.Unsubscribe() // it fails only on a closed connection
	}
	for more := true; more; {
		select {
		case msg := <-p.inbox:
			if isEvent(msg) {
				_ = p.take(msg) // only a status is an error
			}
		default:
			more = false
		}
	}
	p.sub, p.asked = nil, 0
	p.quiet.Reset(pullQuiet)
}

// withdraw waits for the end of every request and gives the events that nobody has wanted.
func (p *puller) withdraw() []*delivery {
	for p.asked > 0 {
		select {
		case msg := <-p.inbox:
			if p.take(msg) != nil {
				p.reset()
			}
		case <-p.quiet.C:
			p.reset()
		}
	}
	p.reset()
	came := p.came
	p.came = nil
	return came
}

// isEvent tells an event from a status of the server, whatever headers it has.
func isEvent(msg *nats.Msg) bool { return msg.Reply != "" }
