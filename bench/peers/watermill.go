package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go"
	"github.com/sony/gobreaker"
)

// watermill is the job with Watermill's router, as its documentation has it: package nats
// (the one it recommends for production) with JetStream, acknowledgements that are
// confirmed and message ids that are tracked ("exactly once"), and the middlewares for a
// poison queue, retries and a circuit breaker. Its Throttle is left out, as nobody here
// has a quota.
func (j job) watermill(ctx context.Context, out io.Writer) error {
	log := watermill.NewStdLoggerWithOut(os.Stderr, false, false)
	js := wmnats.JetStreamConfig{
		SubscribeOptions: []nats.SubOpt{nats.DeliverAll(), nats.AckExplicit()},
		TrackMsgId:       true,
		DurablePrefix:    "watermill",
	}
	sub, err := wmnats.NewSubscriber(wmnats.SubscriberConfig{
		URL: j.nats, QueueGroupPrefix: "watermill", SubscribersCount: j.concurrency,
		AckWaitTimeout: time.Minute, Unmarshaler: &wmnats.NATSMarshaler{}, JetStream: js,
	}, log)
	if err != nil {
		return err
	}
	pub, err := wmnats.NewPublisher(wmnats.PublisherConfig{URL: j.nats, Marshaler: &wmnats.NATSMarshaler{}, JetStream: js}, log)
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, log)
	if err != nil {
		return err
	}
	poison, err := middleware.PoisonQueue(pub, names.LetterSubject("poison", eventType, "watermill"))
	if err != nil {
		return err
	}
	router.AddMiddleware(
		middleware.Recoverer,
		poison,
		middleware.Retry{MaxRetries: 8, InitialInterval: time.Second, MaxInterval: time.Minute, Multiplier: 2, Logger: log}.Middleware,
		middleware.NewCircuitBreaker(gobreaker.Settings{Name: "vendor", Timeout: 30 * time.Second}).Middleware,
	)
	router.AddHandler("bind", names.EventSubject(eventType), sub, names.ResultSubject(resultType, "watermill"), pub,
		func(msg *message.Message) ([]*message.Message, error) {
			r, err := j.handle(msg.Context(), msg.Metadata.Get("ce-id"), msg.Metadata.Get("ce-source"), msg.Payload)
			if err != nil {
				return nil, err
			}
			res := message.NewMessage(r.id, r.data)
			res.Metadata = r.head
			return []*message.Message{res}, nil
		})
	go func() {
		<-router.Running()
		fmt.Fprintln(out, "working")
	}()
	return router.Run(ctx)
}
