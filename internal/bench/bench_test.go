package bench_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric/noop"

	"essworker/internal/bench"
	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

// TestTrial measures a worker that does its work, and others that do not quite.
func TestTrial(t *testing.T) {
	const n = 90
	tests := []struct {
		name   string
		rate   float64
		limit  int
		damage damage
		want   []string // what the report says is wrong, in part
	}{
		{name: "all waiting"},
		{name: "at a rate", rate: 30},
		{
			name:   "all sorts of damage",
			damage: damage{1: fail, 2: fail, 10: twice, 20: callTwice, 30: noCall, 40: noAck, 50: strange},
			want: []string{
				"2 events have no success", "1 events have more than one success", "2 events have a failure",
				"1 results are of no event of this trial", "1 events were not carried out", "1 events were carried out more than once",
				"1 events are still there", "2 letters were written",
			},
		},
		{
			name: "too fast", limit: 5,
			want: []string{"of BindEmployeeUserIdWithClientOpenId came in one second, over the limit of 5", "ChannelCreateSealPolicy", "CreateUserAutoSignSealUrl"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorker(t, tt.damage)
				defer w.stop()
				took := 10 * time.Millisecond // a call
				trial := w.trial(n)
				trial.Rate, trial.Limit = tt.rate, tt.limit
				w.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: took})
				r, err := trial.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ok := len(r.Wrong) == len(tt.want)
				for i, want := range tt.want {
					ok = ok && strings.Contains(r.Wrong[i], want)
				}
				if !ok {
					t.Errorf("wrong = %q, want %q", r.Wrong, tt.want)
				}
				if tt.want != nil {
					return
				}
				if r.Events != n || r.Calls != n || len(r.Call) != n || len(r.Result) != n || len(r.Rest) != n {
					t.Errorf("%d events, %d calls, %d, %d and %d latencies; want %d each", r.Events, r.Calls, len(r.Call), len(r.Result), len(r.Rest), n)
				}
				if r.Rest.At(0.5) != took {
					t.Errorf("median from call to result = %v, want the vendor's %v", r.Rest.At(0.5), took)
				}
				want := n * took / 3 // three types, one call at a time each
				if tt.rate > 0 {
					want = time.Duration(float64(n-1)/tt.rate*float64(time.Second)) + took
					if r.Call.At(1) != 0 || r.Result.At(1) != took {
						t.Errorf("longest to the call %v, to the result %v; want 0, %v", r.Call.At(1), r.Result.At(1), took)
					}
				}
				if r.Took != want {
					t.Errorf("took %v, want %v", r.Took, want)
				}
			})
		})
	}
}

// TestTrial_stalls has a worker that stops half-way.
func TestTrial_stalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorker(t, damage{60: hang})
		defer w.stop()
		_, err := w.trial(90).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no result for 2m0s, with 80 of 90 there") {
			t.Errorf("error %v, want one that says where it stalled", err)
		}
	})
}

// TestTrial_nobody has no worker at all.
func TestTrial_nobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{t: t, bed: natstest.New(t, bench.Kinds()...)}
		_, err := w.trial(1).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no worker has asked for events within 30s") {
			t.Errorf("error %v, want one that says that nobody is there", err)
		}
	})
}

// TestTrial_cutOff ends the trial in the midst of publishing.
func TestTrial_cutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorker(t, nil)
		defer w.stop()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("cut off"))
		defer cancel()
		trial := w.trial(1000)
		trial.Rate = 50
		if _, err := trial.Run(ctx); err == nil || err.Error() != "cut off" {
			t.Errorf("error %v, want the cause of the end", err)
		}
	})
}

// damage is what a worker does wrong, by the event's number.
type damage map[int]wrong

type wrong string

const (
	fail      wrong = "fail"       // a letter and a failure
	twice     wrong = "twice"      // two successes
	callTwice wrong = "call twice" // only a link can be carried out twice
	noCall    wrong = "no call"    // a success of nothing
	noAck     wrong = "no ack"     // the event comes again
	strange   wrong = "strange"    // a result of an event nobody knows, too
	hang      wrong = "hang"       // the lane does nothing any more
)

