package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// answerWait is how long a request waits for all of its answer. Servers answer
	// within a millisecond; a lost connection loses the answer.
	answerWait = 2 * time.Second
	// askAgain is after how long the same is asked once more: a replica whose machine
	// has stalled gets its share of the requests and answers none.
	askAgain = 200 * time.Millisecond
	// batchSubjects bounds one request: the server refuses to give more than 1024
	// messages at once (nats-server 2.15, stream.go, getDirectMulti).
	batchSubjects = 500
	batchBytes    = 256 << 10
)

// ErrTooMany says that more subjects match than the server gives in one answer, 1024.
var ErrTooMany = errors.New("too many subjects for one answer")

// Lookup tells which subjects of a stream have a message, for many goroutines at
// once: while one request is under way those who ask queue up, and the next request
// asks for all of them. It costs no time when few ask, and little when many do.
//
// It asks by the server's direct get, so the stream must allow that, and the
// user must be allowed to publish to $JS.API.DIRECT.GET.<stream> (without a
// subject after it). With replicas any of them may answer, one a moment behind
// too: that a message is there is certain, that none is there is not. What must be
// certain is Publisher's to decide.
type Lookup struct {
	nc     *nats.Conn
	stream string

	mu      sync.Mutex
	queue   []*ask
	running bool

	// For the one goroutine that asks.
	sub     *nats.Subscription
	inbox   string
	answers chan *nats.Msg
	sent    uint64 // numbers requests, so that a late answer is not taken for another's
}

type ask struct {
	subjects []string
	answer   chan answer
}

type answer struct {
	found map[string]*jetstream.RawStreamMsg
	err   error
}

// NewLookup asks stream over nc, and lives as long as that.
func NewLookup(nc *nats.Conn, stream string) *Lookup {
	return &Lookup{nc: nc, stream: stream}
}

// Last gives the last message of each subject that has one, by subject. Subjects are
// without wildcards. It fails if the server does not answer within two seconds or ctx
// ends, which it may notice that much later; a missing stream is [nats.ErrNoResponders].
// The messages may be shared with other callers: do not change them. It is safe for
// concurrent use.
func (l *Lookup) Last(ctx context.Context, subjects ...string) (map[string]*jetstream.RawStreamMsg, error) {
	for _, s := range subjects {
		if s == "" || strings.ContainsAny(s, "*> \t\r\n") {
			return nil, fmt.Errorf("look up in %s: %q is not a subject without wildcards", l.stream, s)
		}
	}
	if len(subjects) == 0 {
		return nil, nil
	}
	l.mu.Lock()
	if !l.running { // nobody to wait for
		l.running = true
		l.mu.Unlock()
		return l.alone(subjects)
	}
	a := &ask{subjects, make(chan answer, 1)}
	l.queue = append(l.queue, a)
	l.mu.Unlock()
	select {
	case got := <-a.answer:
		return got.found, got.err
	case <-ctx.Done():
		return nil, fmt.Errorf("look up in %s: %w", l.stream, context.Cause(ctx))
	}
}

// alone asks for one caller, on its goroutine, and leaves those who come meanwhile to another.
func (l *Lookup) alone(subjects []string) (map[string]*jetstream.RawStreamMsg, error) {
	found, err := l.find(subjects)
	l.mu.Lock()
	if l.running = len(l.queue) > 0; l.running {
		go l.run()
	}
	l.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("look up in %s: %w", l.stream, err)
	}
	return among(subjects, found), nil
}

// run answers until nobody asks.
func (l *Lookup) run() {
	for {
		batch := l.next()
		if len(batch) == 0 {
			return
		}
		var subjects []string
		for _, a := range batch {
			subjects = append(subjects, a.subjects...)
		}
		found, err := l.find(subjects)
		if err != nil {
			err = fmt.Errorf("look up in %s: %w", l.stream, err)
		}
		for _, a := range batch {
			a.answer <- answer{among(a.subjects, found), err}
		}
	}
}

// next gives those who wait, as many as one request can serve, and the first of
// them in any case.
func (l *Lookup) next() []*ask {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, subjects := 0, 0
	for n < len(l.queue) && (n == 0 || subjects+len(l.queue[n].subjects) <= batchSubjects) {
		subjects += len(l.queue[n].subjects)
		n++
	}
	batch := l.queue[:n:n]
	l.queue = l.queue[n:]
	l.running = n > 0
	return batch
}

