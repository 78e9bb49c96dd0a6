package main

import (
	"context"
	"encoding/json"

	"essworker/internal/event"
	"essworker/internal/topology"
)

// The job of everybody here: take an event that an employee was onboarded, call the
// vendor once, publish the result, acknowledge.
const (
	eventType  = "employee.onboarded"
	resultType = "employee.bound"
	failedType = "employee.bind.failed"
)

var names = topology.Names{Prefix: "bench"}

// job is where a contestant works.
type job struct {
	nats        string
	vendor      *vendor
	concurrency int
}

type onboarded struct {
	UserID string `json:"userId"`
	OpenID string `json:"openId"`
}

type bound struct {
	UserID       string `json:"userId"`
	OpenID       string `json:"openId"`
	AlreadyBound bool   `json:"alreadyBound"`
	RequestID    string `json:"requestId"`
}

// result is what has to be published, however a contestant does that.
type result struct {
	key  string // of the event, the last token of the subject
	id   string
	head map[string]string
	data []byte
}

// handle is the job itself, as somebody would write it who knows what events look like:
// no schema, no look for duplicates, no quota, no log line, no metrics.
func (j job) handle(ctx context.Context, id, source string, data []byte) (result, error) {
	var in onboarded
	if err := json.Unmarshal(data, &in); err != nil {
		return result{}, err
	}
	requestID, err := j.vendor.bind(ctx, in.UserID, in.OpenID)
	if err != nil {
		return result{}, err
	}
	body, err := json.Marshal(bound{UserID: in.UserID, OpenID: in.OpenID, RequestID: requestID})
	if err != nil {
		return result{}, err
	}
	key := event.Key(source, id)
	r := result{key: key, id: key + "." + resultType, data: body, head: map[string]string{
		"ce-specversion": "1.0", "ce-id": key + "." + resultType, "ce-source": "/" + byHand, "ce-type": resultType,
		"ce-subject": in.UserID, "ce-causationid": id, "ce-causationsource": source, "content-type": "application/json",
	}}
	return r, nil
}
