package consumer_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"essworker/internal/topology"
)

// message is one message of the client's side of the NATS protocol.
type message struct {
	verb, subject string
	header, body  []byte
}

// parseMessage takes a message from the beginning of b; its size is 0 if there is not
// all of it.
func parseMessage(b []byte) (m message, size int) {
	line, _, found := bytes.Cut(b, []byte("\r\n"))
	words := strings.Fields(string(line))
	if !found || len(words) == 0 {
		return m, 0
	}
	size = len(line) + len("\r\n")
	m.verb = words[0]
	if m.verb != "PUB" && m.verb != "HPUB" {
		return m, size
	}
	m.subject = words[1]
	header := 0
	if m.verb == "HPUB" {
		header, _ = strconv.Atoi(words[len(words)-2])
	}
	payload, _ := strconv.Atoi(words[len(words)-1])
	if len(b) < size+payload+len("\r\n") {
		return m, 0
	}
	m.header, m.body = b[size:size+header], b[size+header:size+payload]
	return m, size + payload + len("\r\n")
}

// step names what a message does, as docs/crash-points.md does: the doing, and what of.
// What concerns only the connection is no step, since it ends with the connection. An
// unknown step is named by its message.
func (m message) step(names topology.Names) string {
	if m.verb != "PUB" && m.verb != "HPUB" {
		return ""
	}
	request, rest := m.request()
	stream, subject, _ := strings.Cut(rest, ".")
	switch request {
	case "$JS.API.STREAM.INFO":
		return "open"
	case "$JS.API.CONSUMER.MSG.NEXT":
		return "ask for events"
	case "$JS.API.STREAM.MSG.DELETE":
		return "remove " + keptIn(names, stream)
	case "$JS.API.DIRECT.GET", "$JS.API.STREAM.MSG.GET":
		var of struct {
			Last  string   `json:"last_by_subj"`
			Multi []string `json:"multi_last"`
		}
		_ = json.Unmarshal(m.body, &of) // without a body the subject says it
		if subject = strings.Join(append(of.Multi, of.Last, subject), " "); strings.TrimSpace(subject) == "" {
			return "read " + keptIn(names, stream)
		}
		return "look for " + keptOn(names, strings.Fields(subject)[0])
	case "$JS.ACK":
		switch word, _, _ := strings.Cut(string(m.body), " "); word {
		case "+ACK":
			return "acknowledge"
		case "-NAK":
			return "hand back"
		case "+WPI":
			return "extend"
		}
	case "":
		if bytes.Contains(m.header, []byte("KV-Operation:")) {
			return "remove " + keptOn(names, m.subject)
		}
		return "store " + keptOn(names, m.subject)
	}
	return m.verb + " " + m.subject + " " + string(m.body)
}

// request takes the subject of a request to JetStream apart; the request is empty if
// the message is one to be stored.
func (m message) request() (request, rest string) {
	for _, request := range []string{
		"$JS.API.STREAM.INFO", "$JS.API.STREAM.MSG.DELETE", "$JS.API.STREAM.MSG.GET",
		"$JS.API.CONSUMER.MSG.NEXT", "$JS.API.DIRECT.GET", "$JS.ACK",
	} {
		if rest, ok := strings.CutPrefix(m.subject, request+"."); ok {
			return request, rest
		}
	}
	if strings.HasPrefix(m.subject, "$JS.") {
		return m.subject, ""
	}
	return "", ""
}

// keptOn says what is kept on a subject, keptIn what in a stream.
func keptOn(names topology.Names, subject string) string {
	if key, ok := strings.CutPrefix(subject, "$KV."+names.FleetBucket()+"."); ok {
		switch words := strings.Split(strings.TrimPrefix(key, "gate."), "."); words[0] {
		case ">":
			return "gates"
		case "credential", "action":
			return "hold"
		default:
			return words[0]
		}
	}
	switch rest, ok := strings.CutPrefix(subject, names.Prefix+"."); {
	case !ok:
	case strings.HasPrefix(rest, "results.") && strings.Contains(rest, ".failed."):
		return "failure"
	case strings.HasPrefix(rest, "results."):
		return "result"
	case strings.HasPrefix(rest, "deadletters."):
		return "letter"
	case strings.HasPrefix(rest, "events."):
		return "event"
	}
	return subject
}

func keptIn(names topology.Names, stream string) string {
	if stream == names.LettersStream() {
		return "letter"
	}
	return stream
}

func TestMessage_step(t *testing.T) {
	t.Parallel()
	names := topology.Names{Prefix: "ess"}
	for _, tt := range []struct{ message, want string }{
		{"PING\r\n", ""},
		{"SUB _INBOX.1 1\r\n", ""},
		{"PUB $JS.API.CONSUMER.MSG.NEXT.ESS_EVENTS.employee-onboarded _INBOX.1 2\r\n{}\r\n", "ask for events"},
		{"PUB $JS.API.DIRECT.GET.ESS_DEADLETTERS _INBOX.1 9\r\n{\"seq\":1}\r\n", "read letter"},
		{"PUB $JS.API.DIRECT.GET.KV_ESS_FLEET.$KV.ESS_FLEET.attempts.x.1 _INBOX.1 0\r\n\r\n", "look for attempts"},
		{"PUB $JS.API.DIRECT.GET.ESS_RESULTS _INBOX.1 49\r\n{\"multi_last\":[\"ess.results.employee.bound.key\"]}\r\n", "look for result"},
		{"PUB $JS.ACK.ESS_EVENTS.c.1.1.1.1.0 _INBOX.1 4\r\n+ACK\r\n", "acknowledge"},
		{"PUB $JS.ACK.ESS_EVENTS.c.1.1.1.1.0 16\r\n-NAK {\"delay\":1}\r\n", "hand back"},
		{"PUB $JS.ACK.ESS_EVENTS.c.1.1.1.1.0 5\r\n+TERM\r\n", "PUB $JS.ACK.ESS_EVENTS.c.1.1.1.1.0 +TERM"},
		{"HPUB ess.results.employee.bind.failed.key _INBOX.1 12 14\r\nNATS/1.0\r\n\r\n{}\r\n", "store failure"},
		{"HPUB $KV.ESS_FLEET.gate.breaker.x _INBOX.1 33 33\r\nNATS/1.0\r\nKV-Operation: PURGE\r\n\r\n\r\n", "remove breaker"},
		{"PUB $JS.API.STREAM.MSG.GET.KV_ESS_FLEET _INBOX.1 57\r\n{\"last_by_subj\":\"$KV.ESS_FLEET.gate.credential.AKID-x.y\"}\r\n", "look for hold"},
		{"PUB $JS.API.DIRECT.GET.KV_ESS_FLEET _INBOX.1 39\r\n{\"multi_last\":[\"$KV.ESS_FLEET.gate.>\"]}\r\n", "look for gates"},
		{"PUB elsewhere 0\r\n\r\n", "store elsewhere"},
	} {
		for cut := range len(tt.message) {
			if _, size := parseMessage([]byte(tt.message[:cut])); size != 0 {
				t.Errorf("parseMessage(%q) = %d bytes, want none: it is not whole", tt.message[:cut], size)
			}
		}
		m, size := parseMessage([]byte(tt.message + "PING\r\n"))
		if got := m.step(names); got != tt.want || size != len(tt.message) {
			t.Errorf("%q is step %q of %d bytes, want %q of %d", tt.message, got, size, tt.want, len(tt.message))
		}
	}
}
