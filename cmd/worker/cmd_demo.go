package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"essworker/internal/dlq"
	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/natsd"
	"essworker/internal/topology"
)

type demoCmd struct{}

// sample is an event of the demo: what it shows, and what must become of it.
type sample struct {
	shows string
	typ   string
	data  string // empty: not a CloudEvent at all
	want  string // the result type that must come
}

// samples are the examples of the vendor's own pages, and one broken event.
func samples() []sample {
	bind := func(user string) string { return fmt.Sprintf(`{"userId":%q,"openId":%q}`, user, esssim.EmployeeOpenID) }
	grant := func(ids string) string {
		return fmt.Sprintf(`{"agent":{"proxyOrganizationOpenId":%q,"proxyOperator":{"openId":%q}},"sealId":%q,"userIds":[%s]}`,
			esssim.ClientOpenID, esssim.ClientOperatorOpenID, esssim.SealID, ids)
	}
	link := func(name, number string) string {
		return fmt.Sprintf(`{"sceneKey":%q,"userInfo":{"name":%q,"idCardType":"ID_CARD","idCardNumber":%q}}`, esssim.SceneKey, name, number)
	}
	return []sample{
		{"bind an employee", "employee.onboarded", bind(esssim.EmployeeUserID), "employee.bound"},
		{"the same pair again", "employee.onboarded", bind(esssim.EmployeeUserID), "employee.bound"},
		{"an openId that is taken", "employee.onboarded", bind(esssim.Employee2UserID), "employee.bind.failed"},
		{"grant a seal", "seal.grant.requested", grant(fmt.Sprintf("%q", esssim.GranteeUserID)), "seal.granted"},
		{"grant it to nobody known", "seal.grant.requested", grant(`"nobodyKnowsThisUser"`), "seal.grant.failed"},
		{"a link for auto-sign", "autosign.link.requested", link(esssim.PersonName, esssim.PersonIDCardNumber), "autosign.link.created"},
		{"auto-sign not enabled", "autosign.link.requested", link(esssim.PersonWithoutName, esssim.PersonWithoutIDCardNumber), "autosign.link.failed"},
		{"not a CloudEvent", "employee.onboarded", "", "employee.bind.failed"},
	}
}

// Run shows the whole path with a real NATS server, a real worker and the simulated
// vendor, all in this process and gone at its end.
func (demoCmd) Run(ctx context.Context, s streams) error {
	ctx, stop := quietSignals(ctx)
	defer stop()
	dir, err := os.MkdirTemp("", "essworker-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears its temporary folder in the end
	set := simulated("http://127.0.0.1:9080")
	api, err := set.vendor(esssim.New(esssim.Config{Rate: 20}), metricnoop.NewMeterProvider(), nil)
	if err != nil {
		return err
	}
	defer api.Close()
	e, err := startEmbedded(ctx, natsd.Config{Dir: filepath.Join(dir, "nats")}, set.Topology)
	if err != nil {
		return err
	}
	work, finish := context.WithCancel(ctx)
	worked := make(chan error, 1)
	go func() { worked <- serve(work, e.silent(set, api)) }()
	shown := showSamples(ctx, s, e.js, set.Topology)
	finish()
	return errors.Join(shown, <-worked, e.close())
}

func showSamples(ctx context.Context, s streams, js jetstream.JetStream, topo topology.Config) error {
	fmt.Fprintln(s.out, "A NATS server, the worker and a simulated vendor run in this process.")
	fmt.Fprintln(s.out)
	list := newListing(s.out, false, column{"an event", 0}, column{"its result", 0}, column{"what became of it", 0})
	var wrong []error
	var letter uint64
	for i, sam := range samples() {
		got, data, err := play(ctx, js, topo, i, sam)
		if err != nil {
			return fmt.Errorf("sample %q: %w", sam.shows, err)
		}
		if got != sam.want {
			wrong = append(wrong, fmt.Errorf("sample %q ended as %s, not %s", sam.shows, got, sam.want))
		}
		if id := letterOf(data); id > 0 && letter == 0 {
			letter = id
		}
		if err := list.add(nil, sam.shows, got, summary(data)); err != nil {
			return err
		}
	}
	if err := list.end(s.err, "no samples"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, `
Each event has exactly one result. A failed event is kept as a letter, byte for
byte; with the cause mended, an operator brings it back with

  worker dlq replay %d

Next: "worker dev" stays up for your own events.
`, letter)
	return errors.Join(wrong...)
}

func letterOf(data []byte) uint64 {
	var f struct {
		DeadLetter struct {
			ID uint64 `json:"id"`
		} `json:"deadLetter"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return 0
	}
	return f.DeadLetter.ID
}

// play publishes one sample and waits for its result.
func play(ctx context.Context, js jetstream.JetStream, topo topology.Config, i int, sam sample) (typ string, data []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	msg := &nats.Msg{Subject: topo.EventSubject(sam.typ), Data: []byte("this is no CloudEvent")}
	if sam.data != "" {
		e := event.New(sam.typ, "/demo", fmt.Sprintf("demo-%d", i+1), []byte(sam.data))
		if msg.Header, msg.Data, err = event.Write(e); err != nil {
			return "", nil, err
		}
	}
	// Results come one at a time here, so the next one stored is this sample's.
	results, err := js.OrderedConsumer(ctx, topo.ResultsStream(), jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
	if err != nil {
		return "", nil, err
	}
	msgs, err := results.Messages()
	if err != nil {
		return "", nil, err
	}
	defer msgs.Stop()
	if _, err := js.PublishMsg(ctx, msg); err != nil {
		return "", nil, err
	}
	got, err := msgs.Next(jetstream.NextContext(ctx))
	if err != nil {
		return "", nil, fmt.Errorf("wait for its result: %w", err)
	}
	return dlq.Decode(got.Headers().Get("ce-type")), got.Data(), nil
}
