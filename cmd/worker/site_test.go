package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/handlers"
	"essworker/internal/natsconn"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// site is a deployment whose workers, and whose server if a test wants, are processes
// of their own. The vendor is in the test's process, behind real HTTP.
type site struct {
	t      *testing.T
	url    string
	js     jetstream.JetStream
	topo   topology.Config
	sim    *esssim.Sim
	vendor *httptest.Server
	calls  atomic.Int64 // that have arrived
	stalls *stalls
}

const source = "/site"

// newSite connects to a server and sets it up. Before, if not nil, is called with
// each call to the vendor, and its number from 1, before the vendor sees it.
func newSite(t *testing.T, url string, ackWait time.Duration, before func(s *site, n int64)) *site {
	t.Helper()
	s := bareSite(t, url, ackWait, before)
	if _, err := topology.Apply(t.Context(), s.js, s.topo, handlers.Types()); err != nil {
		t.Fatal(err)
	}
	return s
}

// bareSite is newSite without the streams: the first worker makes them.
func bareSite(t *testing.T, url string, ackWait time.Duration, before func(s *site, n int64)) *site {
	t.Helper()
	s := &site{
		t: t, url: url, sim: esssim.New(esssim.Config{}), stalls: watchStalls(t),
		topo: topology.Config{
			Names: topology.Names{Prefix: "ess"}, Replicas: 1, ResultsMaxAge: 168 * time.Hour, AckWait: ackWait,
		},
	}
	s.vendor = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := s.calls.Add(1); before != nil {
			before(s, n)
		}
		s.sim.ServeHTTP(w, r)
	}))
	t.Cleanup(s.vendor.Close)
	nc, err := natsconn.Connect(t.Context(), natsConfig(url), natsconn.Options{
		Name: t.Name(), InboxPrefix: "_INBOX_test", NoRetry: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return s
}

// worker starts `worker run` and returns when it takes events.
func (s *site) worker(settings ...string) *process {
	s.t.Helper()
	p := s.launch(settings...)
	p.says(`"msg":"working"`)
	return p
}

func (s *site) launch(settings ...string) *process {
	s.t.Helper()
	return start(s.t, s.settings(settings...), "worker", "run")
}

// settings are those of a worker here, with others that win over them.
func (s *site) settings(others ...string) []string {
	return append([]string{
		"NATS_URL=" + s.url, "ESS_ENDPOINT=" + s.vendor.URL, "ESSBASIC_ENDPOINT=" + s.vendor.URL,
		"TENCENTCLOUD_SECRET_ID=" + esssim.SecretID, "TENCENTCLOUD_SECRET_KEY=" + esssim.SecretKey,
		"ESS_OPERATOR_USER_ID=" + esssim.OperatorUserID, "ESS_APP_ID=" + esssim.AppID,
		"WORKER_HTTP_ADDR=", "WORKER_LOG_FORMAT=json", "WORKER_ACK_WAIT=" + s.topo.AckWait.String(),
		"WORKER_REPLICAS=" + strconv.Itoa(s.topo.Replicas),
	}, others...)
}

// good is the n-th event of a type that the vendor takes: no two concern the same thing.
func good(typ string, n int) string {
	switch typ {
	case "employee.onboarded":
		return fmt.Sprintf(`{"userId":"yDSIM%027d","openId":"n%d"}`, n, n)
	case "seal.grant.requested":
		return fmt.Sprintf(`{"agent":{"proxyOrganizationOpenId":"org_sim1","proxyOperator":{"openId":"sim1"}},`+
			`"sealId":"yDSEAL%026d","userIds":["sim%d"]}`, n, n)
	default:
		return fmt.Sprintf(`{"sceneKey":"OTHER","userInfo":{"name":"某人","idCardType":"ID_CARD","idCardNumber":"990000%012d"}}`, n)
	}
}

// message is the n-th good event, of each type in turn, and its id.
func (s *site) message(n int) (id string, msg *nats.Msg) {
	s.t.Helper()
	id, msg, err := s.compose(n)
	if err != nil {
		s.t.Fatal(err)
	}
	return id, msg
}

// compose is message for goroutines that must not end the test.
func (s *site) compose(n int) (id string, msg *nats.Msg, err error) {
	typ := handlers.Types()[n%len(handlers.Types())]
	id = fmt.Sprintf("e%d", n)
	header, body, err := event.Write(event.New(typ, source, id, []byte(good(typ, n))))
	if err != nil {
		return "", nil, err
	}
	header.Set(jetstream.MsgIDHeader, source+"|"+id)
	return id, &nats.Msg{Subject: s.topo.EventSubject(typ), Header: header, Data: body}, nil
}

// publish stores good events and gives their ids.
func (s *site) publish(n int) []string { s.t.Helper(); return s.publishFrom(0, n) }

// publishFrom is publish for events that come after others.
func (s *site) publishFrom(first, n int) []string {
	s.t.Helper()
	var ids []string
	var stored []jetstream.PubAckFuture // one after the other would take longer than the work on them
	for i := range n {
		id, msg := s.message(first + i)
		ack, err := s.js.PublishMsgAsync(msg)
		if err != nil {
			s.t.Fatalf("publish: %v", err)
		}
		ids, stored = append(ids, id), append(stored, ack)
	}
	limit := time.After(patience)
	for _, ack := range stored {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			s.t.Fatalf("publish: %v", err)
		case <-limit:
			s.t.Fatalf("publish: not all of %d events are confirmed after %v", n, patience)
		}
	}
	return ids
}

