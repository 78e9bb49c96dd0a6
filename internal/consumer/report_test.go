package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/handlers"
)

// lockedBuffer takes log lines of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestReport_oneLineAnEvent: each delivery is one line, and the line says it all.
func TestReport_oneLineAnEvent(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		var out lockedBuffer
		y.log = slog.New(slog.NewJSONHandler(&out, nil))
		stop := y.work()
		y.send("employee.onboarded", "good", data("employee.onboarded", 1))
		y.settle(time.Minute)
		y.send("employee.onboarded", "bad", `{"userId":"yDSIM9","openId":"n1"}`)
		y.settle(time.Minute)
		stop()
		want := []map[string]any{
			{"outcome": "succeeded", "event": "good", "lane": "employee.onboarded", "source": source, "seq": 1.0, "delivery": 1.0, "calls": 1.0},
			{"outcome": "lettered", "event": "bad", "kind": "permanent", "code": "InvalidParameter", "reason": "rejected", "letter": 1.0, "calls": 1.0},
		}
		var got []map[string]any
		for line := range strings.Lines(out.String()) {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("log line %q: %v", line, err)
			}
			if entry["msg"] == "event" {
				got = append(got, entry)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d lines about 2 events:\n%s", len(got), out.String())
		}
		for i := range want {
			for k, v := range want[i] {
				if got[i][k] != v {
					t.Errorf("line %d: %s = %v, want %v", i, k, got[i][k], v)
				}
			}
			for _, k := range []string{"age_ms", "took_ms", "call_ms"} {
				if _, ok := got[i][k].(float64); !ok {
					t.Errorf("line %d: %s = %v, want milliseconds", i, k, got[i][k])
				}
			}
		}
		if id, ok := got[1]["request_id"].(string); !ok || id == "" {
			t.Errorf("the failure's line has no request_id: %v", got[1])
		}
	})
}

// TestPersonalData_whateverTheHandlerSays: what is personal is said by the schema and by
// nobody else, so a handler that forgets to tell its client gives nothing away.
func TestPersonalData_whateverTheHandlerSays(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		const name = "欧阳测试"
		routes := handlers.Routes(y.api(), handlers.Defaults{Operator: esssim.OperatorUserID})
		for i := range routes {
			routes[i].Prepare = func([]byte) (event.Job, error) {
				return event.Job{Subject: "s", Call: func(context.Context) ([]byte, error) {
					return nil, fmt.Errorf("wrapped: %w", fault.Errorf(fault.Rejected, "NoSuchPerson", "nobody is called %s", name))
				}}, nil
			}
		}
		_, stop := y.workWith(routes)
		defer stop()
		y.send("autosign.link.requested", "e", strings.Replace(data("autosign.link.requested", 1), "某人", name, 1))
		y.settle(time.Minute)
		const want = "nobody is called ***"
		if l := y.letters()[0]; l.Message != want || l.Code != "NoSuchPerson" {
			t.Errorf("letter = %s %q, want NoSuchPerson %q", l.Code, l.Message, want)
		}
		if r := y.results()["autosign.link.failed"]["e"]; r["message"] != want {
			t.Errorf("failure result = %v, want the message %q", r, want)
		}
	})
}

// TestPersonalData_staysInside: name and identity number are in the event and its
// letter's payload, and nowhere else, though the vendor's text repeats them.
func TestPersonalData_staysInside(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, y *yard) {
		const name, number, phone = "欧阳测试", "990000198802021234", "13800138000"
		var out lockedBuffer
		y.log = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		y.sim.Inject(esssim.Fault{
			Kind: esssim.Code, Code: "InvalidParameter", Count: 1,
			Message: "无法找到参与人[姓名：" + name + ",手机号：" + phone + ",证件号：" + number + "]",
		})
		person := `{"sceneKey":"OTHER","userInfo":{"name":"` + name + `","idCardType":"ID_CARD","idCardNumber":"` + number + `"}}`
		stop := y.work()
		y.send("autosign.link.requested", "refused", person)
		y.settle(time.Minute)
		y.send("autosign.link.requested", "done", person)
		y.send("autosign.link.requested", "broken", strings.Replace(person, "ID_CARD", number, 1))
		y.settle(time.Minute)
		stop()

		surfaces := map[string]string{"log": out.String()}
		results := y.results()
		failures, err := json.Marshal(results["autosign.link.failed"])
		if err != nil {
			t.Fatal(err)
		}
		surfaces["failure results"] = string(failures)
		for _, l := range y.letters() {
			whole, err := y.box().Get(t.Context(), l.ID)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(whole.Data), name) {
				t.Errorf("letter %d: the payload is not the event's: %s", l.ID, whole.Data)
			}
			headers, err := json.Marshal(whole.Header)
			if err != nil {
				t.Fatal(err)
			}
			surfaces["letter headers"] += string(headers) + l.Message + l.Code
		}
		link, ok := results["autosign.link.created"]["done"]["url"].(string)
		if !ok || link == "" {
			t.Fatalf("the link's result has no url: %v", results["autosign.link.created"])
		}
		for where, text := range surfaces {
			for _, secret := range []string{name, number, phone, link} {
				if strings.Contains(text, secret) {
					t.Errorf("%s: %q is in it:\n%s", where, secret, text)
				}
			}
		}
	})
}
