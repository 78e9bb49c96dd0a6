package consumer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/esssim"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/natstest"
)

// insufficientResources is the server's code for a storage limit that is reached.
const insufficientResources = 10023

// TestBroker_full fills the broker's storage. A publish is refused at once, results wait
// in hand, no call is made twice, and all goes on when there is room.
func TestBroker_full(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, natstest.Start(t, natstest.Setup{Types: handlers.Types(), MaxStore: 1 << 20}))
		var out lockedBuffer
		y.log = slog.New(slog.NewJSONHandler(&out, nil))
		defer y.work()()
		y.publish(6)
		y.settle(time.Minute)
		y.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 2 * time.Second})
		y.publish(12)
		time.Sleep(time.Second) // calls are under way, and their results are to come
		filler, err := y.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FILLER", Subjects: []string{"filler"}})
		if err != nil {
			t.Fatal(err)
		}
		for size := 256 << 10; size > 0; size /= 2 {
			for err = nil; err == nil; {
				_, err = y.JS.Publish(t.Context(), "filler", make([]byte, size))
			}
		}
		_, err = y.JS.Publish(t.Context(), y.Topology.EventSubject("employee.onboarded"), nil)
		if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.ErrorCode != insufficientResources {
			t.Errorf("an event published to a full broker: %v, want that it has no room", err)
		}
		time.Sleep(5 * time.Minute)
		if n := y.waiting(); n == 0 {
			t.Error("nothing waits for room, so nothing was tested")
		}
		if err := filler.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		y.settle(5 * time.Minute)
		y.checkLaws()
		if calls := len(y.sim.Calls()); calls != len(y.events) {
			t.Errorf("%d calls for %d events, want one each", calls, len(y.events))
		}
		if !strings.Contains(out.String(), "the broker has not confirmed; trying again") {
			t.Errorf("the log does not say that the broker refuses:\n%s", out.String())
		}
	})
}

// TestBroker_permissionLost has the server reload with fewer permissions for the worker
// while it works, and give them back two minutes later.
func TestBroker_permissionLost(t *testing.T) {
	t.Parallel()
	if underRace {
		t.Skip("the server reads its options without a lock while it reloads them (2.15)")
	}
	for _, lost := range []string{"ess.results.>", "$JS.ACK.>", "$JS.API.CONSUMER.MSG.NEXT.>"} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nats.conf")
			write := func(deny string) {
				t.Helper()
				err := os.WriteFile(file, fmt.Appendf(nil, `authorization { users [
					{ user: all, password: p }, { user: work, password: p, permissions: { publish: { deny: %q } } } ] }`, deny), 0o600)
				if err != nil {
					t.Fatal(err)
				}
			}
			write("nothing")
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, natstest.Start(t, natstest.Setup{Types: handlers.Types(), File: file, User: "all", Password: "p"}))
				var out lockedBuffer
				y.log = slog.New(slog.NewJSONHandler(&out, nil))
				y.login = natsconn.Config{User: "work", Password: "p"}
				defer y.work()()
				y.publish(12)
				time.Sleep(100 * time.Millisecond)
				write(lost)
				if err := y.Server.Reload(); err != nil {
					t.Fatal(err)
				}
				y.publish(12)
				y.send("employee.onboarded", "bad", `{"userId":"yDSIM9","openId":"n0"}`)
				time.Sleep(2 * time.Minute)
				if y.waiting() == 0 {
					t.Error("all is settled without the permission, so nothing was tested")
				}
				var line struct {
					Subject string `json:"subject"`
				}
				for text := range strings.Lines(out.String()) {
					if strings.Contains(text, "denied by the NATS server") && json.Unmarshal([]byte(text), &line) == nil {
						break
					}
				}
				if prefix, _, _ := strings.Cut(lost, ">"); !strings.HasPrefix(line.Subject, prefix) {
					t.Errorf("the log names %q as denied, want something in %q", line.Subject, lost)
				}
				write("nothing")
				if err := y.Server.Reload(); err != nil {
					t.Fatal(err)
				}
				y.settle(time.Hour)
				y.checkLaws()
			})
		})
	}
}

// TestBroker_lameDuck stops the server as for its maintenance, while there is work, and
// starts it again.
func TestBroker_lameDuck(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(`lame_duck_duration: "30s", lame_duck_grace_period: "10ms"`), 0o600); err != nil {
		t.Fatal(err)
	}
	topo := natstest.Defaults()
	topo.AckWait = 2 * time.Second // for what was on its way to a worker
	y := newYard(t, natstest.Start(t, natstest.Setup{Topology: topo, Types: handlers.Types(), File: file, Addr: "127.0.0.1:0"}))
	var out lockedBuffer
	y.log = slog.New(slog.NewJSONHandler(&out, nil))
	stop := y.work()
	y.publish(30)
	y.Server.LameDuck()
	y.Restart()
	y.publish(3)
	y.settle(time.Minute)
	stop()
	y.checkLaws()
	for _, want := range []string{"about to stop: moving to another", "disconnected from NATS", "reconnected to NATS"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}
