package kv_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/kv"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

// bed is a bucket on a server of the test's own.
type bed struct {
	*natstest.Bed
	kv.Bucket

	t    *testing.T
	link *natstest.Lossy // of Bucket
}

func inBubble(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{Bed: natstest.New(t, "employee.onboarded"), t: t}
		b.link = &natstest.Lossy{Server: b.Server}
		b.Bucket = b.open(natsconn.Options{InProcess: b.link})
		test(t, b)
	})
}

func (b *bed) open(opts natsconn.Options) kv.Bucket {
	b.t.Helper()
	nc := b.Connect(opts, natsconn.Config{})
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return kv.Open(nc, js, b.Topology.FleetBucket())
}

func (b *bed) put(key, value string, rev uint64) uint64 {
	b.t.Helper()
	now, err := b.Put(b.t.Context(), key, []byte(value), rev, 0)
	if err != nil {
		b.t.Fatalf("Put(%q, %q, %d): %v", key, value, rev, err)
	}
	return now
}

// holds checks what a key holds; an empty value is none.
func (b *bed) holds(key, value string, rev uint64) {
	b.t.Helper()
	e, err := b.Get(b.t.Context(), key)
	if err != nil || string(e.Value) != value || e.Rev != rev || (value == "") != (e.Value == nil) {
		b.t.Errorf("Get(%q) = %q at %d, %v; want %q at %d", key, e.Value, e.Rev, err, value, rev)
	}
	all, err := b.All(b.t.Context(), "job.")
	if err != nil || string(all[key].Value) != value || all[key].Rev != rev {
		b.t.Errorf("All has %q = %q at %d, %v; want %q at %d", key, all[key].Value, all[key].Rev, err, value, rev)
	}
}

// TestPut is the life of a key: whoever says what it was made from writes, everybody else
// is told so and changes nothing.
func TestPut(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		stale := func(rev uint64) {
			t.Helper()
			if _, err := b.Put(t.Context(), "job.a", []byte("late"), rev, 0); !errors.Is(err, kv.ErrStale) {
				t.Errorf("Put at %d = %v, want %v", rev, err, kv.ErrStale)
			}
			if _, err := b.Remove(t.Context(), "job.a", rev); !errors.Is(err, kv.ErrStale) {
				t.Errorf("Remove at %d = %v, want %v", rev, err, kv.ErrStale)
			}
		}
		b.holds("job.a", "", 0)
		stale(1)
		first := b.put("job.a", "one", 0)
		stale(0)
		other := b.put("job.b", "other", 0) // another key's write is nobody's business
		second := b.put("job.a", "two", first)
		stale(0)
		stale(first)
		b.holds("job.a", "two", second)
		b.holds("job.b", "other", other)
		gone, err := b.Remove(t.Context(), "job.a", second)
		if err != nil {
			t.Fatal(err)
		}
		b.holds("job.a", "", gone)
		stale(0) // it has been there
		stale(second)
		b.holds("job.a", "three", b.put("job.a", "three", gone))
	})
}

// TestPut_manyWriters: of any number of writers that read, change and write, no change is
// lost.
func TestPut_manyWriters(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		const writers, changes = 8, 20
		var writing sync.WaitGroup
		for range writers {
			other := b.open(natsconn.Options{})
			writing.Go(func() {
				for done := 0; done < changes; {
					e, err := other.Get(t.Context(), "job.n")
					if err != nil {
						t.Errorf("Get: %v", err)
						return
					}
					n, _ := strconv.Atoi(string(e.Value)) // nothing is 0
					_, err = other.Put(t.Context(), "job.n", []byte(strconv.Itoa(n+1)), e.Rev, 0)
					switch {
					case err == nil:
						done++
					case !errors.Is(err, kv.ErrStale):
						t.Errorf("Put: %v", err)
						return
					}
				}
			})
		}
		writing.Wait()
		if e, err := b.Get(t.Context(), "job.n"); err != nil || string(e.Value) != strconv.Itoa(writers*changes) {
			t.Errorf("%d changes came to %q, %v", writers*changes, e.Value, err)
		}
	})
}

// TestPut_answerLost: a write whose answer is lost is neither said to be stored nor to be
// stale, in seconds; and whoever makes it again from the same state is told that it was.
func TestPut_answerLost(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		rev := b.put("job.a", "one", 0)
		b.link.Lose(b.Subject("job."), 1)
		start := time.Now()
		if _, err := b.Put(t.Context(), "job.a", []byte("two"), rev, 0); err == nil || errors.Is(err, kv.ErrStale) || time.Since(start) > 5*time.Second {
			t.Errorf("Put, its answer lost = %v after %v, want an error that leaves it open", err, time.Since(start))
		}
		b.holds("job.a", "two", rev+1)
		if _, err := b.Put(t.Context(), "job.a", []byte("two"), rev, 0); !errors.Is(err, kv.ErrStale) {
			t.Errorf("the same Put again = %v, want %v", err, kv.ErrStale)
		}
	})
}

// TestPut_ttl: a record goes by itself when its time is up, and each write begins it anew.
func TestPut_ttl(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		rev, err := b.Put(t.Context(), "job.a", []byte("here"), 0, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		if rev, err = b.Put(t.Context(), "job.a", []byte("still here"), rev, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		b.holds("job.a", "still here", rev)
		time.Sleep(5 * time.Second)
		if e, err := b.Get(t.Context(), "job.a"); err != nil || e.Value != nil {
			t.Errorf("after its time the key holds %q, %v", e.Value, err)
		}
	})
}

// TestSubject: messages about a key are hints. One that is refused is seen as well; one
// that came while nobody listened is not; what counts is read.
func TestSubject(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		hints := make(chan *nats.Msg, 10)
		listen := func() *nats.Subscription {
			t.Helper()
			sub, err := b.NC.ChanSubscribe(b.Subject("job.>"), hints)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := b.NC.FlushWithContext(ctx); err != nil {
				t.Fatal(err)
			}
			return sub
		}
		sub := listen()
		rev := b.put("job.a", "one", 0)
		_, _ = b.Put(t.Context(), "job.a", []byte("refused"), 0, 0)
		for _, value := range []string{"one", "refused"} {
			if hint := <-hints; b.Key(hint.Subject) != "job.a" || string(hint.Data) != value {
				t.Errorf("hint %q for %q, want %q for job.a", hint.Data, b.Key(hint.Subject), value)
			}
		}
		b.holds("job.a", "one", rev)
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		rev = b.put("job.a", "two", rev)
		listen()
		synctest.Wait()
		if len(hints) > 0 {
			t.Errorf("a hint for what was written before: %q", (<-hints).Data)
		}
		b.holds("job.a", "two", rev)
	})
}

// TestAll gives as many keys as there are, of the prefix, beyond what the server gives at
// a time.
func TestAll(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		const keys = 1100
		for n := range keys {
			if _, err := b.JS.PublishMsgAsync(&nats.Msg{Subject: b.Subject(fmt.Sprintf("job.k%d", n)), Data: []byte("v")}); err != nil {
				t.Fatal(err)
			}
		}
		<-b.JS.PublishAsyncComplete()
		b.put("jobbatch.x", "no job", 0)
		all, err := b.All(t.Context(), "job.")
		if err != nil || len(all) != keys || string(all["job.k1099"].Value) != "v" {
			t.Errorf("All has %d keys, %v; want %d", len(all), err, keys)
		}
		if n, err := b.Count(t.Context(), "job.>"); err != nil || n != keys {
			t.Errorf("Count = %d, %v; want %d", n, err, keys)
		}
	})
}
