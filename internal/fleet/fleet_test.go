package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/fleet"
)

const (
	cooldown  = 30 * time.Second
	holdProbe = time.Minute
)

func config() fleet.Config {
	return fleet.Config{Rate: 20, BreakerFailures: 5, BreakerCooldown: cooldown, HoldProbe: holdProbe}
}

func newFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	f, err := fleet.New(config(), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func gate(f *fleet.Fleet, typ, action, credential string) *fleet.Gate {
	return f.Gate(event.Route{Type: typ, Product: "ess", Action: action}, credential)
}

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

func TestConfig_Validate(t *testing.T) {
	if err := config().Validate(); err != nil {
		t.Errorf("Validate of the defaults = %v", err)
	}
	for want, edit := range map[string]func(*fleet.Config){
		"":                   func(c *fleet.Config) { c.Rate = 0 },
		"--rate":             func(c *fleet.Config) { c.Rate = -1 },
		"--breaker-failures": func(c *fleet.Config) { c.BreakerFailures = 0 },
		"--breaker-cooldown": func(c *fleet.Config) { c.BreakerCooldown = 0 },
		"--hold-probe":       func(c *fleet.Config) { c.HoldProbe = -time.Second },
	} {
		c := config()
		edit(&c)
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want+": must be") {
			t.Errorf("%+v.Validate() = %v, want one that names %q", c, err, want)
		}
	}
	c := config()
	c.BreakerFailures = 1 << 32
	if err := c.Validate(); err == nil {
		t.Errorf("%+v.Validate() = nil, want an error: the breaker counts in 32 bits", c)
	}
}

func TestGate_isOnePerType(t *testing.T) {
	f := newFleet(t)
	a := gate(f, "a", "Bind", "ess")
	if gate(f, "a", "Bind", "ess") != a || gate(f, "b", "Bind", "ess") == a {
		t.Error("Gate gives another gate for the same type, or the same for another")
	}
	if got := f.ProbeEvery(); got != holdProbe {
		t.Errorf("ProbeEvery() = %v, want the longer of cooldown and hold probe, %v", got, holdProbe)
	}
}

// TestGate_Slot: the quota is the vendor action's, whichever lane calls it.
func TestGate_Slot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		gates := []*fleet.Gate{gate(f, "a", "Bind", "ess"), gate(f, "b", "Bind", "ess"), gate(f, "c", "Grant", "ess")}
		var made [3]calls
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for i, g := range gates {
			go func() {
				for g.Slot(ctx) == nil {
					made[i].note()
				}
			}()
		}
		<-ctx.Done()
		synctest.Wait()
		both := &calls{at: append(made[0].at, made[1].at...)}
		both.check(t, 20)
		if n, other := len(both.at), len(made[2].at); n < 190 || other < 190 {
			t.Errorf("%d and %d calls of two actions in 10 s, want the whole quota each", n, other)
		}
	})
}

// TestThrottled: an answer about the action slows down its lanes, one about the
// account every lane of the credential.
func TestThrottled(t *testing.T) {
	for _, tt := range []struct {
		fault *fault.Error
		waits [4]time.Duration // of the lane itself, one of its action, one of its credential, another
	}{
		{throttled, [4]time.Duration{time.Second, time.Second, 0, 0}},
		{&fault.Error{Kind: fault.Throttled, RetryAfter: 5 * time.Second}, [4]time.Duration{5 * time.Second, 5 * time.Second, 0, 0}},
		{&fault.Error{Kind: fault.Throttled, RetryAfter: time.Millisecond}, [4]time.Duration{time.Second, time.Second, 0, 0}},
		{&fault.Error{Kind: fault.Throttled, Scope: fault.Credential}, [4]time.Duration{time.Second, time.Second, time.Second, 0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t)
			gates := []*fleet.Gate{
				gate(f, "a", "Bind", "ess"), gate(f, "b", "Bind", "ess"), gate(f, "c", "Link", "ess"), gate(f, "d", "Grant", "essbasic"),
			}
			for _, ask := range [][]int{{0, 2, 3}, {1}} { // two lanes of one quota would wait for each other
				time.Sleep(time.Minute)
				start := time.Now()
				do(t, gates[0], fleet.Call{}, tt.fault)
				var wg sync.WaitGroup
				for _, i := range ask {
					wg.Go(func() {
						if err := gates[i].Slot(t.Context()); err != nil || time.Since(start) != tt.waits[i] {
							t.Errorf("after %+v lane %d waits %v, %v, want %v", tt.fault, i, time.Since(start), err, tt.waits[i])
						}
					})
				}
				wg.Wait()
			}
			for i, s := range f.States() {
				if halved := tt.waits[i] > 0; (s.Pace < 20) != halved {
					t.Errorf("after %+v lane %d has pace %v, halved: want %t", tt.fault, i, s.Pace, halved)
				}
			}
		})
	}
}

