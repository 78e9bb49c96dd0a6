package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"essworker/internal/consumer"
	"essworker/internal/essapi"
	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
	"essworker/internal/telemetry"
	"essworker/internal/topology"
)

const benchType = "employee.onboarded"

// track is one server with an instant vendor, for the worker and the loop to run on.
type track struct {
	*natstest.Bed

	b      *testing.B
	vendor *httptest.Server
	next   int
	tracer trace.TracerProvider
	meter  metric.MeterProvider
}

func newTrack(b *testing.B) *track {
	b.Helper()
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"Response":{"Status":1,"RequestId":"fc0b0a6b-01b4-4042-b236-c5356af1d5d8"}}`))
	}))
	b.Cleanup(vendor.Close)
	return &track{
		Bed: natstest.NewTCP(b, handlers.Types()...), b: b, vendor: vendor,
		tracer: tracenoop.NewTracerProvider(), meter: metricnoop.NewMeterProvider(),
	}
}

// publish stores n events, none of which was there before.
func (t *track) publish(n int) {
	t.b.Helper()
	for range n {
		t.next++
		header, body, err := event.Write(event.New(benchType, "/bench", strconv.Itoa(t.next), []byte(data(benchType, t.next))))
		if err != nil {
			t.b.Fatal(err)
		}
		msg := &nats.Msg{Subject: t.Topology.EventSubject(benchType), Header: header, Data: body}
		if _, err := t.JS.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
			t.b.Fatal(err)
		}
	}
	<-t.JS.PublishAsyncComplete()
}

// await waits until no event is left.
func (t *track) await() {
	t.b.Helper()
	stream, err := t.JS.Stream(t.b.Context(), t.Topology.EventsStream())
	if err != nil {
		t.b.Fatal(err)
	}
	for {
		info, err := stream.Info(t.b.Context())
		if err != nil {
			t.b.Fatal(err)
		}
		if info.State.Msgs == 0 {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// worker is worker run without a limit, with everything on, and the function to stop it.
func (t *track) worker() (stop func()) {
	t.b.Helper()
	cfg := essapi.Config{
		Endpoint: t.vendor.URL, BasicEndpoint: t.vendor.URL, Timeout: time.Minute, SecretID: "id", SecretKey: "key",
	}
	api, err := essapi.New(cfg, essapi.Options{Concurrency: 64, Meter: t.meter.Meter("test")})
	if err != nil {
		t.b.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // the line is written, as in production
	nc := t.Connect(natsconn.Options{}, natsconn.Config{})
	js, err := jetstream.New(nc)
	if err != nil {
		t.b.Fatal(err)
	}
	gates, err := fleet.Join(t.b.Context(), fleet.Config{ReplayShare: 0.25, BreakerFailures: 5, BreakerCooldown: time.Second, HoldProbe: time.Second},
		fleet.Member{NC: nc, JS: js, Bucket: t.Topology.FleetBucket(), Host: "bench", CallTimeout: time.Minute, Log: log})
	if err != nil {
		t.b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- consumer.Worker{
			Config: consumer.Config{
				Source: "/essworker", Concurrency: 64, MaxAttempts: 8, BackoffMin: time.Second, BackoffMax: time.Minute, PoisonAfter: 3,
			},
			Topology: t.Topology, NC: nc, JS: js, Fleet: gates,
			Routes:     handlers.Routes(api, handlers.Defaults{Operator: "operator", AppID: "app"}),
			Credential: cfg.Credential, Name: "bench", Log: log,
			Tracer: t.tracer, Meter: t.meter,
		}.Run(ctx)
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.b.Error(err)
		}
		gates.Leave()
		api.Close()
		nc.Close()
	}
}

// loop is what somebody writes by hand who wants it fast: fetch, POST, publish the
// result, acknowledge. No schema, no signature, no duplicates, no limit, no log.
func (t *track) loop() (stop func()) {
	t.b.Helper()
	nc := t.Connect(natsconn.Options{}, natsconn.Config{})
	js, err := jetstream.New(nc)
	if err != nil {
		t.b.Fatal(err)
	}
	cons, err := js.Consumer(t.b.Context(), t.Topology.EventsStream(), topology.Consumer(benchType))
	if err != nil {
		t.b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	work := make(chan jetstream.Msg, 1024)
	for range 64 {
		go func() {
			for msg := range work {
				t.byHand(client, js, msg)
			}
		}()
	}
	running, err := cons.Consume(func(msg jetstream.Msg) { work <- msg }, jetstream.PullMaxMessages(1024))
	if err != nil {
		t.b.Fatal(err)
	}
	return func() {
		running.Stop()
		<-running.Closed()
		close(work)
		client.CloseIdleConnections()
		nc.Close()
	}
}

func (t *track) byHand(client *http.Client, js jetstream.JetStream, msg jetstream.Msg) {
	var in struct {
		UserID string `json:"userId"`
		OpenID string `json:"openId"`
	}
	if err := json.Unmarshal(msg.Data(), &in); err != nil {
		t.b.Error(err)
		return
	}
	body, _ := json.Marshal(map[string]string{"UserId": in.UserID, "OpenId": in.OpenID})
	resp, err := client.Post(t.vendor.URL, "application/json", bytes.NewReader(body)) //nolint:noctx // as by hand
	if err != nil {
		t.b.Error(err)
		return
	}
	var out struct {
		Response struct {
			Status int `json:"Status"`
		} `json:"Response"`
	}
	err = json.NewDecoder(resp.Body).Decode(&out)
	resp.Body.Close()
	if err != nil || out.Response.Status != 1 {
		t.b.Error("the vendor's answer is not a success")
		return
	}
	id := msg.Headers().Get("ce-id")
	result := &nats.Msg{Subject: t.Topology.ResultSubject("employee.bound", "hand"+id), Header: nats.Header{"ce-id": {id}}, Data: body}
	ack, err := js.PublishMsgAsync(result, jetstream.WithStallWait(time.Minute))
	if err != nil {
		t.b.Error(err)
		return
	}
	select {
	case <-ack.Ok():
		if err := msg.Ack(); err != nil {
			t.b.Error(err)
		}
	case err := <-ack.Err():
		t.b.Error(err)
	}
}

// BenchmarkEvent is one event through a lane, all of the path, no limit.
func BenchmarkEvent(b *testing.B) {
	t := newTrack(b)
	t.publish(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	stop := t.worker()
	t.await()
	b.StopTimer()
	stop()
}

// BenchmarkTelemetry runs the worker without metrics and traces, with metrics, and with
// metrics and every tenth event traced, in turns on one server: what each costs is a ratio.
func BenchmarkTelemetry(b *testing.B) {
	t := newTrack(b)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer collector.Close()
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.URL + "/v1/traces", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1",
	} {
		b.Setenv(name, value)
	}
	tel, err := telemetry.Start(b.Context(), telemetry.Config{}, telemetry.Options{Stderr: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer tel.Close(b.Context()) //nolint:errcheck // it has been measured
	laps := []struct {
		name   string
		tracer trace.TracerProvider
		meter  metric.MeterProvider
		wall   time.Duration
		cpu    time.Duration
	}{
		{name: "plain", tracer: t.tracer, meter: t.meter},
		{name: "metrics", tracer: t.tracer, meter: tel.Meter},
		{name: "traced", tracer: tel.Tracer, meter: tel.Meter},
	}
	t.lap(t.worker) // the first one warms up
	for b.Loop() {
		for i := range laps {
			l := &laps[i]
			t.tracer, t.meter = l.tracer, l.meter
			wall, cpu := t.lap(t.worker)
			l.wall, l.cpu = l.wall+wall, l.cpu+cpu
		}
	}
	for _, l := range laps[1:] {
		b.ReportMetric(l.wall.Seconds()/laps[0].wall.Seconds(), l.name+"-x-time")
		b.ReportMetric(l.cpu.Seconds()/laps[0].cpu.Seconds(), l.name+"-x-cpu")
	}
}

// lapEvents is how many events a lap has.
const lapEvents = 5000

// lap is how long events take from a worker's start on, and the processor time, with the
// server's and the vendor's in this process.
func (t *track) lap(start func() (stop func())) (wall, cpu time.Duration) {
	t.publish(lapEvents)
	wall0, cpu0 := time.Now(), processCPU(t.b)
	stop := start()
	t.await()
	wall, cpu = time.Since(wall0), processCPU(t.b)-cpu0
	stop()
	return wall, cpu
}

// BenchmarkBesideLoop runs worker and hand-written loop in turns on one server and
// gives their ratio: machines differ, the ratio hardly does.
func BenchmarkBesideLoop(b *testing.B) {
	t := newTrack(b)
	var byWorker, byHand time.Duration
	var cpuWorker, cpuHand time.Duration
	for b.Loop() {
		wall, cpu := t.lap(t.loop)
		byHand, cpuHand = byHand+wall, cpuHand+cpu
		wall, cpu = t.lap(t.worker)
		byWorker, cpuWorker = byWorker+wall, cpuWorker+cpu
	}
	total := float64(b.N * lapEvents)
	b.ReportMetric(total/byWorker.Seconds(), "worker-events/s")
	b.ReportMetric(total/byHand.Seconds(), "loop-events/s")
	b.ReportMetric(byWorker.Seconds()/byHand.Seconds(), "x-loop-time")
	b.ReportMetric(cpuWorker.Seconds()/cpuHand.Seconds(), "x-loop-cpu") // server and vendor included, in this process
}

// processCPU is the processor time of this process so far.
func processCPU(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
