package consumer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"essworker/internal/event"
	"essworker/internal/handlers"
)

// vandal makes bad messages. Those with a readable identity all have different ones:
// a duplicate would rightly end without a letter of its own.
type vandal struct{ *rand.Rand }

func (v vandal) message() (typ string, header, payload []byte) {
	types := handlers.Types()
	typ = types[v.IntN(len(types))]
	switch v.IntN(12) {
	case 0:
		return typ, block(), v.noise(300)
	case 1:
		return typ, block(v.anyHeaders()...), v.noise(300)
	case 2:
		return typ, v.notABlock(), v.noise(100)
	case 3:
		header, payload = v.good("employee.onboarded")
		return "employee.onboarded", v.damaged(header), payload
	case 4:
		header, payload = v.good("employee.onboarded")
		return "employee.onboarded", header, v.damaged(payload)
	case 5:
		header, payload = v.good(typ)
		return typ, slices.Concat([]byte("NATS/1.0\r\n"), v.serverLines(), header[len("NATS/1.0\r\n"):]), payload
	case 6:
		return typ, block(v.line("content-type", v.contentType())), v.nearlyStructured(typ)
	case 7:
		return typ, block(), v.nearlyStructured(typ)
	case 8:
		return typ, v.nearlyBinary(typ), []byte(data(typ, v.IntN(1e6)))
	case 9:
		header, _ = v.good(typ)
		return typ, header, v.deep()
	case 10:
		header, _ = v.good(typ)
		return typ, header, v.wrongData()
	default:
		header, payload = v.good(typ)
		return typ, v.swollen(header), payload
	}
}

// good is an event that nothing is wrong with, in either mode.
func (v vandal) good(typ string) (header, payload []byte) {
	e := event.New(typ, "/"+v.id(), v.id(), []byte(data(typ, v.IntN(1e6))))
	if v.IntN(2) == 0 {
		body, err := event.Structured(e)
		if err != nil {
			panic(err)
		}
		return block("content-type: application/cloudevents+json"), body
	}
	h, body, err := event.Write(e)
	if err != nil {
		panic(err)
	}
	var lines []string
	for name, values := range h {
		lines = append(lines, name+": "+values[0])
	}
	slices.Sort(lines)
	return block(lines...), body
}

// block is a header as it goes over the wire.
func block(lines ...string) []byte {
	return []byte("NATS/1.0\r\n" + strings.Join(append(lines, "\r\n"), "\r\n"))
}

func (v vandal) id() string { return fmt.Sprintf("%016x%016x", v.Uint64(), v.Uint64()) }

func (v vandal) noise(most int) []byte {
	b := make([]byte, v.IntN(most+1))
	for i := range b {
		b[i] = byte(v.Uint32())
	}
	return b
}

// text is noise that does not end its line.
func (v vandal) text(most int) string {
	return string(slices.DeleteFunc(v.noise(most), func(b byte) bool { return b == '\r' || b == '\n' }))
}

func (v vandal) pick(words ...string) string { return words[v.IntN(len(words))] }

func (v vandal) line(name, value string) string { return name + v.pick(": ", ":", " : ") + value }

func (v vandal) anyHeaders() []string {
	var lines []string
	for range v.IntN(8) {
		name := v.pick("X", "ce-", "ce-id", "CE-Type", "content-type", "Dlq-Replays", "traceparent", v.text(20))
		lines = append(lines, v.line(name, v.text(80)))
	}
	return lines
}

