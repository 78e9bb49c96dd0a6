package dlq

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/fault"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// Exported is a letter outside the broker: one line of an export. It holds everything,
// to the byte, the event's personal data included. What is not UTF-8 stands in base64.
type Exported struct {
	ID            uint64              `json:"id"` // the letter's where it was exported
	Subject       string              `json:"subject"`
	Stored        time.Time           `json:"stored"`
	Headers       map[string][]string `json:"headers"`
	HeadersBase64 map[string][][]byte `json:"headersBase64,omitempty"`
	Data          *string             `json:"data,omitempty"` // absent if it is in base64
	DataBase64    []byte              `json:"dataBase64,omitempty"`
}

// IDs gives the ids of the letters that a filter selects, oldest first; its limit is as
// in Letters. What is done about many letters goes by their ids, so that what happens
// meanwhile does not change the selection.
func (s shelf) IDs(ctx context.Context, f Filter) (ids []uint64, err error) {
	for l, err := range s.Letters(ctx, f) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, l.ID)
	}
	return ids, nil
}

// Export gives one letter. The error is ErrNoLetter if there is none.
func (b *Box) Export(ctx context.Context, id uint64) (Exported, error) {
	msg, err := b.get(ctx, id)
	if err != nil {
		return Exported{}, err
	}
	e := Exported{ID: id, Subject: msg.Subject, Stored: msg.Time.UTC(), Headers: map[string][]string{}}
	for name, values := range kept(msg.Header) {
		if slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }) {
			if e.HeadersBase64 == nil {
				e.HeadersBase64 = map[string][][]byte{}
			}
			for _, v := range values {
				e.HeadersBase64[name] = append(e.HeadersBase64[name], []byte(v))
			}
			continue
		}
		e.Headers[name] = values
	}
	if utf8.Valid(msg.Data) {
		e.Data = new(string(msg.Data))
	} else {
		e.DataBase64 = msg.Data
	}
	return e, nil
}

// keyPattern is that of [Key].
var keyPattern = regexp.MustCompile(`^[0-9]+-[0-9a-z]+$`)

// message is the letter as it is stored in an installation of these names, which need
// not be those of the one it was exported from.
func (e Exported) message(topo topology.Names) (*nats.Msg, error) {
	tokens := strings.Split(e.Subject, ".")
	if len(tokens) < 5 || tokens[1] != "deadletters" {
		return nil, fmt.Errorf("subject %q is not that of a letter", e.Subject)
	}
	reason, typ, key := tokens[2], strings.Join(tokens[3:len(tokens)-1], "."), tokens[len(tokens)-1]
	if !slices.Contains(fault.Reasons(), fault.Reason(reason)) || !typePattern.MatchString(typ) || !keyPattern.MatchString(key) {
		return nil, fmt.Errorf("subject %q is not that of a letter", e.Subject)
	}
	if e.Data != nil && e.DataBase64 != nil {
		return nil, errors.New("there is data and dataBase64")
	}
	msg := &nats.Msg{Subject: topo.LetterSubject(reason, typ, key), Header: nats.Header{}, Data: e.DataBase64}
	if e.Data != nil {
		msg.Data = []byte(*e.Data)
	}
	for name, values := range e.HeadersBase64 {
		for _, v := range values {
			msg.Header[name] = append(msg.Header[name], string(v))
		}
	}
	for name, values := range e.Headers {
		msg.Header[name] = append(msg.Header[name], values...)
	}
	for name, values := range msg.Header {
		if !writable(name) || slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "\r\n") }) {
			return nil, fmt.Errorf("%.64q is not a header that can be sent", name)
		}
	}
	msg.Header = kept(msg.Header)
	if len(msg.Header[hSubject]) > 0 { // where a replay goes, here
		msg.Header.Set(hSubject, topo.EventSubject(typ))
	}
	return msg, nil
}

// Landed is what became of a letter that was imported.
type Landed string

// A letter is stored, or was left out because it, or what became of it, is here.
const (
	LandedNew       Landed = "imported"
	LandedLetter    Landed = "a letter already"
	LandedDiscarded Landed = "discarded here"
	LandedDone      Landed = "succeeded here"
	LandedReplayed  Landed = "replayed here"
)

// Importer stores exported letters, each once. It is safe for concurrent use.
type Importer struct {
	box     *Box
	success func(typ string) string
	replays map[string]int // of the letters that were here at the start, by their event: how often replayed, at most
}

// NewImporter reads which letters are here. success gives the type of an event type's
// success results, empty if it has none.
func (b *Box) NewImporter(ctx context.Context, success func(typ string) string) (*Importer, error) {
	im := &Importer{b, success, map[string]int{}}
	for l, err := range b.Letters(ctx, Filter{}) {
		if err != nil {
			return nil, err
		}
		key := ResultKey(l)
		im.replays[key] = max(im.replays[key], l.Replays)
	}
	return im, nil
}

// Import stores a letter and gives its id here. It does so once: not while the letter is
// here, lies among the discarded ones or was imported less than the duplicate window
// ago, nor after its event has succeeded or come back as a letter replayed more often.
// What it does not see is an event put back longer ago that still waits; the letter of
// that one is then taken for done when it is replayed.
func (im *Importer) Import(ctx context.Context, e Exported) (id uint64, what Landed, err error) {
	b := im.box
	msg, err := e.message(b.topo)
	if err != nil {
		return 0, "", err
	}
	l := read(&jetstream.RawStreamMsg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data})
	_, err = stream.LastFor(ctx, b.js.Conn(), b.topo.DiscardedStream(), b.topo.DiscardedSubject(string(l.Reason), l.Type, l.Key))
	if !errors.Is(err, stream.ErrNoMessage) {
		return 0, LandedDiscarded, err
	}
	done, err := b.Succeeded(ctx, im.success, l)
	if err != nil || len(done) > 0 {
		return 0, LandedDone, err
	}
	if im.replays[ResultKey(l)] > l.Replays {
		return 0, LandedReplayed, nil
	}
	id, existed, err := b.store(ctx, msg, "import|"+l.Key)
	switch {
	case errors.Is(err, stream.ErrNoMessage): // the server knows its message id, and has none on its subject
		return 0, LandedReplayed, nil
	case err != nil || !existed:
		return id, LandedNew, err
	}
	if _, err := b.get(ctx, id); errors.Is(err, ErrNoLetter) {
		return 0, LandedReplayed, nil
	}
	return id, LandedLetter, nil
}
