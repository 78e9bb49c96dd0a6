package bench_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric/noop"

	"essworker/internal/bench"
	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/internal/topology"
)

// TestEvents makes events of every type there is, and has each carried out.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{})
		api, err := essapi.New(essapi.Config{
			Endpoint: "http://127.0.0.1", BasicEndpoint: "http://127.0.0.1", Timeout: 1e9,
			SecretID: esssim.SecretID, SecretKey: esssim.SecretKey,
		}, essapi.Options{Transport: sim, Concurrency: 1, Meter: noop.Meter{}})
		if err != nil {
			t.Fatal(err)
		}
		defer api.Close()
		routes := map[string]event.Route{}
		for _, r := range handlers.Routes(api, handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID}) {
			routes[r.Type] = r
		}
		if diff := cmp.Diff(handlers.Types(), bench.Kinds()); diff != "" {
			t.Errorf("Kinds() differs from the types the worker has (-want +got):\n%s", diff)
		}
		names := topology.Names{Prefix: "b"}
		const n = 12
		for range 2 { // two trials at one simulator do not get into each other's way
			events := bench.NewEvents(names, bench.Kinds())
			for i := range n {
				msg, err := events.Message(i)
				if err != nil {
					t.Fatal(err)
				}
				typ, ok := names.TypeOfSubject(msg.Subject)
				if want := bench.Kinds()[i%len(bench.Kinds())]; !ok || typ != want {
					t.Errorf("event %d is of type %q, want %q", i, typ, want)
				}
				e, err := event.Parse(typ, msg.Header, msg.Data)
				if err != nil {
					t.Fatalf("event %d: %v", i, err)
				}
				job, err := routes[typ].Prepare(e.Data())
				if err != nil {
					t.Fatalf("event %d: %v", i, err)
				}
				if _, err := job.Call(t.Context()); err != nil {
					t.Errorf("event %d: %v", i, err)
				}
			}
		}
		commits := sim.Commits()
		if len(commits) != 2*n {
			t.Errorf("%d things were carried out, want %d: %v", len(commits), 2*n, commits)
		}
	})
}
