package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/stream"
)

// ErrPutBack says that a letter's event was put back by somebody else, as it was or with
// another edit; this edit was not used.
var ErrPutBack = errors.New("its event was put back meanwhile, as it was or edited before; this edit was not used")

// Editable gives the data of a letter's event as it may be edited. The error says why it
// may not: what identifies the event cannot be read, and is not to be edited.
func Editable(l Letter) ([]byte, error) {
	e, err := event.Parse(l.Type, l.Header, l.Data)
	if f := fault.Of(err); f != nil && f.Code != event.SchemaViolation && f.Code != event.NotJSON {
		return nil, fmt.Errorf("only data can be edited, and what is wrong is around it: %w", err)
	}
	if e.Context == nil || e.ID() == "" || e.Source() == "" {
		return nil, errors.New("only data can be edited, and the event around it cannot be read")
	}
	return e.Data(), nil
}

// Amended is a letter whose event has other data and an id of its own, see [EditID]. The
// error says what is wrong with the data.
func Amended(l Letter, data []byte) (Letter, error) {
	header, body, err := event.Amend(l.Header, l.Data, EditID(l), data)
	if err != nil {
		return l, err
	}
	if _, err := event.Parse(l.Type, header, body); err != nil {
		return l, err
	}
	l.EventID, l.Header, l.Data = EditID(l), header, body
	return l, nil
}

// Edit puts a letter's event back with other data, and removes the letter once that is
// confirmed stored. Cut off in between it may be called again: nothing is stored twice
// while the event waits or the stream's duplicate window lasts, whether it was this edit,
// another or a replay that came first, and later on there is one success for all edits of
// a letter, which have one id. It reads the events that wait. The error is ErrNoLetter if
// there is no such letter, and ErrPutBack if somebody was faster.
func (b *Box) Edit(ctx context.Context, id uint64, data []byte) (Replayed, error) {
	l, err := b.Get(ctx, id)
	if err != nil {
		return Replayed{}, err
	}
	amended, err := Amended(l, data)
	if err != nil {
		return Replayed{}, fmt.Errorf("edit letter %d: %w", id, err)
	}
	msg, err := b.again(amended)
	if err != nil {
		return Replayed{}, fmt.Errorf("edit letter %d: %w", id, err)
	}
	waiting, err := b.Underway(ctx, 0)
	if err != nil {
		return Replayed{}, fmt.Errorf("edit letter %d: %w", id, err)
	}
	done := Replayed{waiting[ReplayID(l)], true}
	if done.Seq == 0 {
		ack, err := b.js.PublishMsg(ctx, msg)
		if err != nil {
			return Replayed{}, fmt.Errorf("put the edited event of letter %d to %q: %w", id, msg.Subject, err)
		}
		if ack.Stream != b.topo.EventsStream() {
			return Replayed{}, fmt.Errorf("edit letter %d: %q was stored in %q, which is not the events stream", id, msg.Subject, ack.Stream)
		}
		done = Replayed{ack.Sequence, ack.Duplicate}
	}
	var other error
	if done.Duplicate {
		other = b.same(ctx, done.Seq, amended)
	}
	if err := b.leave(ctx, l); err != nil {
		return Replayed{}, errors.Join(fmt.Errorf("remove letter %d after its edit: %w", id, err), other)
	}
	return done, other
}

// same reports ErrPutBack unless the event at a place is the amended one. Of one that is
// settled by now it cannot tell.
func (b *Box) same(ctx context.Context, seq uint64, amended Letter) error {
	msg, err := stream.Get(ctx, b.js.Conn(), b.topo.EventsStream(), seq)
	switch {
	case errors.Is(err, stream.ErrNoMessage):
		return fmt.Errorf("letter %d: %w", amended.ID, ErrPutBack)
	case err != nil:
		return fmt.Errorf("look at event %d: %w", seq, err)
	}
	e, _ := event.Parse(amended.Type, msg.Header, msg.Data)
	if e.Context == nil || e.ID() != amended.EventID || string(msg.Data) != string(amended.Data) {
		return fmt.Errorf("letter %d: %w", amended.ID, ErrPutBack)
	}
	return nil
}

// endsMin and endsMax are how often it is looked for what became of edits: soon, and then
// less often.
const endsMin, endsMax = 50 * time.Millisecond, time.Second

// EditsEnd waits until the edited events of letters have their results, and gives the
// failures among them, by letter. Types gives the types of an event type's results.
func (b *Box) EditsEnd(ctx context.Context, types func(typ string) (success, failure string), letters ...Letter) (map[uint64]event.Failure, error) {
	ledger := stream.NewLookup(b.js.Conn(), b.topo.ResultsStream())
	failures := map[uint64]event.Failure{}
	open := slices.Clone(letters)
	for pause := endsMin; ; pause = min(2*pause, endsMax) {
		good, bad := map[uint64]string{}, map[uint64]string{}
		var subjects []string
		for _, l := range open {
			key := event.Key(l.Source, EditID(l))
			success, failure := types(l.Type)
			good[l.ID], bad[l.ID] = b.topo.ResultSubject(success, key), b.topo.ResultSubject(failure, key)
			subjects = append(subjects, good[l.ID], bad[l.ID])
		}
		found, err := ledger.Last(ctx, subjects...)
		if err != nil {
			return nil, fmt.Errorf("look for results: %w", err)
		}
		var still []Letter
		for _, l := range open {
			switch msg := found[bad[l.ID]]; {
			case found[good[l.ID]] != nil:
			case msg == nil:
				still = append(still, l)
			default:
				var f event.Failure
				if err := json.Unmarshal(msg.Data, &f); err != nil {
					return nil, fmt.Errorf("read result %d: %w", msg.Sequence, err)
				}
				failures[l.ID] = f
			}
		}
		if open = still; len(open) == 0 {
			return failures, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