// find asks for all the subjects, in as many requests as that takes.
func (l *Lookup) find(subjects []string) (map[string]*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWait)
	defer cancel()
	found := make(map[string]*jetstream.RawStreamMsg)
	limit := min(batchBytes, int(l.nc.MaxPayload())/2)
	for len(subjects) > 0 {
		n, bytes := 0, 0
		for n < len(subjects) && n < batchSubjects && (n == 0 || bytes+len(subjects[n]) <= limit) {
			bytes += len(subjects[n]) + len(`"",`)
			n++
		}
		if err := l.ask(ctx, subjects[:n], found); err != nil {
			l.unsubscribe() // whatever else comes for it is of no use
			return nil, err
		}
		subjects = subjects[n:]
	}
	return found, nil
}

// ask makes one request and puts what comes into found. While nothing has come it
// asks again; whichever answer is complete first will do.
func (l *Lookup) ask(ctx context.Context, subjects []string, found map[string]*jetstream.RawStreamMsg) error {
	if err := l.subscribe(); err != nil {
		return err
	}
	body, err := json.Marshal(map[string][]string{"multi_last": subjects})
	if err != nil {
		return err
	}
	first := l.sent + 1
	for {
		l.sent++
		if err := l.nc.PublishRequest("$JS.API.DIRECT.GET."+l.stream, l.reply(l.sent), body); err != nil {
			return err
		}
		try, cancel := context.WithTimeout(ctx, askAgain)
		err := l.answer(try, first, found)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			if l.sent > first { // what else comes for these requests is not to crowd out the next answer
				l.unsubscribe()
			}
			return err
		}
	}
}

// reply is where the answer to the n-th request comes.
func (l *Lookup) reply(n uint64) string { return l.inbox + "." + strconv.FormatUint(n, 10) }

// answer puts what comes into found until one of the requests from first on has all
// of its answer.
func (l *Lookup) answer(ctx context.Context, first uint64, found map[string]*jetstream.RawStreamMsg) error {
	for {
		select {
		case msg := <-l.answers:
			if msg == nil {
				return nats.ErrConnectionClosed
			}
			if n, err := strconv.ParseUint(msg.Subject[len(l.inbox)+1:], 10, 64); err != nil || n < first {
				continue
			}
			if end, err := take(msg, found); end || err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take puts a message of an answer into found, or says that the answer has ended.
func take(msg *nats.Msg, found map[string]*jetstream.RawStreamMsg) (end bool, err error) {
	if last(msg.Header, jetstream.SequenceHeader) != "" {
		m, err := read(msg)
		if err != nil {
			return false, err
		}
		found[m.Subject] = m
		return false, nil
	}
	switch status, description := msg.Header.Get("Status"), msg.Header.Get("Description"); {
	case status == "204":
		if left := msg.Header.Get("Nats-Num-Pending"); left != "0" {
			// The server stops after some 64 MB of messages.
			return true, fmt.Errorf("the answer was cut with %s messages to come", left)
		}
		return true, nil
	case status == "404" && description == "No Results":
		return true, nil
	case status == "503":
		return true, nats.ErrNoResponders
	case status == "413":
		return true, ErrTooMany
	default:
		return true, fmt.Errorf("the server answers %s %s", status, description)
	}
}

func (l *Lookup) subscribe() (err error) {
	if l.sub != nil {
		return nil
	}
	// All of one answer, and statuses. A synchronous subscription has room for 64K.
	l.inbox, l.answers = l.nc.NewInbox(), make(chan *nats.Msg, 2*batchSubjects)
	l.sub, err = receive(l.nc, l.inbox+".*", l.answers)
	return err
}

func (l *Lookup) unsubscribe() {
	if l.sub != nil {
		_ = l.sub.Unsubscribe() // it fails if the connection is closed
		l.sub = nil
	}
}

// read takes apart a message of a direct get.
func read(msg *nats.Msg) (*jetstream.RawStreamMsg, error) {
	seq, err := strconv.ParseUint(last(msg.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the sequence of an answer: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, last(msg.Header, jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("read the time of an answer: %w", err)
	}
	return &jetstream.RawStreamMsg{
		Subject: last(msg.Header, jetstream.SubjectHeader), Sequence: seq, Time: at,
		Header: msg.Header, Data: msg.Data,
	}, nil
}

// last gives what the server says: it adds its headers behind those the message
// was stored with, even if they have the same name.
func last(h nats.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// among picks out of found what one of those who asked asked for.
func among(subjects []string, found map[string]*jetstream.RawStreamMsg) map[string]*jetstream.RawStreamMsg {
	var got map[string]*jetstream.RawStreamMsg
	for _, s := range subjects {
		if m := found[s]; m != nil {
			if got == nil {
				got = make(map[string]*jetstream.RawStreamMsg, len(subjects))
			}
			got[s] = m
		}
	}
	return got
}
