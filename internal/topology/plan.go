package topology

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Plan says what Apply would do for these event types. It reads the server and
// changes nothing. Its error holds a [*Refusal] for everything that cannot be made
// to fit, all at once.
func Plan(ctx context.Context, js jetstream.JetStream, cfg Config, types []string) (Report, error) {
	p, err := newPlan(ctx, js, cfg, types)
	if err != nil {
		return Report{}, err
	}
	return p.report(), nil
}

// plan is a list of steps, and what is said beside them.
type plan struct {
	steps    []step
	warnings []Warning
	refused  []error
}

// step is a change and the call that makes it.
type step struct {
	Change
	do func(context.Context) error
}

func (p *plan) report() Report {
	r := Report{Warnings: p.warnings}
	for _, s := range p.steps {
		r.Changes = append(r.Changes, s.Change)
	}
	return r
}

func newPlan(ctx context.Context, js jetstream.JetStream, cfg Config, types []string) (*plan, error) {
	if err := errors.Join(cfg.Validate(), checkTypes(types)); err != nil {
		return nil, err
	}
	account, err := checkServer(ctx, js)
	if err != nil {
		return nil, err
	}
	p := &plan{}
	missing := 0
	for _, s := range streams(cfg, types) {
		found, err := p.stream(ctx, js, s)
		if err != nil {
			return nil, fmt.Errorf("read %s %s: %w", s.kind, s.name, err)
		}
		if !found {
			missing++
		}
	}
	for _, typ := range types {
		if err := p.consumer(ctx, js, cfg, typ); err != nil {
			return nil, fmt.Errorf("read consumer %s: %w", Consumer(typ), err)
		}
	}
	p.refused = append(p.refused, checkRoom(account, missing))
	return p, errors.Join(p.refused...)
}

// stream plans one stream, and says whether it exists.
func (p *plan) stream(ctx context.Context, js jetstream.JetStream, s stream) (found bool, err error) {
	change := Change{Kind: s.kind, Name: s.name}
	is, err := js.Stream(ctx, s.want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		change.Action, change.Fields = "create", created(s.fields, &s.want, "storage", "subjects", "retention", "num_replicas", "max_age", "duplicate_window")
		p.add(change, func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, s.want)
			return err
		})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	next := is.CachedInfo().Config
	advice := fmt.Sprintf("save what is in it, remove it with `nats stream rm %s` and run `worker setup`, or take another WORKER_PREFIX", s.want.Name)
	change.Action, change.Fields = "update", compare(p, change, s.fields, &next, &s.want, advice)
	if len(change.Fields) > 0 {
		p.add(change, func(ctx context.Context) error {
			_, err := js.UpdateStream(ctx, next)
			return err
		})
	}
	return true, nil
}

func (p *plan) consumer(ctx context.Context, js jetstream.JetStream, cfg Config, typ string) error {
	stream, want := cfg.EventsStream(), cfg.consumer(typ)
	change := Change{Kind: "consumer", Name: stream + "/" + want.Durable}
	is, err := js.Consumer(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		change.Action, change.Fields = "create", created(consumerFields(), &want, "filter_subject", "ack_wait")
		p.add(change, func(ctx context.Context) error {
			_, err := js.CreateConsumer(ctx, stream, want)
			return err
		})
		return nil
	}
	var next jetstream.ConsumerConfig
	if errors.Is(err, jetstream.ErrNotPullConsumer) {
		next = want // the client does not show what a push consumer is like
		next.DeliverSubject = "a push consumer's"
	} else if err != nil {
		return err
	} else {
		next = is.CachedInfo().Config
	}
	advice := fmt.Sprintf("remove it with `nats consumer rm %s %s` and run `worker setup`: its events stay in the stream", stream, want.Durable)
	change.Action, change.Fields = "update", compare(p, change, consumerFields(), &next, &want, advice)
	if len(change.Fields) > 0 {
		p.add(change, func(ctx context.Context) error {
			_, err := js.UpdateConsumer(ctx, stream, next)
			return err
		})
	}
	return nil
}

func (p *plan) add(c Change, do func(context.Context) error) {
	p.steps = append(p.steps, step{c, do})
}

// compare judges every field, makes the updates in next, which comes in as what
// the server has, and lists them. Refusals and warnings go to the plan.
func compare[C any](p *plan, c Change, fields []field[C], next, want *C, advice string) []FieldChange {
	var changes []FieldChange
	have := *next
	for _, f := range fields {
		from, to := f.show(&have), f.show(want)
		if from == to {
			continue
		}
		v := f.judge(&have, want)
		switch v.action {
		case keep:
		case update:
			f.set(next, want)
			changes = append(changes, FieldChange{f.name, from, f.show(next)})
		case warn:
		case refuse:
			p.refused = append(p.refused, &Refusal{c.Kind, c.Name, f.name, from, to, v.why, advice})
			continue
		}
		if v.why != "" {
			p.warnings = append(p.warnings, Warning{c.Kind, c.Name, f.name, from, to, v.why})
		}
	}
	return changes
}

// created lists the named fields of a thing to be made: those a reader asks for.
func created[C any](fields []field[C], want *C, names ...string) []FieldChange {
	var list []FieldChange
	for _, name := range names {
		for _, f := range fields {
			if f.name == name {
				list = append(list, FieldChange{Name: name, To: f.show(want)})
			}
		}
	}
	return list
}
