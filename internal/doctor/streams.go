package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/topology"
)

// look reads streams and consumers, all at once, so that those that do not answer cost
// one wait. It is false if there is nothing to look at further.
func (b *broker) look(ctx context.Context) bool {
	names := b.Topology.Streams()
	infos := make([]*jetstream.StreamInfo, len(names))
	errs := make([]error, len(names))
	var asked sync.WaitGroup
	for i, name := range names {
		if !b.denied["$JS.API.STREAM.INFO."+name] {
			asked.Go(func() { infos[i], errs[i] = b.stream(ctx, name) })
		}
	}
	consumers := make([]*jetstream.ConsumerInfo, len(b.Routes))
	consumerErrs := make([]error, len(b.Routes))
	for i, r := range b.Routes {
		if !b.denied["$JS.API.CONSUMER.INFO."+b.Topology.EventsStream()+"."+topology.Consumer(r.Type)] {
			asked.Go(func() { consumers[i], consumerErrs[i] = b.consumer(ctx, topology.Consumer(r.Type)) })
		}
	}
	asked.Wait()

	b.streams, b.consumers = map[string]*jetstream.StreamInfo{}, map[string]*jetstream.ConsumerInfo{}
	missing := 0
	const leaderless = "see which servers are down: `nats server report jetstream`; with a majority of its copies it answers again"
	for i, name := range names {
		switch {
		case errors.Is(errs[i], jetstream.ErrStreamNotFound):
			missing++
		case errs[i] != nil:
			b.tell.bad("stream "+name, leaderless, "%s", b.silence(errs[i]))
			b.partly = true
		case infos[i] != nil:
			b.streams[name] = infos[i]
		}
	}
	for i, r := range b.Routes {
		switch name, err := topology.Consumer(r.Type), consumerErrs[i]; {
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrNotPullConsumer):
			// said by settings
		case err != nil:
			b.tell.bad("consumer "+name, leaderless, "%s", b.silence(err))
			b.partly = true
		case consumers[i] != nil:
			b.consumers[name] = consumers[i]
		}
	}
	if missing == len(names) {
		b.tell.bad("streams", "run worker setup (worker run does the same at its start); or check --prefix and the login's account",
			"nothing is set up here under the prefix %q", b.Topology.Prefix)
		return false
	}
	return true
}

func (b *broker) stream(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	ctx, cancel := b.patient(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

func (b *broker) consumer(ctx context.Context, name string) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := b.patient(ctx)
	defer cancel()
	c, err := b.js.Consumer(ctx, b.Topology.EventsStream(), name)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}

// settings compares what is there with what is declared, by the plan of worker setup.
func (b *broker) settings(ctx context.Context) {
	for subject := range b.denied {
		b.partly = b.partly || subject == "$JS.API.INFO" ||
			strings.HasPrefix(subject, "$JS.API.STREAM.INFO.") || strings.HasPrefix(subject, "$JS.API.CONSUMER.INFO.")
	}
	if b.partly {
		b.tell.warn("settings", "mend the findings above, then look again", "not compared with what is declared: not all of it can be seen")
		return
	}
	ctx, cancel := b.patient(ctx)
	defer cancel()
	plan, err := topology.Plan(ctx, b.js, b.Topology, b.types())
	for _, err := range parts(err) {
		if r, ok := errors.AsType[*topology.Refusal](err); ok {
			b.tell.bad(r.Kind+" "+r.Name, r.Advice, "%s is %s and must be %s: %s", r.Field, r.Have, r.Want, r.Why)
			continue
		}
		b.tell.bad("settings", "mend that, then look again", "not compared with what is declared: %s", b.silence(err))
	}
	for _, c := range plan.Changes {
		b.change(c)
	}
	for _, w := range plan.Warnings {
		if slices.ContainsFunc(plan.Changes, func(c topology.Change) bool {
			return c.Name == w.Name && slices.ContainsFunc(c.Fields, func(f topology.FieldChange) bool { return f.Name == w.Field })
		}) {
			continue // said with the change
		}
		b.tell.warn(w.Kind+" "+w.Name, w.Why, "%s is %s, declared %s", w.Field, w.Have, w.Want)
	}
	if err == nil && len(plan.Changes)+len(plan.Warnings) == 0 {
		b.tell.ok("settings", "%d streams and %d consumers are as declared: retention, storage, limits, duplicate window, filters, deliveries",
			len(b.Topology.Streams()), len(b.Routes))
	}
}

// mild are the settings that, wrong, lose no event, stop no lane and break no promise.
var mild = []string{
	"ack_wait", "backoff", "max_ack_pending", "inactive_threshold", "duplicate_window", "max_msg_size",
	"discard_new_per_subject", "subject_delete_marker_ttl", "consumer_limits",
}

const setup = "`worker setup` mends it, as does the start of a worker"

// change speaks of what setup would do.
func (b *broker) change(c topology.Change) {
	check := c.Kind + " " + c.Name
	if c.Action == "create" {
		b.tell.bad(check, setup, "is missing")
		return
	}
	for _, f := range c.Fields {
		if slices.Contains(mild, f.Name) {
			b.tell.warn(check, setup, "%s is %s, declared %s", f.Name, f.From, f.To)
		} else {
			b.tell.bad(check, setup, "%s is %s, declared %s", f.Name, f.From, f.To)
		}
	}
}

// parts takes a joined error apart.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return []error{err}
	}
	var list []error
	var text []string
	for _, e := range joined.Unwrap() {
		list = append(list, parts(e)...)
		text = append(text, e.Error())
	}
	if strings.Join(text, "\n") != err.Error() { // a sentence about several errors, not a list of them
		return []error{err}
	}
	return list
}

