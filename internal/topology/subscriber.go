package topology

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Subscribe plans a durable consumer of all results, for a service that may make none
// itself, and makes it unless that is only to be planned. One that exists is the
// service's and its operator's, however it is set; then there is no change.
func Subscribe(ctx context.Context, js jetstream.JetStream, n Names, name string, plan bool) ([]Change, error) {
	change := Change{
		Action: "create", Kind: "consumer", Name: n.ResultsStream() + "/" + name,
		Fields: []FieldChange{{Name: "filter_subject", To: n.Results()}},
	}
	switch _, err := js.Consumer(ctx, n.ResultsStream(), name); {
	case err == nil, errors.Is(err, jetstream.ErrNotPullConsumer):
		return nil, nil
	case plan && errors.Is(err, jetstream.ErrStreamNotFound):
		return []Change{change}, nil
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, fmt.Errorf("read consumer %s: %w", change.Name, err)
	case plan:
		return []Change{change}, nil
	}
	_, err := js.CreateConsumer(ctx, n.ResultsStream(), jetstream.ConsumerConfig{
		Name: name, Durable: name, Description: "Results for " + name, FilterSubject: n.Results(),
		AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1,
	})
	if raced(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("create consumer %s: %w", change.Name, err)
	}
	return []Change{change}, nil
}
