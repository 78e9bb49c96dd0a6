// Package fleet holds what the workers agree on: the pace of their calls, whether the
// vendor is sick, what is held, who is there, and the attempts an event has had.
//
// A lane passes through its Gate and knows nothing of what is behind it: records in one
// KV bucket, changed by compare-and-set, so that any number of workers look to the
// vendor like one well-behaved caller. Its one rule: no worker's wall clock matters,
// only the server's timestamps and the worker's own monotonic clock.
package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	mathrand "math/rand/v2"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"

	"essworker/internal/event"
	"essworker/internal/kv"
)

// Config is the pace of the lanes and what makes them stand still.
type Config struct {
	Rate            int           `default:"20" env:"WORKER_RATE" help:"Calls per second and vendor action, of the whole fleet; 0 is no limit." placeholder:"N"`
	ReplayShare     float64       `default:"0.25" env:"WORKER_REPLAY_SHARE" help:"Part of the pace replays may take while live events wait." placeholder:"RATIO"`
	BreakerFailures int           `default:"5" env:"WORKER_BREAKER_FAILURES" help:"Consecutive failures that open the breaker." placeholder:"N"`
	BreakerCooldown time.Duration `default:"30s" env:"WORKER_BREAKER_COOLDOWN" help:"How long the breaker stays open before a probe." placeholder:"DURATION"`
	HoldProbe       time.Duration `default:"30s" env:"WORKER_HOLD_PROBE" help:"How often a held lane is probed." placeholder:"DURATION"`
}

// MaxRate is the highest limit: beyond it no slot could be kept to the time it is for.
const MaxRate = 10_000

// Validate names the first setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Rate < 0 || c.Rate > MaxRate:
		return fmt.Errorf("--rate: must be between 0 (no limit) and %d", MaxRate)
	case c.ReplayShare <= 0 || c.ReplayShare > 1:
		return errors.New("--replay-share: must be more than 0 and at most 1, for example 0.25")
	case c.BreakerFailures < 1 || c.BreakerFailures > 10_000:
		return errors.New("--breaker-failures: must be between 1 and 10000")
	case c.BreakerCooldown <= 0:
		return errors.New("--breaker-cooldown: must be more than zero, for example 30s")
	case c.HoldProbe <= 0:
		return errors.New("--hold-probe: must be more than zero, for example 30s")
	}
	return nil
}

// Member is the worker that joins a fleet. NC, JS, Bucket, Host and Log are required.
type Member struct {
	NC     *nats.Conn
	JS     jetstream.JetStream
	Bucket string // the KV bucket of the fleet; it must exist
	Host   string
	PID    int
	// Version is the worker's, for people.
	Version string
	// CallTimeout is how long one vendor call may take; an answer that took more than
	// half of it counts as a failure of the vendor. 0 is unknown: nothing is slow.
	CallTimeout time.Duration
	Log         *slog.Logger
	Meter       metric.Meter // may be nil
}

// Fleet is one worker's membership. It is safe for concurrent use.
type Fleet struct {
	cfg         Config
	id          string
	self        Presence
	slow        time.Duration
	callTimeout time.Duration
	log         *slog.Logger
	metrics     metrics
	bucket      kv.Bucket
	clock       *clock
	agreed      agreed
	changed     signal
	hints       []*nats.Subscription
	presenceRev uint64 // for the one goroutine that beats

	ctx   context.Context //nolint:containedctx // the membership's life: what runs beside the lanes ends with it
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu        sync.Mutex
	gates     map[string]*Gate
	quotas    map[string]*quota    // by vendor action: routes of one action share it
	refutedAt map[string]time.Time // holds of ours that others have ended
	answering map[string]int       // the bars whose probes this worker is telling the answers of, and how many
	warned    time.Time            // when the broker was last said to be away
}

// Join makes a worker a member: it says that it is there, and learns what the others
// have agreed on. Leave must be called in the end, after the lanes have.
func Join(ctx context.Context, cfg Config, m Member) (*Fleet, error) {
	f := &Fleet{
		cfg: cfg, id: memberID(m.Host, m.PID), slow: m.CallTimeout / 2, callTimeout: m.CallTimeout, log: m.Log,
		bucket: kv.Open(m.NC, m.JS, m.Bucket), clock: newClock(), agreed: agreed{records: map[string]record{}},
		gates: map[string]*Gate{}, quotas: map[string]*quota{}, refutedAt: map[string]time.Time{},
		answering: map[string]int{},
	}
	f.self = Presence{ID: f.id, Host: m.Host, PID: m.PID, Version: m.Version, Since: time.Now().UTC(), Rate: cfg.Rate, ReplayShare: cfg.ReplayShare}
	f.ctx, f.end = context.WithCancel(context.WithoutCancel(ctx))
	hints := make(chan string, 256)
	if err := f.join(ctx, m, hints); err != nil {
		f.end()
		f.deaf()
		return nil, fmt.Errorf("join the fleet in bucket %q: %w", m.Bucket, err)
	}
	f.tasks.Go(f.beat)
	f.tasks.Go(func() { f.watch(hints) })
	return f, nil
}