// copies looks at the servers behind each stream and consumer.
func (b *broker) copies() {
	sound := true
	for _, name := range b.Topology.Streams() {
		if s := b.streams[name]; s != nil {
			sound = b.peers("stream "+name, s.Config.Replicas, s.Cluster) && sound
			sound = b.filled(s) && sound
		}
	}
	for _, r := range b.Routes {
		if c := b.consumers[topology.Consumer(r.Type)]; c != nil {
			want := c.Config.Replicas // 0 is those of the stream, which it follows with a delay
			if s := b.streams[b.Topology.EventsStream()]; s != nil && want == 0 {
				want = s.Config.Replicas
			}
			sound = b.peers("consumer "+c.Name, want, c.Cluster) && sound
		}
	}
	least := b.leastCopies()
	switch {
	case least == 1 && b.nc.ConnectedClusterName() != "":
		b.tell.warn("copies", "set WORKER_REPLICAS=3 and run worker setup: with one copy, work stops with its server, and is lost with its disk",
			"the server belongs to a cluster and each message has one copy")
	case sound && least == 1:
		b.tell.ok("copies", "one of each message")
	case sound && least > 1:
		b.tell.ok("copies", "%d of each message, on servers that are online and up to date", least)
	}
}

// leastCopies is how many copies the message with the fewest has.
func (b *broker) leastCopies() int {
	least := 0
	for _, s := range b.streams {
		if least == 0 || s.Config.Replicas < least {
			least = s.Config.Replicas
		}
	}
	return least
}

// peers tells which servers of a group do not keep up.
func (b *broker) peers(check string, replicas int, c *jetstream.ClusterInfo) (sound bool) {
	if c == nil {
		return true
	}
	sound = true
	if c.Leader == "" {
		b.tell.bad(check, "see which servers are down: `nats server report jetstream`", "has no leader: nothing can be stored or read")
		sound = false
	}
	for _, p := range c.Replicas {
		switch {
		case p.Offline:
			b.tell.bad(check, "bring the server back, or replace it: `nats server cluster peer-remove`", "its copy on %s is offline", p.Name)
			sound = false
		case !p.Current:
			b.tell.warn(check, "wait for it to catch up; if it does not, restart that server", "its copy on %s is %d operations behind", p.Name, p.Lag)
			sound = false
		}
	}
	if have := len(c.Replicas) + 1; replicas > have {
		b.tell.bad(check, "copies are made within seconds of worker setup; if they are not, the cluster lacks servers that can take them",
			"%d copies are asked for, and there are %d", replicas, have)
		sound = false
	}
	return sound
}

// filled speaks of a stream's own limits.
func (b *broker) filled(s *jetstream.StreamInfo) (sound bool) {
	sound = true
	for _, u := range []used{
		{"bytes", s.State.Bytes, s.Config.MaxBytes, size},
		{"messages", s.State.Msgs, s.Config.MaxMsgs, count},
	} {
		if u.limit > 0 {
			sound = b.room("stream "+s.Config.Name, u) && sound
		}
	}
	return sound
}