// state asks a stream how it is; it asks again while the server is away.
func (s *site) state(name string) (state jetstream.StreamState) {
	s.t.Helper()
	until(s.t, "the state of "+name, func() bool {
		str, err := s.js.Stream(s.t.Context(), name)
		if err == nil {
			state = str.CachedInfo().State
		}
		return err == nil
	})
	return state
}

// settled waits until no event is left.
func (s *site) settled() {
	s.t.Helper()
	until(s.t, "every event settled", func() bool { return s.state(s.topo.EventsStream()).Msgs == 0 })
}

// results are the types of the results of each event, by its id.
func (s *site) results() map[string][]string {
	s.t.Helper()
	name := s.topo.ResultsStream()
	all := map[string][]string{}
	for msg, err := range stream.Messages(s.t.Context(), s.js.Conn(), name, s.topo.Prefix+".results.>", 1, s.state(name).LastSeq) {
		if err != nil {
			s.t.Fatal(err)
		}
		id := dlq.Decode(msg.Header.Get("ce-causationid"))
		all[id] = append(all[id], msg.Header.Get("ce-type"))
	}
	return all
}

// eachOnce holds promises 1 and 2: each of the events has one result, a success, and
// no event but those has any.
func (s *site) eachOnce(ids []string) {
	s.t.Helper()
	results := s.results()
	for _, id := range ids {
		if got := results[id]; len(got) != 1 || !isSuccess(got[0]) {
			s.t.Errorf("results of event %s = %q, want one success", id, got)
		}
		delete(results, id)
	}
	for id, types := range results {
		s.t.Errorf("event %q has results %q, and was never accepted", id, types)
	}
	if n := s.state(s.topo.LettersStream()).Msgs; n > 0 {
		s.t.Errorf("%d letters, want none", n)
	}
}

func isSuccess(typ string) bool {
	for _, r := range handlers.Routes(nil, handlers.Defaults{}) {
		if r.Success == typ {
			return true
		}
	}
	return false
}

// carriedOutOnce holds what follows for the vendor: nothing was done twice. Links are
// left out: one whose answer was lost is made again, since the vendor has no way to
// ask for the first.
func (s *site) carriedOutOnce() {
	s.t.Helper()
	for entity, n := range s.sim.Commits() {
		if n != 1 && !strings.HasPrefix(entity, "link:") {
			s.t.Errorf("%s was carried out %d times", entity, n)
		}
	}
}

func natsConfig(url string) natsconn.Config { return natsconn.Config{URL: natsconn.URLs(url)} }
