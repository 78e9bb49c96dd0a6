package gauges

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"essworker/internal/replay"
	"essworker/internal/status"
)

// instruments are those of Gauges.
type instruments struct {
	backlog, paused, laneWorkers, limit, letters, workers, jobs metric.Int64ObservableGauge
	copies, current, syncs                                      metric.Int64ObservableGauge
	oldest, used, oldestLetter, untouched                       metric.Float64ObservableGauge
}

// register makes the instruments and gives them out until unregister.
func (g *Gauges) register() (unregister func(), err error) {
	var in instruments
	var all []metric.Observable
	var errs []error
	count := func(into *metric.Int64ObservableGauge, name, unit, help string) {
		i, err := g.Meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(help))
		*into, all, errs = i, append(all, i), append(errs, err)
	}
	amount := func(into *metric.Float64ObservableGauge, name, unit, help string) {
		i, err := g.Meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(help))
		*into, all, errs = i, append(all, i), append(errs, err)
	}
	count(&in.backlog, "essworker.lane.backlog", "{event}", "Events that are not settled, by lane and state: waiting, calls, or retry.")
	amount(&in.oldest, "essworker.lane.oldest", "s", "Age of a lane's oldest event that is not settled; 0 without one.")
	count(&in.paused, "essworker.lane.paused", "", "1 while an operator has paused a lane, else 0.")
	count(&in.laneWorkers, "essworker.lane.workers", "{worker}", "Workers that serve a lane.")
	count(&in.limit, "essworker.quota.limit", "{call}", "Calls a second that are agreed on for a lane's action; 0 is no limit. Absent if nobody knows.")
	amount(&in.used, "essworker.quota.used", "{call}", "Calls of all workers in the last minute for a lane's action, about.")
	count(&in.letters, "essworker.letters.stored", "{letter}", "Dead letters there are, by lane and reason.")
	amount(&in.oldestLetter, "essworker.letters.oldest", "s", "Age of the oldest dead letter; 0 without one.")
	amount(&in.untouched, "essworker.letters.oldest_untouched", "s", "Age of the oldest letter that was never replayed nor is to be ignored; 0 without one.")
	count(&in.workers, "essworker.fleet.workers", "{worker}", "Workers there are.")
	count(&in.jobs, "essworker.replay.jobs", "{job}", "Replay jobs that are not over, by state.")
	count(&in.copies, "essworker.stream.copies", "{copy}", "Copies a stream is to have.")
	count(&in.current, "essworker.stream.copies_current", "{copy}", "Copies of a stream that are up to date.")
	count(&in.syncs, "essworker.broker.sync_always", "", "1 if a NATS server puts each message on the disk before it confirms it, else 0. Absent unless NATS_MONITOR names the server.")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r, err := g.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if s := g.seen.Load(); s != nil && time.Since(s.at) < staleAfter {
			in.observe(o, s)
			in.observeBroker(o, s)
		}
		return nil
	}, all...)
	if err != nil {
		return nil, err
	}
	return func() { _ = r.Unregister() }, nil
}

func (in instruments) observe(o metric.Observer, s *seen) {
	now := s.now.At.Add(time.Since(s.at)) // by the server's clock
	for _, l := range s.now.Lanes {
		lane := attribute.String("lane", l.Type)
		of := metric.WithAttributes(lane)
		for state, n := range map[string]uint64{"waiting": l.Waiting, "calls": l.Calls, "retry": l.Retry} {
			o.ObserveInt64(in.backlog, int64(n), metric.WithAttributes(lane, attribute.String("state", state))) //nolint:gosec // a count
		}
		o.ObserveFloat64(in.oldest, age(l.Oldest, now), of)
		o.ObserveInt64(in.paused, truth(l.State == status.Paused), of)
		o.ObserveInt64(in.laneWorkers, int64(l.Workers), of)
		if l.Quota.Known {
			o.ObserveInt64(in.limit, int64(l.Quota.Limit), of)
		}
		o.ObserveFloat64(in.used, l.Quota.Used, of)
		for reason, n := range l.Letters {
			o.ObserveInt64(in.letters, int64(n), metric.WithAttributes(lane, attribute.String("reason", string(reason)))) //nolint:gosec // a count
		}
	}
	o.ObserveFloat64(in.oldestLetter, age(s.now.Letters.Oldest, now))
	o.ObserveFloat64(in.untouched, age(s.now.Letters.Untouched, now))
	o.ObserveInt64(in.workers, int64(len(s.now.Workers)))
	for _, state := range []replay.State{replay.Waiting, replay.Canary, replay.Running, replay.Holding, replay.Paused} {
		o.ObserveInt64(in.jobs, int64(s.jobs[state]), metric.WithAttributes(attribute.String("state", string(state))))
	}
}

func (in instruments) observeBroker(o metric.Observer, s *seen) {
	for stream, n := range s.copies {
		of := metric.WithAttributes(attribute.String("stream", stream))
		o.ObserveInt64(in.copies, int64(n[0]), of)
		o.ObserveInt64(in.current, int64(n[1]), of)
	}
	for server, always := range s.syncs {
		o.ObserveInt64(in.syncs, truth(always), metric.WithAttributes(attribute.String("server", server)))
	}
}

// age is how long ago something was; 0 if it never was.
func age(at, now time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return max(0, now.Sub(at).Seconds())
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