func (f *Fleet) join(ctx context.Context, m Member, hints chan<- string) (err error) {
	if f.metrics, err = newMetrics(m.Meter, f); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	for _, keys := range []string{gateKeys, tenantKeys} {
		sub, err := m.NC.Subscribe(f.bucket.Subject(keys+">"), func(msg *nats.Msg) {
			select {
			case hints <- f.bucket.Key(msg.Subject):
			default: // the poll makes up for it
			}
		})
		if err != nil {
			return fmt.Errorf("listen for changes: %w", err)
		}
		f.hints = append(f.hints, sub)
	}
	err = f.appear(ctx)
	if err == nil {
		err = f.refresh(ctx)
	}
	return err
}

// Leave ends the membership. The presence is taken back if the broker answers within a
// second; else it runs out.
func (f *Fleet) Leave() {
	f.end()
	f.tasks.Wait()
	f.deaf()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), time.Second)
	defer cancel()
	if err := f.disappear(ctx); err != nil {
		f.log.Debug("presence not taken back; it runs out", "why", err)
	}
}

func (f *Fleet) deaf() {
	for _, sub := range f.hints {
		_ = sub.Unsubscribe() // it fails if the connection is closed
	}
}

// ID names the worker in the fleet's records.
func (f *Fleet) ID() string { return f.id }

// ProbeEvery is the longest time between two probes of anything shut.
func (f *Fleet) ProbeEvery() time.Duration { return max(f.cfg.BreakerCooldown, f.cfg.HoldProbe) }

// Gate gives the gate of a route's lane, the same one each time. The credential
// names the key the route's product is called with: a fault of that scope holds
// every lane that shares it.
func (f *Fleet) Gate(r event.Route, credential string) *Gate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g, ok := f.gates[r.Type]; ok {
		return g
	}
	action := ActionOf(r)
	q, ok := f.quotas[action]
	if !ok {
		q = newQuota(f, action)
		f.quotas[action] = q
	}
	g := &Gate{
		fleet: f, lane: r.Type, action: action, credential: credential, breakerKey: breakerKey(r.Type), quota: q,
		bars: []string{
			credentialKey(credential), ownKeys + credentialKey(credential),
			actionKey(action), ownKeys + actionKey(action), breakerKey(r.Type),
		},
	}
	g.breaker = newBreaker(g)
	f.gates[r.Type] = g
	return g
}

// ActionOf names a route's vendor action in the fleet's records: product and action,
// since two products may call different things the same.
func ActionOf(r event.Route) string { return r.Product + "." + r.Action }

// quotasOf lists the quota of a gate, or all of those its credential is called under.
func (f *Fleet) quotasOf(g *Gate, all bool) map[*quota]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	quotas := map[*quota]bool{g.quota: true}
	for _, other := range f.gates {
		if all && other.credential == g.credential {
			quotas[other.quota] = true
		}
	}
	return quotas
}

// closed says why a call is refused.
func (f *Fleet) closed(b Bar, wait time.Duration) error {
	what, done := string(b.Kind)+" "+b.Name, "held"
	if b.Kind == Breaker {
		done = "open"
	}
	// How long a probe takes is unknown; if it fails, the next is no further away than this.
	return &ClosedError{Why: what + " is " + done + ": " + cmp.Or(b.Why, b.Code), RetryIn: min(wait, f.ProbeEvery())}
}

// unreachable notes, now and then, that the fleet's records cannot be had, and gives
// the pause before the next try.
func (f *Fleet) unreachable(what string, err error) time.Duration {
	f.mu.Lock()
	loud := time.Since(f.warned) > warnEvery && f.ctx.Err() == nil
	if loud {
		f.warned = time.Now()
	}
	f.mu.Unlock()
	if loud {
		f.log.Warn("the fleet's records cannot be reached; trying again", "for", what, "why", err)
	}
	return awayPause/2 + mathrand.N(awayPause) //nolint:gosec // spreads load
}

const (
	warnEvery = 10 * time.Second
	awayPause = 200 * time.Millisecond
)

var unfit = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// memberID is unique: a process that starts again on the same host with the same
// number, as the first process of every container has, is another member.
func memberID(host string, pid int) string {
	return fmt.Sprintf("%s-%d-%s", strings.Trim(unfit.ReplaceAllString(host, "-"), "-"), pid, strings.ToLower(rand.Text()[:6]))
}
