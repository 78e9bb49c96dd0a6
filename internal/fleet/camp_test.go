package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

const (
	cooldown  = 30 * time.Second
	holdProbe = time.Minute
	timeout   = 35 * time.Second
)

func config() fleet.Config {
	return fleet.Config{Rate: 20, ReplayShare: 0.25, BreakerFailures: 5, BreakerCooldown: cooldown, HoldProbe: holdProbe}
}

// camp is a server and the fleet on it.
type camp struct {
	*natstest.Bed

	t     *testing.T
	cfg   fleet.Config // of the members that join from now on
	meter metric.Meter
	log   *journal
	count int
}

// inBubble runs a test with a fake clock: hours pass in milliseconds.
func inBubble(t *testing.T, test func(t *testing.T, c *camp)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, &camp{Bed: natstest.New(t, "employee.onboarded"), t: t, cfg: config(), log: &journal{}})
	})
}

// member is a worker with a connection of its own.
type member struct {
	*fleet.Fleet

	nc   *nats.Conn
	camp *camp
}

// join adds a member, which leaves at the end of the test at the latest.
func (c *camp) join() *member {
	c.t.Helper()
	m := &member{nc: c.Connect(natsconn.Options{}, natsconn.Config{}), camp: c}
	c.joinWith(m)
	return m
}

func (c *camp) joinWith(m *member) {
	c.t.Helper()
	js, err := jetstream.New(m.nc)
	if err != nil {
		c.t.Fatal(err)
	}
	c.count++
	m.Fleet, err = fleet.Join(c.t.Context(), c.cfg, fleet.Member{
		NC: m.nc, JS: js, Bucket: c.Topology.FleetBucket(), Host: "test", PID: c.count, Version: "v1",
		CallTimeout: timeout, Log: slog.New(slog.NewTextHandler(c.log, nil)), Meter: c.meter,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(m.Leave)
}

// crew adds several.
func (c *camp) crew(n int) []*member {
	c.t.Helper()
	crew := make([]*member, n)
	for i := range crew {
		crew[i] = c.join()
	}
	return crew
}

// kill is the end of a member as the others see kill -9.
func (m *member) kill() {
	m.nc.Close() // nothing it does from here on reaches anybody
	m.Leave()
}

// gate is the gate of a lane: the lane is called as the action is, of product "ess".
func (m *member) gate(lane string) *fleet.Gate { return gate(m.Fleet, lane, lane, "ess") }

func gate(f *fleet.Fleet, typ, action, credential string) *fleet.Gate {
	return f.Gate(event.Route{Type: typ, Product: "ess", Action: action}, credential)
}

// journal is what the members have logged. It is safe for concurrent use.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// spread waits until every member knows what any of them does.
func spread() { time.Sleep(time.Second) }

// The answers a call may end in.
var (
	transient      = &fault.Error{Kind: fault.Transient, Code: "InternalError"}
	throttled      = &fault.Error{Kind: fault.Throttled, Code: "RequestLimitExceeded"}
	refused        = &fault.Error{Kind: fault.Permanent, Code: "InvalidParameter"}
	expired        = fault.Errorf(fault.Expired, "Expired", "too late")
	badKey         = misconfigured(fault.Credential)
	badAction      = misconfigured(fault.Action)
	badTenant      = misconfigured(fault.Tenant)
	noLicence      = &fault.Error{Kind: fault.Permanent, Scope: fault.Tenant, Code: "UnauthorizedOperation"}
	errCancelled   = fmt.Errorf("bind employee: %w", context.Canceled)
	errInterrupted = fmt.Errorf("bind employee: %w", fleet.ErrInterrupted)
)

func misconfigured(scope fault.Scope) *fault.Error {
	return &fault.Error{Kind: fault.Misconfigured, Scope: scope, Code: "Bad-" + string(scope), Message: "mend it", RequestID: "r-1"}
}

// answer is a call that ends so.
func answer(err error) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		return []byte("done"), nil
	}
}

// do makes one call that must not be refused, and reports whether it was a probe.
func do(t *testing.T, g *fleet.Gate, c fleet.Call, err error) (probe bool) {
	t.Helper()
	out, probe, got := g.Do(t.Context(), c, answer(err))
	if !errors.Is(got, err) || (err == nil) != (string(out) == "done") {
		t.Fatalf("Do of a call that ends in %v = %q, %v", err, out, got)
	}
	return probe
}

// closed wants a call to be refused, and gives when it may be tried again.
func closed(t *testing.T, g *fleet.Gate, c fleet.Call) time.Duration {
	t.Helper()
	_, _, err := g.Do(t.Context(), c, func(context.Context) ([]byte, error) {
		t.Error("a call was made past a closed gate")
		return nil, nil
	})
	refused, ok := errors.AsType[*fleet.ClosedError](err)
	if !ok {
		t.Fatalf("Do = %v, want a ClosedError", err)
	}
	return refused.RetryIn
}

// enter gives how long a lane waits at its gate, and whether it may take a probe only.
func enter(t *testing.T, g *fleet.Gate) (waited time.Duration, probe bool) {
	t.Helper()
	start := time.Now()
	probe, err := g.Enter(t.Context())
	if err != nil {
		t.Fatalf("Enter = %v", err)
	}
	return time.Since(start), probe
}
