// Package audit keeps a record of what operators did to a deployment, and why.
//
// Its one rule: no record, no change. The record is stored before the change is made,
// because the two cannot be made at once, and of the two ways to be cut off in between
// a record of a change that was not made is the harmless one: it can be seen to be
// wrong, while a change without a record cannot be seen at all. A change that fails is
// recorded a second time, with what went wrong.
//
// Records are CloudEvents in binary mode. They hold no personal data: free texts are
// masked here.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"essworker/internal/event"
	"essworker/internal/mask"
	"essworker/internal/topology"
)

const (
	// source is the CloudEvents source of every record: operators act through commands.
	source = "/worker-cli"
	// typePrefix and an action's name are a record's type.
	typePrefix = "essworker.audit."
	// settleWait is how long a failure may take to be recorded once the command itself
	// was told to stop.
	settleWait = 5 * time.Second
)

// Action is what an operator is about to do. Name, What and Why are required.
type Action struct {
	Name   string `json:"action"`           // words of letters, digits, - and _ with dots between them: "limit", "letters.discard"
	What   string `json:"what"`             // to what: an object's name, or the selection as the operator gave it
	Count  int    `json:"count,omitzero"`   // to how many, where What is a selection
	Before string `json:"before,omitempty"` // the value there was, where there is one
	After  string `json:"after,omitempty"`  // the value to be
	Why    string `json:"why"`
}

// record is the data of the CloudEvent.
type record struct {
	Action
	Who    Who    `json:"who"`
	Failed string `json:"failed,omitempty"` // what went wrong, in the second record of a change that failed
}

// Trail is the records of one deployment. It is safe for concurrent use.
type Trail struct {
	js   jetstream.JetStream
	topo topology.Names
	who  Who
}

// Open records what is done over a connection. It asks the server who that is.
func Open(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, topo topology.Names) *Trail {
	return &Trail{js, topo, whoAmI(ctx, nc)}
}

// Who is the operator, for what else names him.
func (t *Trail) Who() Who { return t.who }

// Do records an action and then carries it out. If the record cannot be stored nothing
// is done and the error says so; else the error is that of change, and a second record
// says that it failed. Change must do nothing that its record does not cover.
func (t *Trail) Do(ctx context.Context, a Action, change func(context.Context) error) error {
	id, err := t.record(ctx, record{Action: a, Who: t.who}, "")
	if err != nil {
		return fmt.Errorf("nothing was done, since it could not be recorded: %w", err)
	}
	failed := change(ctx)
	if failed == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	if _, err := t.record(ctx, record{Action: a, Who: t.who, Failed: mask.Text(failed.Error())}, id); err != nil {
		return fmt.Errorf("%w; that it failed could not be recorded: %w", failed, err)
	}
	return failed
}

// record stores one record and gives its id. First is the id of the record of the same
// action before, if there is one.
func (t *Trail) record(ctx context.Context, r record, first string) (id string, err error) {
	for _, text := range []*string{&r.What, &r.Before, &r.After, &r.Why} {
		*text = mask.Text(*text)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode record: %w", err)
	}
	id = nuid.Next()
	e := event.New(typePrefix+r.Name, source, id, data)
	e.SetTime(time.Now().UTC())
	e.SetSubject(r.What)
	if first != "" {
		e.SetExtension("causationid", first)
		e.SetExtension("causationsource", source)
	}
	header, body, err := event.Write(e)
	if err != nil {
		return "", err
	}
	_, err = t.js.PublishMsg(ctx, &nats.Msg{Subject: t.topo.AuditSubject(r.Name), Header: header, Data: body},
		jetstream.WithMsgID(id), jetstream.WithExpectStream(t.topo.AuditStream()))
	if err != nil {
		return "", fmt.Errorf("store a record in %s: %w", t.topo.AuditStream(), err)
	}
	return id, nil
}
