package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"essworker/internal/kv"
)

// The records that every worker keeps a copy of, by their key in the bucket.
const (
	gateKeys   = "gate."   // breakers, holds, pushes, limits, pauses
	tenantKeys = "tenant." // tenants whose events fail
)

const (
	// pollEvery is how often a worker reads what is agreed, should it have missed a change.
	pollEvery = 10 * time.Second
	// hintDelay is what a write takes to be readable after its message was seen, and
	// hintAgain what it takes on a replica that lags.
	hintDelay, hintAgain = 20 * time.Millisecond, 250 * time.Millisecond
	// changeTries bounds the tries of one change against others' changes.
	changeTries = 20
)

// agreed is a worker's copy of what the fleet has agreed on. It is safe for concurrent use.
type agreed struct {
	mu      sync.Mutex
	records map[string]record
	trouble atomic.Int64 // bars that are not blank
}

// quiet reports whether there is nothing in anybody's way: what an event costs in good
// times is this one look.
func (a *agreed) quiet() bool { return a.trouble.Load() == 0 }

// set stores a record. a.mu must be held.
func (a *agreed) set(key string, r record) {
	a.trouble.Add(noisy(r.bar) - noisy(a.records[key].bar))
	a.records[key] = r
}

func noisy(b Bar) int64 {
	if b.blank() {
		return 0
	}
	return 1
}

// record is one key's value, decoded once.
type record struct {
	rev  uint64
	seen time.Time // when it was last known to be so, by our own clock
	bar  Bar
	push push
	rate Limit
	stop Pause
}

// bar gives a copy of a bar; the zero Bar is not shut.
func (a *agreed) bar(key string) Bar { return a.get(key).bar }

func (a *agreed) get(key string) record {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.records[key]
}

