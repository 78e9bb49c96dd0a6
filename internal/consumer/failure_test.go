package consumer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/handlers"
	"essworker/schemas"
)

func TestDuplicate_costsNoCall(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		stop := y.work()
		defer stop()
		y.publish(3)
		y.send("employee.onboarded", "taken", `{"userId":"yDSIM1","openId":"n0"}`) // somebody else's openId
		y.settle(time.Minute)
		calls := len(y.sim.Calls())
		for i, p := range y.events {
			y.send(p.typ, p.id, data(p.typ, i))
		}
		y.send("employee.onboarded", "taken", `{"userId":"yDSIM1","openId":"n0"}`)
		y.settle(time.Minute)
		if got := len(y.sim.Calls()); got != calls {
			t.Errorf("%d calls after the duplicates, want %d as before", got, calls)
		}
		if got := y.state(y.Topology.ResultsStream()).Msgs; got != 4 {
			t.Errorf("%d results, want 4", got)
		}
	})
}

func TestReplay_addsTheSuccessLater(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		stop := y.work()
		defer stop()
		y.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "no [sim]", Count: 2})
		y.send("employee.onboarded", "e1", data("employee.onboarded", 1))
		y.settle(time.Minute)
		first := y.letters()[0]

		y.replay(first.ID) // the cause is not mended: a second letter, and no second failure
		y.settle(time.Minute)
		letters := y.letters()
		if len(letters) != 1 || letters[0].Replays != 1 || letters[0].Origin != first.ID {
			t.Fatalf("letters after a failed replay = %+v, want one, replayed once, of origin %d", letters, first.ID)
		}
		failure := y.results()["employee.bind.failed"]["e1"]
		if got := failure["deadLetter"].(map[string]any)["id"]; got != float64(first.ID) {
			t.Errorf("failure names letter %v, want the first one, %d", got, first.ID)
		}

		y.replay(letters[0].ID) // mended
		y.settle(time.Minute)
		if y.results()["employee.bound"]["e1"] == nil || len(y.letters()) != 0 {
			t.Errorf("after a good replay: success %v, %d letters, want a success and none", y.results()["employee.bound"]["e1"], len(y.letters()))
		}
		if _, err := y.box().Replay(t.Context(), letters[0].ID); err == nil {
			t.Error("Replay of a letter that is gone = nil, want an error")
		}
	})
}

// TestUnreadable_isALetter: whatever arrives, it ends as one letter and one failure,
// and the good event behind it is handled.
func TestUnreadable_isALetter(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		stop := y.work()
		defer stop()
		good := data("employee.onboarded", 1)
		ce := func(id string, more ...string) nats.Header {
			h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"/s"}, "ce-type": {"employee.onboarded"}}
			for i := 0; i < len(more); i += 2 {
				h[more[i]] = append(h[more[i]], more[i+1])
			}
			return h
		}
		for _, m := range []struct {
			header nats.Header
			body   string
			code   string
		}{
			{nil, "", "NotACloudEvent"},
			{nil, "hello", "NotACloudEvent"},
			{nats.Header{"Status": {"404"}}, "", "NotACloudEvent"}, // looks like the server's own
			{nats.Header{"Status": {"100"}, "Description": {"Idle Heartbeat"}}, "", "NotACloudEvent"},
			{ce("a", "ce-id", "y"), good, "RepeatedHeader"},
			{ce("b", "CE-ID", "b"), good, "RepeatedHeader"},
			{nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"t"}, "ce-source": {"/s"}, "ce-type": {"other"}}, good, "TypeMismatch"},
			{ce("c", "content-type", "text/plain"), good, "UnsupportedContentType"},
			{ce("d"), `{"userId":"u","openId":"not alnum!"}`, "SchemaViolation"},
		} {
			y.raw("employee.onboarded", m.header, []byte(m.body))
			y.settle(time.Minute)
			letters := y.letters()
			l := letters[len(letters)-1]
			if l.Reason != fault.Invalid || l.Code != m.code {
				t.Errorf("%v %q: letter %s %s %q, want invalid %s", m.header, m.body, l.Reason, l.Code, l.Message, m.code)
			}
		}
		if got := len(y.sim.Calls()); got != 0 {
			t.Errorf("%d vendor calls for unreadable events, want none", got)
		}
		y.publish(1)
		y.settle(time.Minute)
		y.checkLaws()
	})
}

func TestPanic_isALetterAndHarmsNobody(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		api, err := essapi.New(y.vendor, essapi.Options{Transport: y.sim})
		if err != nil {
			t.Fatal(err)
		}
		routes := handlers.Routes(api, handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID})
		prepare := routes[0].Prepare
		routes[0].Prepare = func(data []byte) (event.Job, error) {
			if strings.Contains(string(data), "yDSIMcrash") {
				panic("a bug")
			}
			return prepare(data)
		}
		_, stop := y.workWith(routes)
		defer stop()
		y.send("employee.onboarded", "crash", `{"userId":"yDSIMcrash","openId":"n9"}`)
		y.publish(3)
		y.settle(time.Minute)
		y.checkLaws()
		if l := y.letters()[0]; l.Reason != fault.Poison || l.Code != "Panic" {
			t.Errorf("letter = %s %s, want poison Panic", l.Reason, l.Code)
		}
	})
}