// worker is a simple worker: one event of a type at a time, and the result before the
// acknowledgement.
type worker struct {
	t      *testing.T
	bed    *natstest.Bed
	sim    *esssim.Sim
	js     jetstream.JetStream
	damage damage
	quit   context.CancelFunc
	wg     sync.WaitGroup
}

func newWorker(t *testing.T, d damage) *worker {
	t.Helper()
	w := &worker{t: t, bed: natstest.New(t, bench.Kinds()...), sim: esssim.New(esssim.Config{}), damage: d}
	api, err := essapi.New(essapi.Config{
		Endpoint: "http://127.0.0.1", BasicEndpoint: "http://127.0.0.1", Timeout: time.Minute,
		SecretID: esssim.SecretID, SecretKey: esssim.SecretKey,
	}, essapi.Options{Transport: w.sim, Concurrency: 3, Meter: noop.Meter{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	if w.js, err = jetstream.New(w.bed.Connect(natsconn.Options{}, natsconn.Config{})); err != nil {
		t.Fatal(err)
	}
	ctx, quit := context.WithCancel(t.Context())
	w.quit = quit
	for _, r := range handlers.Routes(api, handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID}) {
		w.wg.Go(func() { w.work(ctx, r) })
	}
	return w
}

func (w *worker) trial(n int) bench.Trial {
	return bench.Trial{
		NC: w.bed.NC, Names: w.bed.Topology.Names, Types: bench.Kinds(), Events: n,
		Vendor: bench.Vendor{URL: "http://sim", Transport: w.sim},
	}
}

func (w *worker) stop() {
	w.quit()
	w.wg.Wait()
}

func (w *worker) work(ctx context.Context, r event.Route) {
	consumer, err := w.js.Consumer(ctx, w.bed.Topology.EventsStream(), strings.ReplaceAll(r.Type, ".", "-"))
	if !w.check(ctx, err) {
		return
	}
	for ctx.Err() == nil {
		batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(time.Second))
		if !w.check(ctx, err) {
			return
		}
		for msg := range batch.Messages() {
			w.one(ctx, r, msg)
		}
	}
}

func (w *worker) one(ctx context.Context, r event.Route, msg jetstream.Msg) {
	e, err := event.Parse(r.Type, msg.Headers(), msg.Data())
	if !w.check(ctx, err) {
		return
	}
	job, err := r.Prepare(e.Data())
	if !w.check(ctx, err) {
		return
	}
	id, typ := e.ID(), r.Success
	number, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
	if !w.check(ctx, err) {
		return
	}
	damage := w.damage[number]
	if damage == hang {
		<-ctx.Done()
		return
	}
	calls := 1
	switch damage {
	case callTwice:
		calls = 2
	case noCall:
		calls = 0
	default:
	}
	data := []byte("{}")
	for range calls {
		if data, err = job.Call(ctx); !w.check(ctx, err) {
			return
		}
	}
	key := event.Key(e.Source(), e.ID())
	names := w.bed.Topology.Names
	if damage == strange {
		w.publish(ctx, names.ResultSubject(typ, key+"strange"), typ, "bench-elsewhere-1", data)
	}
	if damage == fail {
		typ = r.Failure
		w.publish(ctx, names.LetterSubject("rejected", r.Type, key), "letter", id, nil)
	}
	w.publish(ctx, names.ResultSubject(typ, key), typ, id, data)
	if damage == twice {
		w.publish(ctx, names.ResultSubject(typ, key+"again"), typ, id, data)
	}
	if damage == noAck {
		return
	}
	w.check(ctx, msg.DoubleAck(ctx))
}

// check reports an error, and says whether there was none. The end of ctx is not one.
func (w *worker) check(ctx context.Context, err error) (ok bool) {
	if err != nil && ctx.Err() == nil {
		w.t.Error(err)
	}
	return err == nil
}

func (w *worker) publish(ctx context.Context, subject, typ, id string, data []byte) {
	msg := &nats.Msg{Subject: subject, Header: nats.Header{"ce-type": {typ}, "ce-causationid": {id}}, Data: data}
	_, err := w.js.PublishMsg(ctx, msg)
	w.check(ctx, err)
}
