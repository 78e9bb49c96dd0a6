package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/topology"
)

// prefetch is how many events the loop has the client ask for at a time.
const prefetch = 1024

// stallWait is how long a publish may wait for room; the client's own 200 ms are over
// quickly when the server syncs each message.
const stallWait = time.Minute

// loop is a tight loop on the NATS client, as somebody writes it who wants it fast: a
// deep prefetch, as many goroutines as calls, results published without waiting, each
// event acknowledged once its result is confirmed.
func (j job) loop(ctx context.Context, out io.Writer) error {
	nc, err := nats.Connect(j.nats)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(prefetch))
	if err != nil {
		return err
	}
	consumer, err := js.Consumer(ctx, names.EventsStream(), topology.Consumer(eventType))
	if err != nil {
		return err
	}
	work, published := make(chan jetstream.Msg), make(chan sent, prefetch)
	var workers, acker sync.WaitGroup
	for range j.concurrency {
		workers.Go(func() {
			for msg := range work {
				j.one(ctx, js, msg, published)
			}
		})
	}
	acker.Go(func() {
		for s := range published {
			s.settle()
		}
	})
	consuming, err := consumer.Consume(func(msg jetstream.Msg) { work <- msg }, jetstream.PullMaxMessages(prefetch))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "working")
	<-ctx.Done()
	consuming.Stop()
	<-consuming.Closed()
	close(work)
	workers.Wait()
	close(published)
	acker.Wait()
	return nil
}

// sent is a result on its way, and the event it is of.
type sent struct {
	ack jetstream.PubAckFuture
	msg jetstream.Msg
}

func (j job) one(ctx context.Context, js jetstream.JetStream, msg jetstream.Msg, published chan<- sent) {
	head := msg.Headers()
	r, err := j.handle(ctx, head.Get("ce-id"), head.Get("ce-source"), msg.Data())
	if err == nil {
		res := &nats.Msg{Subject: names.ResultSubject(resultType, r.key), Header: make(nats.Header, len(r.head)+1), Data: r.data}
		for k, v := range r.head {
			res.Header[k] = []string{v}
		}
		res.Header.Set(nats.MsgIdHdr, r.id)
		var ack jetstream.PubAckFuture
		if ack, err = js.PublishMsgAsync(res, jetstream.WithStallWait(stallWait)); err == nil {
			published <- sent{ack, msg}
			return
		}
	}
	fmt.Fprintln(os.Stderr, "loop:", err)
	_ = msg.Nak() // it comes again after the ack wait
}

func (s sent) settle() {
	select {
	case <-s.ack.Ok():
		_ = s.msg.Ack() // else it comes again
	case err := <-s.ack.Err():
		fmt.Fprintln(os.Stderr, "loop:", err)
		_ = s.msg.Nak()
	}
}