// TestCrashes_becomePoison: an event that takes its worker down each time ends as a
// letter; one whose deliveries all left a trace does not.
func TestCrashes_becomePoison(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		y.sim.Inject(esssim.Fault{Kind: esssim.HangBefore})
		y.send("employee.onboarded", "killer", data("employee.onboarded", 1))
		// Each worker dies with the call in flight, the later ones after they were given
		// the event for the silence of the one before.
		for died := range y.lanes.PoisonAfter {
			_, kill := y.worker()
			time.Sleep(10 * time.Second)
			if died > 0 {
				time.Sleep(y.Topology.AckWait)
			}
			kill()
		}
		stop := y.work()
		defer stop()
		y.settle(10 * time.Minute)
		letters := y.letters()
		if len(letters) != 1 || letters[0].Reason != fault.Poison || letters[0].EventID != "killer" {
			t.Errorf("letters = %+v, want one of reason poison for event killer", letters)
		}
		if y.results()["employee.bind.failed"]["killer"] == nil {
			t.Error("the poisoned event has no failure result of its own")
		}
	})
}

func TestShutdown_costsNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		y.sim.Inject(esssim.Fault{Kind: esssim.Latency, Delay: 3 * time.Second})
		y.publish(120)
		for range 20 {
			stop := y.work()
			time.Sleep(1500 * time.Millisecond)
			start := time.Now()
			stop()
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("a stop with calls of 3 s in flight took %v", took)
			}
		}
		y.sim.ClearFaults()
		stop := y.work()
		defer stop()
		y.settle(5 * time.Second) // handed back at once: nothing waits for an ack wait of a minute
		y.checkLaws()
		if got := len(y.sim.Calls()); got != 120 {
			t.Errorf("%d calls for 120 events, want 120: each call in flight was seen through", got)
		}
	})
}

func TestDrain_cutsOffWhatHangs(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		y.vendor.Timeout = 5 * time.Minute
		y.sim.Inject(esssim.Fault{Kind: esssim.HangBefore, Delay: time.Hour})
		y.publish(3)
		stop := y.work()
		time.Sleep(5 * time.Second)
		start := time.Now()
		stop()
		if took := time.Since(start); took < y.lanes.Drain || took > y.lanes.Drain+5*time.Second {
			t.Errorf("a stop with hanging calls took %v, want the drain of %v", took, y.lanes.Drain)
		}
		y.sim.ClearFaults()
		stop = y.work()
		defer stop()
		y.settle(10 * time.Second)
		y.checkLaws()
	})
}

// TestMisconfigured_holdsAndParksNothing is promise 5.
func TestMisconfigured_holdsAndParksNothing(t *testing.T) {
	t.Parallel()
	for _, f := range []esssim.Fault{
		{Kind: esssim.RotateKey},
		{Kind: esssim.Clock, Offset: 10 * time.Minute},
		{Kind: esssim.Clock, Offset: -10 * time.Minute},
		{Kind: esssim.WAF},
		{Kind: esssim.Redirect, Location: "http://elsewhere.invalid/"},
		{Kind: esssim.Code, Code: "AuthFailure.UnauthorizedOperation", Message: "[sim]"},
		{Kind: esssim.Status, Status: 404},
	} {
		t.Run(string(f.Kind)+f.Code, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, y *yard) {
				y.lanes.MaxAttempts = 2 // fewer than an event has probes
				gates, stop := y.workWith(handlers.Routes(y.api(), handlers.Defaults{Operator: esssim.OperatorUserID, AppID: esssim.AppID}))
				defer stop()
				y.sim.Inject(f)
				y.publish(12)
				time.Sleep(15 * time.Minute)
				for _, s := range gates.States() {
					if s.Held == "" {
						t.Errorf("lane %s is not held", s.Lane)
					}
				}
				// What was in flight when it began, then one probe every 30 s: of the
				// credential for all lanes together, of an action for each.
				if got, most := len(y.sim.Calls()), 3*(4+30); got > most {
					t.Errorf("%d calls in a quarter of an hour of hold, want at most %d", got, most)
				}
				y.sim.ClearFaults()
				y.settle(10 * time.Minute)
				y.checkLaws()
				for _, s := range gates.States() {
					if s.Held != "" {
						t.Errorf("lane %s is still held: %s", s.Lane, s.Held)
					}
				}
			})
		})
	}
}