// notABlock is a header that no client would write.
func (v vandal) notABlock() []byte {
	whole := string(block("a: b"))
	return []byte(v.pick(
		"\r\n", "\r\n\r\n", "NATS/1.0", "NATS/1.0\r\n", whole[:v.IntN(len(whole))+1], "NATS/1.0 404 No Messages\r\n\r\n",
		"NATS/1.0 503\r\n\r\n", "NATS/1.0 100 Idle Heartbeat\r\n\r\n", "NATS/1.0\r\n: empty\r\n\r\n", "NATS/1.0\r\nno colon\r\n\r\n",
		"NATS/1.0\r\n folded: x\r\n\r\n", "NATS/1.0\r\na: b\n\n", "HTTP/1.1 200 OK\r\n\r\n", "NATS/9.9\r\na: b\r\n\r\n",
		"NATS/1.0\r\na: b\r\n\r\nc: d\r\n\r\n", string(v.noise(60))+"\r\n\r\n", strings.Repeat("\r\n", 1+v.IntN(200)),
	))
}

// damaged is b with a few bytes changed, cut out or put in.
func (v vandal) damaged(b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + v.IntN(4) {
		i := v.IntN(len(b))
		switch v.IntN(4) {
		case 0:
			b[i] ^= 1 << v.IntN(8)
		case 1:
			b[i] = byte(v.Uint32())
		case 2:
			b = slices.Delete(b, i, min(len(b)-1, i+v.IntN(8)))
		default:
			b = slices.Insert(b, i, v.noise(8)...)
		}
	}
	return b
}

// serverLines are headers that mean something to a server or a client library.
func (v vandal) serverLines() []byte {
	var out bytes.Buffer
	for range 1 + v.IntN(4) {
		name := v.pick("Status", "Description", "Nats-Sequence", "Nats-Stream", "Nats-Subject", "Nats-Time-Stamp", "Nats-Last-Sequence",
			"Nats-Pending-Messages", "Nats-Num-Pending", "Nats-UpTo-Sequence", "Nats-Msg-Id", "Nats-TTL", "Nats-Rollup", "Nats-Expected-Stream",
			"Nats-Expected-Last-Sequence", "Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Msg-Id", "Nats-Marker-Reason",
			"Nats-Schedule", "Nats-Schedule-Target", "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Incr", "Nats-Required-Api-Level",
			"KV-Operation", "Dlq-Replays", "Dlq-Origin", "Dlq-Reason", "Dlq-Stream-Seq", "Dlq-Event-Id", "Reply-To")
		value := v.pick("", "0", "1", "-1", "18446744073709551616", "100", "404", "408", "409", "503", "all", "sub", "DEL", "1s", "@every 1s",
			"ESS_EVENTS", "ess.results.x", v.id(), v.text(40))
		out.WriteString(v.line(name, value) + "\r\n")
	}
	return out.Bytes()
}

func (v vandal) contentType() string {
	return v.pick("application/cloudevents+json", "application/cloudevents+json; charset=utf-16", "APPLICATION/CLOUDEVENTS+JSON;x",
		"application/cloudevents", "application/cloudevents-batch+json", "application/cloudevents+avro", "application/json", "text/plain",
		";", "", v.text(60))
}

// attribute is a value that hardly any attribute may have.
func (v vandal) attribute() string {
	return v.pick("", " ", "0", "1.0", "null", "%", "%zz", "%00", "%ff%fe", "%0d%0aStatus: 404", "\x00", "\u202e", "典子谦", "2026-13-01T00:00:00Z",
		strings.Repeat("a", 2000), "employee.fired", v.text(40))
}

func (v vandal) nearlyBinary(typ string) []byte {
	lines := []string{"ce-specversion: 1.0", "ce-id: " + v.id(), "ce-source: /" + v.id(), "ce-type: " + typ, "content-type: application/json"}
	for range 1 + v.IntN(2) {
		i := v.IntN(len(lines))
		name, _, _ := strings.Cut(lines[i], ":")
		switch v.IntN(4) {
		case 0:
			lines = slices.Delete(lines, i, i+1)
		case 1:
			lines = append(lines, lines[i]) // twice
		case 2:
			lines[i] = v.line(strings.ToUpper(name), v.attribute())
		default:
			lines = append(lines, v.line("ce-"+v.pick("time", "subject", "dataschema", "datacontenttype", "data", "x_y", "traceparent"), v.attribute()))
		}
	}
	return block(lines...)
}

