package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/kv"
	"essworker/internal/mask"
)

// Office is the fleet as an operator sees it, who is no member: it reads the records and
// sets what operators may set. It is safe for concurrent use.
type Office struct {
	bucket kv.Bucket
	clock  *clock
}

// OpenOffice uses the fleet's bucket, which must exist once something is read or set.
func OpenOffice(nc *nats.Conn, js jetstream.JetStream, bucket string) *Office {
	return &Office{kv.Open(nc, js, bucket), newClock()}
}

// Overview is everything the fleet has on record at one moment. Times are the server's.
type Overview struct {
	Workers []Presence       // by id
	Bars    []Bar            // what is shut; by key
	Usage   map[string]Usage // by action, see [ActionOf]: those that were ever called under a limit
	Limits  map[string]Limit // by action: those an operator has set
	Pauses  map[string]Pause // by lane: why an operator stopped it
	Pushed  map[string]Pushed
}

// Usage is how much of an action's quota is used.
type Usage struct {
	LastMinute float64       // slots taken in the last minute, about
	Gap        time.Duration // between two slots, when the last ones were taken
	Last       time.Time     // when that was
	Free       time.Time     // the first slot that was not taken
}

// Pushed is what a throttled answer has done to an action.
type Pushed struct {
	At   time.Time
	Pace float64 // calls per second then; it climbs back by a twentieth of the limit each second
}

// Now is the pace at a moment, under a limit that is not 0.
func (p Pushed) Now(limit int, now time.Time) float64 {
	return push{At: p.At, Pace: p.Pace}.pace(float64(limit), now)
}

// Look reads what is on record. Now is the server's time, or the caller's if that is
// as good as it gets.
func (o *Office) Look(ctx context.Context, now time.Time) (Overview, error) {
	v := Overview{Usage: map[string]Usage{}, Limits: map[string]Limit{}, Pauses: map[string]Pause{}, Pushed: map[string]Pushed{}}
	var err error
	if v.Workers, err = present(ctx, o.bucket, now); err != nil {
		return v, err
	}
	for _, prefix := range []string{gateKeys, tenantKeys} {
		held, err := o.bucket.All(ctx, prefix)
		if err != nil {
			return v, err
		}
		for _, key := range sortedKeys(held) {
			if err := v.add(key, held[key]); err != nil {
				return v, err
			}
		}
	}
	quotas, err := o.bucket.All(ctx, quotaKey(""))
	if err != nil {
		return v, err
	}
	for key, e := range quotas {
		if e.Value == nil {
			continue
		}
		var r reservation
		if err := json.Unmarshal(e.Value, &r); err != nil {
			return v, fmt.Errorf("read %q: %w", key, err)
		}
		v.Usage[strings.TrimPrefix(key, quotaKey(""))] = Usage{LastMinute: r.lastMinute(now), Gap: r.Gap, Last: e.At, Free: r.free(e.At)}
	}
	return v, nil
}

func (v *Overview) add(key string, e kv.Entry) error {
	if e.Value == nil {
		return nil
	}
	var r record
	if err := r.decode(key, e.Value); err != nil {
		return err
	}
	switch {
	case r.bar.Shut():
		v.Bars = append(v.Bars, r.bar)
	case !r.push.At.IsZero():
		v.Pushed[strings.TrimPrefix(key, pushKey(""))] = Pushed{r.push.At, r.push.Pace}
	case !r.rate.At.IsZero():
		v.Limits[strings.TrimPrefix(key, limitKey(""))] = r.rate
	case !r.stop.At.IsZero():
		v.Pauses[strings.TrimPrefix(key, pauseKey(""))] = r.stop
	}
	return nil
}

// SetLimit sets an action's limit for the whole fleet, in force within a second and
// until it is set again or reset. L.At is filled in. It gives what was set before; the
// zero Limit is nothing.
func (o *Office) SetLimit(ctx context.Context, action string, l Limit) (before Limit, err error) {
	l.At, l.Why = time.Now().UTC(), mask.Text(l.Why)
	err = o.set(ctx, limitKey(action), func(was *Limit) time.Duration { before, *was = *was, l; return forever })
	return before, err
}

// ResetLimit gives an action back to WORKER_RATE. It gives what was set before.
func (o *Office) ResetLimit(ctx context.Context, action string) (before Limit, err error) {
	err = o.set(ctx, limitKey(action), func(was *Limit) time.Duration { before, *was = *was, Limit{}; return gone })
	return before, err
}

func (o *Office) set(ctx context.Context, key string, edit func(*Limit) (keep time.Duration)) error {
	_, err := alter(ctx, o.bucket, o.clock, key, func(string, kv.Entry) {}, func(l *Limit, _ time.Time) (changed bool, keep time.Duration) {
		return true, edit(l)
	})
	return err
}

// NotePause keeps on record why a lane is stopped; the zero Pause takes the note back.
// The stopping itself is the broker's to do, see package topology. P.At is filled in.
func (o *Office) NotePause(ctx context.Context, lane string, p Pause) error {
	stopped := p != Pause{}
	_, err := alter(ctx, o.bucket, o.clock, pauseKey(lane), func(string, kv.Entry) {}, func(was *Pause, _ time.Time) (changed bool, keep time.Duration) {
		*was = p
		was.At, was.Why = time.Now().UTC(), mask.Text(p.Why)
		if !stopped {
			return true, gone
		}
		return true, forever
	})
	return err
}

// HandedBack counts the events of a consumer that a worker has given back and that are
// not settled. If they are many, those settled in the last minute may be among them.
func (o *Office) HandedBack(ctx context.Context, consumer string) (uint64, error) {
	keys := attemptsKeys(consumer)
	n, err := o.bucket.Count(ctx, keys+"*")
	if n == 0 || n > handedExactly || err != nil {
		return n, err
	}
	records, err := o.bucket.All(ctx, keys)
	if err != nil {
		return 0, err
	}
	n = 0
	for _, e := range records {
		if e.Value != nil {
			n++
		}
	}
	return n, nil
}

// handedExactly is up to how many records HandedBack looks at each of them.
const handedExactly = 500

func pauseKey(lane string) string { return gateKeys + "pause." + lane }