// TestTenant_holdsOnlyItsOwn: one customer's expired licence stops that customer's
// events, after three different ones, and nobody else's.
func TestTenant_holdsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		stop := y.work()
		defer stop()
		y.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "OperationDenied.LicenseHasExpired", Message: "[sim]", Tenant: "yDORG1"})
		bind := func(id string, n int, org string) {
			y.send("employee.onboarded", id, fmt.Sprintf(`{"userId":"yDSIM%d%s","openId":"o%d%s","agent":{"proxyOrganizationId":%q}}`, n, org, n, org, org))
			y.events = append(y.events, published{typ: "employee.onboarded", id: id})
		}
		for i := range 20 {
			bind(fmt.Sprintf("sick%d", i), i, "yDORG1")
			bind(fmt.Sprintf("well%d", i), i, "yDORG2")
		}
		time.Sleep(20 * time.Second)
		if got := y.waiting(); got != 20 {
			t.Errorf("%d events wait after 20 s, want the 20 of the sick tenant", got)
		}
		time.Sleep(20 * time.Minute)
		spent := 0
		for _, c := range y.sim.Calls() {
			if c.Tenant == "yDORG1" {
				spent++
			}
		}
		if spent > 10+40 {
			t.Errorf("%d calls for the held tenant in 20 minutes, want a few and a probe every 30 s", spent)
		}
		y.sim.ClearFaults()
		y.settle(30 * time.Minute)
		y.checkLaws()
	})
}

func TestThrottled_slowsDownAndCostsNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ *testing.T, y *yard) {
		stop := y.work()
		defer stop()
		y.sim.Inject(esssim.Fault{Kind: esssim.Throttle, Ratio: 0.3})
		y.publish(300)
		time.Sleep(time.Minute)
		y.sim.ClearFaults()
		y.settle(10 * time.Minute)
		y.checkLaws()
	})
}

// TestWorker_withoutDefaults: events that need a default nobody set wait; those
// that name their own go on.
func TestWorker_withoutDefaults(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		_, stop := y.workWith(handlers.Routes(y.api(), handlers.Defaults{}))
		y.send("employee.onboarded", "needs", data("employee.onboarded", 1))
		y.send("employee.onboarded", "names", fmt.Sprintf(`{"userId":"yDSIM2","openId":"n2","operatorUserId":%q}`, esssim.OperatorUserID))
		time.Sleep(time.Minute)
		if got := y.results()["employee.bound"]; got["names"] == nil || y.waiting() != 1 || len(y.letters()) != 0 {
			t.Errorf("results %v, %d waiting, %d letters; want names done and needs waiting", got, y.waiting(), len(y.letters()))
		}
		stop()
		stop = y.work() // somebody set it
		defer stop()
		y.settle(10 * time.Minute)
	})
}

// TestLetter_saysWhatItsDataFit: a plan needs to read no letter that was judged by the
// schema of today.
func TestLetter_saysWhatItsDataFit(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		stop := y.work()
		defer stop()
		y.sim.Inject(esssim.Fault{Kind: esssim.Code, Code: "InvalidParameter.ParamError", Message: "no [sim]", Count: 2})
		ends := time.Now().Add(time.Hour).Truncate(time.Second)
		y.send("employee.onboarded", "bind", data("employee.onboarded", 1))
		y.send("employee.onboarded", "misfit", `{"userId":7}`)
		y.send("autosign.link.requested", "link", fmt.Sprintf(
			`{"sceneKey":"OTHER","userInfo":{"name":"某人","idCardType":"ID_CARD","idCardNumber":"990000000000000001"},"expiresAt":%q}`, ends.Format(time.RFC3339)))
		y.settle(time.Minute)
		type said struct {
			Schema  string
			Expires bool
		}
		got := map[string]said{}
		for _, l := range y.letters() {
			got[l.EventID] = said{l.Schema, l.Expires.Equal(ends)}
		}
		want := map[string]said{
			"bind":   {Schema: schemas.Digest("employee.onboarded")},
			"link":   {Schema: schemas.Digest("autosign.link.requested"), Expires: true},
			"misfit": {},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("letters say (-want +got):\n%s", d)
		}
	})
}

func TestExpired_isALetterWithoutACall(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		at := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		y.send("autosign.link.requested", "late", fmt.Sprintf(
			`{"sceneKey":"OTHER","userInfo":{"name":"某人","idCardType":"ID_CARD","idCardNumber":"990000000000000001"},"expiresAt":%q}`, at))
		time.Sleep(2 * time.Hour)
		stop := y.work()
		defer stop()
		y.settle(time.Minute)
		if l := y.letters()[0]; l.Reason != fault.Expired || l.Attempts != 0 || len(y.sim.Calls()) != 0 {
			t.Errorf("letter %s after %d attempts and %d calls, want expired without any", l.Reason, l.Attempts, len(y.sim.Calls()))
		}
	})
}
