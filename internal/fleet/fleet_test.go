package fleet_test

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"essworker/internal/fleet"
)

func TestConfig_Validate(t *testing.T) {
	if err := config().Validate(); err != nil {
		t.Errorf("Validate of the defaults = %v", err)
	}
	for want, edit := range map[string]func(*fleet.Config){
		"":                   func(c *fleet.Config) { c.Rate, c.ReplayShare = 0, 1 },
		"--rate":             func(c *fleet.Config) { c.Rate = -1 },
		"--replay-share":     func(c *fleet.Config) { c.ReplayShare = 0 },
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
	c = config()
	c.ReplayShare = 1.1
	if err := c.Validate(); err == nil {
		t.Errorf("%+v.Validate() = nil, want an error: there is no more than the whole", c)
	}
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
		var key strings.Builder
		key.WriteString(name)
		for _, attr := range p.Attributes.ToSlice() {
			key.WriteString(" " + attr.Value.AsString())
		}
		to[key.String()] += float64(p.Value)
	}
}