// learn takes in what a key holds, and gives what it was before; news is false if this
// or a later state is known already. A value that cannot be read is none, and an error.
func (a *agreed) learn(key string, e kv.Entry) (before, after record, news bool, err error) {
	after = record{rev: e.Rev, seen: time.Now()}
	if e.Value != nil {
		if err = after.decode(key, e.Value); err != nil {
			after = record{rev: after.rev, seen: after.seen}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before, known := a.records[key]
	switch {
	case known && e.Rev == before.rev:
		before.seen = after.seen // what was added here since, ahead of the others, stays
		a.records[key] = before
		return before, before, false, nil
	case known && e.Rev < before.rev && time.Since(before.seen) < pollEvery/2: // a replica that lags
		return before, before, false, nil
	}
	a.set(key, after)
	return before, after, true, err
}

// forget drops what the server does not hold any more. What was known a moment ago may
// only be missing on a replica that lags.
func (a *agreed) forget(prefix string, held map[string]kv.Entry) (gone []Bar) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, r := range a.records {
		if _, ok := held[key]; !ok && strings.HasPrefix(key, prefix) && time.Since(r.seen) > pollEvery/2 {
			a.set(key, record{})
			delete(a.records, key)
			gone = append(gone, r.bar)
		}
	}
	return gone
}

// decode reads a value by what its key says it is. Keys of a later version are left alone.
func (r *record) decode(key string, value []byte) error {
	var into any
	switch kind, _, _ := strings.Cut(strings.TrimPrefix(key, gateKeys), "."); kind {
	case "tenant", "breaker", "credential", "action":
		into = &r.bar
	case "push":
		into = &r.push
	case "limit":
		into = &r.rate
	case "pause":
		into = &r.stop
	default:
		return nil
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("read %q: %w", key, err)
	}
	return nil
}

// change edits a bar by compare-and-set until nobody comes in between. Edit says
// whether there is anything to write; it may be called several times. The result is
// the bar as it is afterwards. A bar of this worker alone is changed in its copy only.
func (f *Fleet) change(ctx context.Context, key string, edit func(b *Bar, now time.Time) bool) (Bar, error) {
	if strings.HasPrefix(key, ownKeys) {
		return f.agreed.edit(key, f.clock.now(), edit), nil
	}
	b, err := alter(ctx, f.bucket, f.clock, key, f.learn, func(b *Bar, now time.Time) (changed bool, keep time.Duration) {
		changed = edit(b, now)
		return changed, b.keep()
	})
	if err != nil {
		return f.agreed.bar(key), err
	}
	return b, nil
}

// edit changes a bar of this worker alone.
func (a *agreed) edit(key string, now time.Time, edit func(b *Bar, now time.Time) bool) Bar {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.records[key]
	if edit(&r.bar, now) {
		a.set(key, r)
	}
	return r.bar
}

// How long a record is kept, beside a time of its own.
const (
	forever time.Duration = 0
	gone    time.Duration = -1 // it is removed
)

// alter edits one record by compare-and-set; one that cannot be read is begun anew.
// Edit says how long the record is kept when nobody touches it.
// Learn is told each state that is certain.
func alter[T any](
	ctx context.Context, b kv.Bucket, c *clock, key string, learn func(string, kv.Entry),
	edit func(v *T, now time.Time) (changed bool, keep time.Duration),
) (v T, err error) {
	for try := range changeTries {
		e, err := b.Get(ctx, key)
		if err != nil {
			return v, err
		}
		v = *new(T)
		if e.Value != nil {
			if err := json.Unmarshal(e.Value, &v); err != nil {
				v = *new(T)
			}
		}
		changed, keep := edit(&v, c.now())
		if !changed || (keep == gone && e.Value == nil) {
			learn(key, e)
			return v, nil
		}
		next := kv.Entry{At: c.now()}
		if keep != gone {
			if next.Value, err = json.Marshal(v); err != nil {
				return v, fmt.Errorf("encode %q: %w", key, err)
			}
			next.Rev, err = b.Put(ctx, key, next.Value, e.Rev, keep)
		} else {
			next.Rev, err = b.Remove(ctx, key, e.Rev)
		}
		if err == nil {
			learn(key, next)
			return v, nil
		}
		if !errors.Is(err, kv.ErrStale) {
			return v, err
		}
		if err := sleep(ctx, rand.N(time.Millisecond<<min(try, 5))); err != nil { //nolint:gosec // spreads load
			return v, err
		}
	}
	return v, fmt.Errorf("write %q: %w, %d times over", key, kv.ErrStale, changeTries)
}

// learn takes in a record, and what follows from it here.
func (f *Fleet) learn(key string, e kv.Entry) {
	before, after, news, err := f.agreed.learn(key, e)
	if news && err != nil {
		f.log.Warn("a record of the fleet cannot be read and counts as none", "why", err)
	}
	if news {
		f.moved(before.bar, after.bar)
		f.changed.changed()
	}
}

// refresh reads all that is agreed.
func (f *Fleet) refresh(ctx context.Context) error {
	for _, prefix := range []string{gateKeys, tenantKeys} {
		held, err := f.bucket.All(ctx, prefix)
		if err != nil {
			return err
		}
		for key, e := range held {
			f.learn(key, e)
		}
		for _, gone := range f.agreed.forget(prefix, held) {
			f.moved(gone, Bar{})
			f.changed.changed()
		}
	}
	return nil
}

// look reads single records, from the leader.
func (f *Fleet) look(ctx context.Context, keys map[string]bool) error {
	for key := range keys {
		e, err := f.bucket.Get(ctx, key)
		if err != nil {
			return err
		}
		f.learn(key, e)
	}
	return nil
}

// watch keeps the copy up to date until the worker leaves. A change is heard of by the
// message that makes it, which every client may listen to; a watcher of the bucket
// would be a consumer for each worker, which the server's limits do not allow for.
// The message may yet be refused, so it is a hint to read the key and nothing else.
func (f *Fleet) watch(hints <-chan string) {
	poll, again := time.NewTimer(pollEvery), time.NewTimer(pollEvery)
	defer poll.Stop()
	defer again.Stop()
	recent := map[string]bool{} // keys that were read too early, perhaps
	for {
		var err error
		select {
		case key := <-hints:
			keys := map[string]bool{key: true}
			if sleep(f.ctx, hintDelay) != nil {
				return
			}
			for range len(hints) { // those that came meanwhile are answered by the same read
				keys[<-hints] = true
			}
			err = f.look(f.ctx, keys)
			maps.Copy(recent, keys)
			again.Reset(hintAgain)
		case <-again.C:
			err = f.look(f.ctx, recent)
			clear(recent)
		case <-poll.C:
			err = f.refresh(f.ctx)
			poll.Reset(pollEvery/2 + rand.N(pollEvery/2)) //nolint:gosec // spreads load
		case <-f.ctx.Done():
			return
		}
		if err != nil && f.ctx.Err() == nil {
			poll.Reset(f.unreachable("what the fleet agreed on", err))
		}
	}
}