func (v vandal) nearlyStructured(typ string) []byte {
	members := []string{
		`"specversion":"1.0"`, `"id":"` + v.id() + `"`, `"source":"/` + v.id() + `"`, `"type":"` + typ + `"`, `"data":` + data(typ, v.IntN(1e6)),
	}
	wrong := func() string {
		quoted, err := json.Marshal(v.attribute())
		if err != nil {
			panic(err)
		}
		return v.pick("null", "1", "-0", "1e999", "[]", "{}", "true", `"\ud800"`, `""`, `"=="`, string(quoted))
	}
	for range 1 + v.IntN(2) {
		i := v.IntN(len(members))
		name, _, _ := strings.Cut(members[i], ":")
		switch v.IntN(5) {
		case 0:
			members = slices.Delete(members, i, i+1)
		case 1:
			members = append(members, members[i]) // twice
		case 2:
			members[i] = name + ":" + wrong()
		case 3:
			members = append(members, `"`+v.pick("data_base64", "time", "datacontenttype", "dataschema", "Id", "nested")+`":`+wrong())
		default:
			members = append(members, v.text(10))
		}
	}
	body := "{" + strings.Join(members, ",") + "}"
	return []byte(v.pick(body, "\xef\xbb\xbf"+body, body+body, "["+body+"]", body[:v.IntN(len(body)+1)]))
}

// deep is JSON that a careless reader runs out of stack on.
func (v vandal) deep() []byte {
	n := 1 + v.IntN(20_000)
	open, shut := "[", "]"
	if v.IntN(2) == 0 {
		open, shut = `{"userId":`, "}"
	}
	return []byte(strings.Repeat(open, n) + v.pick("", "1", "null", `"x"`) + strings.Repeat(shut, v.IntN(2)*n))
}

// wrongData is JSON that no schema allows.
func (v vandal) wrongData() []byte {
	return []byte(v.pick(
		"", "null", "0", `""`, "[]", "{}", "1e999", "{\"userId\":", `{"userId":1,"openId":2}`, `{"userId":"u","openId":"`+strings.Repeat("n", 65)+`"}`,
		`{"userId":"u","openId":"n1","openId":["n2"]}`, `{"userId":"\ud800","openId":"n1"}`, `{"userId":"\u0000","openId":"n1"}`,
		`{"userId":"u","openId":"n1","agent":{"proxyOrganizationId":""}}`, `{"USERID":"u","OPENID":"n"}`, "{\"userId\":\"\xff\",\"openId\":\"n1\"}",
		`{"agent":{"proxyOrganizationOpenId":"o","proxyOperator":{"openId":"p"}},"sealId":"s","userIds":[`+strings.Repeat(`"u",`, v.IntN(3000))+`"u"]}`,
		`{"sceneKey":"OTHER","userInfo":{"name":"某","idCardType":"ID_CARD","idCardNumber":"620000198802020000"},"validFor":"`+v.pick("-1h", "721h", "soon", "1e9h")+`"}`,
		`{"sceneKey":"OTHER","userInfo":{"name":"`+strings.Repeat("某", 5000)+`","idCardType":"PASSPORT","idCardNumber":"1"}}`,
	))
}

// swollen is a header grown as large as the server lets one be, or nearly.
func (v vandal) swollen(header []byte) []byte {
	tail := len(header) - len("\r\n")
	var extra bytes.Buffer
	if v.IntN(2) == 0 {
		for i := range v.IntN(1000) {
			fmt.Fprintf(&extra, "x-%d: %s\r\n", i, v.text(20))
		}
	} else {
		extra.WriteString("x-long: " + strings.Repeat(v.pick("x", "%", "典"), v.IntN(15_000)) + "\r\n")
	}
	return slices.Concat(header[:tail], extra.Bytes(), header[tail:])
}
