package consumer_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/handlers"
)

// TestSpans_tellAnEventsWay: one trace from its publisher to who takes the result. A
// replay is in the same trace and linked to the span that wrote the letter.
func TestSpans_tellAnEventsWay(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		spans := tracetest.NewSpanRecorder()
		y.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		stop := y.work()
		const trace, publisher = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
		y.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "no [sim]", Count: 1})
		header, body, err := event.Write(event.New("employee.onboarded", source, "e1", []byte(data("employee.onboarded", 1))))
		if err != nil {
			t.Fatal(err)
		}
		header.Set("ce-traceparent", "00-"+trace+"-"+publisher+"-01")
		header.Set("Dlq-Trace", "00-"+trace+"-"+publisher+"-01") // a publisher's word is no letter's
		y.raw("employee.onboarded", header, body)
		y.settle(time.Minute)
		letter := y.letters()[0].ID
		y.replay(letter)
		y.settle(time.Minute)

		var got []string
		names := map[string]string{publisher: "publisher"}
		stop()
		ended := spans.Started() // in this order; all have ended
		for i, s := range ended {
			if s.SpanContext().TraceID().String() != trace {
				t.Errorf("span %q is in trace %s, want the event's", s.Name(), s.SpanContext().TraceID())
			}
			names[s.SpanContext().SpanID().String()] = fmt.Sprintf("%s %d", s.Name(), i)
		}
		for i, s := range ended {
			line := []string{fmt.Sprintf("%s %d: %s in %s", s.Name(), i, s.SpanKind(), names[s.Parent().SpanID().String()])}
			for _, l := range s.Links() {
				to := attribute.NewSet(l.Attributes...)
				line = append(line, strings.TrimSpace("to "+names[l.SpanContext.SpanID().String()]+" "+to.Encoded(attribute.DefaultEncoder())))
			}
			got = append(got, strings.Join(line, ", "))
		}
		want := []string{
			"process employee.onboarded 0: consumer in publisher, to publisher",
			"POST BindEmployeeUserIdWithClientOpenId 1: client in process employee.onboarded 0",
			"publish employee.onboarded letter 2: producer in process employee.onboarded 0",
			"publish employee.bind.failed 3: producer in process employee.onboarded 0",
			"process employee.onboarded 4: consumer in publisher, to publisher, to publish employee.onboarded letter 2 essworker.letter=1",
			"POST BindEmployeeUserIdWithClientOpenId 5: client in process employee.onboarded 4",
			"publish employee.bound 6: producer in process employee.onboarded 4",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("spans (-want +got):\n%s", d)
		}
		if sent, want := y.traceParents()["employee.bound"], "00-"+trace+"-"+ended[6].SpanContext().SpanID().String()+"-01"; sent != want {
			t.Errorf("the result's traceparent is %s, want that of the span that stored it, %s", sent, want)
		}
		attrs := attribute.NewSet(ended[4].Attributes()...)
		for key, want := range map[attribute.Key]string{
			"messaging.system": "nats", "messaging.operation.type": "process", "messaging.operation.name": "process",
			"messaging.destination.name": "ess.events.employee.onboarded", "messaging.consumer.group.name": "employee-onboarded",
			"messaging.message.id": "e1", "essworker.outcome": "succeeded",
		} {
			if got, _ := attrs.Value(key); got.String() != want {
				t.Errorf("%s is %q, want %q", key, got.String(), want)
			}
		}
	})
}

// traceParents are those of the results, by type.
func (y *yard) traceParents() map[string]string {
	y.t.Helper()
	found := map[string]string{}
	for msg := range y.stored(y.Topology.ResultsStream()) {
		found[msg.Header.Get("ce-type")] = msg.Header.Get("ce-traceparent")
	}
	return found
}

// TestMetrics_count: what happened is in the metrics, under the names of the semantic
// conventions where these have one.
func TestMetrics_count(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		reader := sdkmetric.NewManualReader()
		y.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		stop := y.work()
		defer stop()
		y.send("employee.onboarded", "good", data("employee.onboarded", 1))
		y.send("employee.onboarded", "bad", `{"userId":7}`)
		y.settle(time.Minute)
		got := counted(t, reader)
		want := map[string]int64{
			"messaging.client.consumed.messages succeeded":                               1,
			"messaging.client.consumed.messages lettered lettered":                       1,
			"messaging.process.duration succeeded":                                       1,
			"messaging.process.duration lettered lettered":                               1,
			"messaging.client.sent.messages ess.results.employee.bound.{key}":            1,
			"messaging.client.sent.messages ess.results.employee.bind.failed.{key}":      1,
			"messaging.client.operation.duration ess.results.employee.bound.{key}":       1,
			"messaging.client.operation.duration ess.results.employee.bind.failed.{key}": 1,
			"essworker.letters SchemaViolation invalid":                                  1,
			"essworker.vendor.calls ok":                                                  1,
			"essworker.slot.wait":                                                        1,
			"essworker.event.age":                                                        2,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("counted (-want +got):\n%s", d)
		}
	})
}

// TestMetrics_whatWasNotSettled: a delivery that could not be settled came to nothing, whatever
// the vendor said, and its span says so.
func TestMetrics_whatWasNotSettled(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		reader := sdkmetric.NewManualReader()
		y.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		spans := tracetest.NewSpanRecorder()
		y.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		called, cut := make(chan bool), make(chan bool)
		routes := handlers.Routes(y.api(), handlers.Defaults{Operator: esssim.OperatorUserID})
		for i := range routes {
			routes[i].Prepare = func([]byte) (event.Job, error) {
				return event.Job{Subject: "s", Call: func(context.Context) ([]byte, error) {
					close(called)
					<-cut
					return []byte(`{}`), nil
				}}, nil
			}
		}
		_, _, kill := y.start(routes)
		y.send("employee.onboarded", "e1", data("employee.onboarded", 1))
		<-called
		go func() {
			time.Sleep(time.Second) // kill has cut the connection, and waits
			close(cut)
		}()
		kill()
		got := counted(t, reader)
		want := map[string]int64{
			"messaging.client.consumed.messages unsettled unsettled": 1,
			"messaging.process.duration unsettled unsettled":         1,
			"essworker.vendor.calls ok":                              1,
			"essworker.slot.wait":                                    1,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("counted (-want +got):\n%s", d)
		}
		span := spans.Ended()[len(spans.Ended())-1]
		attrs := attribute.NewSet(span.Attributes()...)
		if why, _ := attrs.Value("error.type"); span.Status().Code != codes.Error || why.AsString() != "unsettled" {
			t.Errorf("span %q: %v, error.type %q, want an error of type unsettled", span.Name(), span.Status(), why.AsString())
		}
	})
}

// counted are the counts of all series that are not 0.
func counted(t *testing.T, reader sdkmetric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					got[under(m.Name, p.Attributes)] += p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					got[under(m.Name, p.Attributes)] += int64(p.Count)
				}
			}
		}
	}
	maps.DeleteFunc(got, func(_ string, n int64) bool { return n == 0 })
	return got
}

// under names a series by its metric and what tells it from others in the test.
func under(metric string, attrs attribute.Set) string {
	words := []string{metric}
	for _, a := range attrs.ToSlice() {
		switch a.Key {
		case "lane", "messaging.system", "messaging.operation.type", "messaging.operation.name", "messaging.destination.name", "messaging.consumer.group.name":
		default:
			words = append(words, a.Value.String())
		}
	}
	return strings.Join(words, " ")
}
