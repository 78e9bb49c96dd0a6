package topology

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

type consumerConfig = jetstream.ConsumerConfig

// consumerFields is what holds for the consumer of every type. A pause is not
// among it: it is an operator's, and outlives deployments. Nor are explicit
// acknowledgement and delivery from the first event: a work queue has no others
// (nats-server 2.15, errors 10098 and 10101).
func consumerFields() []consumerField {
	return []consumerField{
		at("deliver_subject", func(c *consumerConfig) *string { return &c.DeliverSubject }, showText,
			never[consumerConfig]("workers pull")),
		at("replay_policy", func(c *consumerConfig) *jetstream.ReplayPolicy { return &c.ReplayPolicy }, showStringer,
			never[consumerConfig]("events would come no faster than they once were sent")),
		at("mem_storage", func(c *consumerConfig) *bool { return &c.MemoryStorage }, strconv.FormatBool,
			never[consumerConfig]("a state in memory is gone with its server")),
		at("ack_wait", func(c *consumerConfig) *time.Duration { return &c.AckWait }, showDuration, nil),
		at("max_deliver", func(c *consumerConfig) *int { return &c.MaxDeliver }, showSize, judgeMaxDeliver),
		at("backoff", func(c *consumerConfig) *[]time.Duration { return &c.BackOff }, showBackOff, nil),
		filter(),
		at("max_ack_pending", func(c *consumerConfig) *int { return &c.MaxAckPending }, showSize, nil),
		at("max_waiting", func(c *consumerConfig) *int { return &c.MaxWaiting }, strconv.Itoa, judgeMaxWaiting),
		at("headers_only", func(c *consumerConfig) *bool { return &c.HeadersOnly }, strconv.FormatBool, nil),
		at("inactive_threshold", func(c *consumerConfig) *time.Duration { return &c.InactiveThreshold }, showAge, nil),
		at("num_replicas", func(c *consumerConfig) *int { return &c.Replicas }, showReplicas, nil),
		priority(),
	}
}

// judgeMaxDeliver lifts the limit and says what that leaves behind: the server does
// not take up again what it has given up.
func judgeMaxDeliver(have, _ *consumerConfig) verdict {
	return verdict{update, fmt.Sprintf("events that had reached the limit of %d stay undelivered in the stream; to have them back see `nats consumer reset`", have.MaxDeliver)}
}

func judgeMaxWaiting(have, want *consumerConfig) verdict {
	if have.MaxWaiting >= want.MaxWaiting {
		return verdict{action: keep}
	}
	return verdict{warn, fmt.Sprintf("pulls beyond that are dropped, and it is fixed for the consumer's life; with a fleet that large, stop the workers, `nats consumer rm ... %s` and run `worker setup`: its events stay in the stream",
		have.Durable)}
}

// filter sees the two forms of a filter as one.
func filter() consumerField {
	f := at("filter_subject", func(c *consumerConfig) *string { return &c.FilterSubject }, showText, nil)
	f.show = func(c *consumerConfig) string {
		if c.FilterSubject != "" {
			return c.FilterSubject
		}
		return showList(c.FilterSubjects)
	}
	f.set = func(have, want *consumerConfig) { have.FilterSubject, have.FilterSubjects = want.FilterSubject, nil }
	return f
}

// priority is off: a pull that names no group is refused by a consumer that has some.
func priority() consumerField {
	return consumerField{
		name: "priority_groups",
		show: func(c *consumerConfig) string { return showList(c.PriorityGroups) },
		judge: func(_, _ *consumerConfig) verdict {
			return verdict{action: update}
		},
		set: func(have, _ *consumerConfig) {
			have.PriorityGroups, have.PriorityPolicy, have.PinnedTTL = nil, jetstream.PriorityPolicyNone, 0
		},
	}
}

func showBackOff(list []time.Duration) string {
	words := make([]string, len(list))
	for i, d := range list {
		words[i] = showDuration(d)
	}
	return cmp.Or(strings.Join(words, ", "), "none")
}

func showReplicas(n int) string {
	if n == 0 {
		return "the stream's"
	}
	return strconv.Itoa(n)
}