func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := metric.NewManualReader()
		var log bytes.Buffer
		f, err := fleet.New(config(), slog.New(slog.NewTextHandler(&log, nil)), metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"))
		if err != nil {
			t.Fatal(err)
		}
		a, b := gate(f, "a", "Bind", "ess"), gate(f, "b", "Grant", "essbasic")
		began := time.Now()
		do(t, b, fleet.Call{}, badAction)
		for range 5 {
			do(t, a, fleet.Call{}, transient)
		}
		for i := range 3 {
			time.Sleep(time.Second)
			do(t, gate(f, "c", "Other", "third"), fleet.Call{Tenant: "ess:org1", Key: strconv.Itoa(i)}, badTenant)
		}
		want := []fleet.State{
			{Lane: "a", Breaker: "open", Pace: 20},
			{Lane: "b", Breaker: "closed", Pace: 20, Held: "action Grant: Bad-action: mend it", Since: began},
			{Lane: "c", Breaker: "closed", Pace: 20},
		}
		if d := cmp.Diff(want, f.States()); d != "" {
			t.Errorf("States (-want +got):\n%s", d)
		}
		held := []fleet.HeldTenant{{Tenant: "ess:org1", Why: "Bad-tenant: mend it", Since: began.Add(3 * time.Second)}}
		if d := cmp.Diff(held, f.HeldTenants()); d != "" {
			t.Errorf("HeldTenants (-want +got):\n%s", d)
		}
		wantMetrics := map[string]float64{
			"essworker_breaker_open a": 1, "essworker_breaker_open b": 0, "essworker_breaker_open c": 0,
			"essworker_lane_held a": 0, "essworker_lane_held b": 1, "essworker_lane_held c": 0,
			"essworker_quota_pace a": 20, "essworker_quota_pace b": 20, "essworker_quota_pace c": 20,
			"essworker_tenants_held": 1, "essworker_breaker_transitions_total a open": 1,
		}
		if d := cmp.Diff(wantMetrics, collect(t, reader)); d != "" {
			t.Errorf("metrics (-want +got):\n%s", d)
		}
		for text, n := range map[string]int{
			`msg="breaker opened" lane=a from=closed to=open code=InternalError`:                               1,
			`msg="hold began: nothing is lost, work waits until this is mended" hold="action Grant" lane=b`:    1,
			`msg="hold began: nothing is lost, work waits until this is mended" hold="tenant ess:org1" lane=c`: 1,
			`code=Bad-action why="mend it" request_id=r-1 probe_every=1m0s`:                                    1,
			`level=ERROR`: 2,
		} {
			if got := strings.Count(log.String(), text); got != n {
				t.Errorf("%q is logged %d times, want %d:\n%s", text, got, n, log.String())
			}
		}
	})
}

// collect gives every figure by its name and attributes.
func collect(t *testing.T, r *metric.ManualReader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
				add(got, m.Name, data.DataPoints)
			case metricdata.Gauge[float64]:
				add(got, m.Name, data.DataPoints)
			case metricdata.Sum[int64]:
				add(got, m.Name, data.DataPoints)
			default:
				t.Errorf("%s is a %T", m.Name, m.Data)
			}
		}
	}
	return got
}

func add[N int64 | float64](to map[string]float64, name string, points []metricdata.DataPoint[N]) {
	for _, p := range points {
		key := name
		var keySb291 strings.Builder
		for _, attr := range p.Attributes.ToSlice() {
			keySb291.WriteString(" " + attr.Value.AsString())
		}
		key += keySb291.String()
		to[key] += float64(p.Value)
	}
}
