package consumer_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/esssim"
	"essworker/internal/fault"
	"essworker/internal/stream"
)

var noise = flag.Int("noise", 2_000, "how many messages TestBadInput_isLettersAndNoCrash sends")

// TestBadInput_isLettersAndNoCrash sends whatever a publisher can send, byte for byte
// and past any client library: noise, headers that play the server, near misses of an
// event, damaged good events. Each accepted message ends in one result; what is not a
// success is a letter that holds the payload; only what could be read is called for.
func TestBadInput_isLettersAndNoCrash(t *testing.T) {
	t.Parallel()
	messages := *noise
	if testing.Short() {
		messages = min(messages, 1_000)
	}
	inBubble(t, func(t *testing.T, y *yard) {
		y.sim, y.gates.Rate = esssim.New(esssim.Config{}), 0
		stop := y.work()
		defer stop()
		g := vandal{rand.New(rand.NewPCG(1, 2))}
		accepted := map[uint64][]byte{} // payloads by their place in the stream
		for len(accepted) < messages {
			y.wire(min(500, messages-len(accepted)), g.message, accepted)
		}
		y.settle(10 * time.Minute)
		y.checkBad(accepted)

		y.publish(3)
		y.settle(time.Minute)
		good := map[string]string{}
		for msg := range y.stored(y.Topology.ResultsStream()) {
			if msg.Header.Get("ce-causationsource") == source {
				good[msg.Header.Get("ce-causationid")] = msg.Header.Get("ce-type")
			}
		}
		want := map[string]string{"e0": "employee.bound", "e1": "seal.granted", "e2": "autosign.link.created"}
		if diff := cmp.Diff(want, good); diff != "" {
			t.Errorf("results of the good events behind them (-want +got):\n%s", diff)
		}
	})
}

// checkBad holds what became of messages against what was accepted.
func (y *yard) checkBad(accepted map[uint64][]byte) {
	y.t.Helper()
	successes, failures := 0, 0
	for msg := range y.stored(y.Topology.ResultsStream()) {
		if strings.HasSuffix(msg.Header.Get("ce-type"), ".failed") {
			failures++
		} else {
			successes++
		}
	}
	letters, calls := 0, successes
	kinds := map[string]int{}
	for msg := range y.stored(y.Topology.LettersStream()) {
		letters++
		reason, code := fault.Reason(msg.Header.Get("Dlq-Reason")), msg.Header.Get("Dlq-Code")
		kinds[string(reason)+" "+code]++
		attempts, err := strconv.Atoi(msg.Header.Get("Dlq-Attempts"))
		calls += attempts
		if err != nil || (reason != fault.Invalid && reason != fault.Rejected) || (reason == fault.Invalid) != (attempts == 0) {
			y.t.Errorf("letter %d is %s %s %q after %d calls (%v), want an invalid one after none or a rejected one",
				msg.Sequence, reason, code, msg.Header.Get("Dlq-Message"), attempts, err)
		}
		seq, err := strconv.ParseUint(msg.Header.Get("Dlq-Stream-Seq"), 10, 64)
		if err != nil || !bytes.Equal(msg.Data, accepted[seq]) {
			y.t.Errorf("letter %d is not the payload of event %d, byte for byte (%v)", msg.Sequence, seq, err)
		}
	}
	if successes+failures != len(accepted) || letters != failures {
		y.t.Errorf("%d messages: %d successes, %d failures, %d letters; want a result each, and a letter for each failure",
			len(accepted), successes, failures, letters)
	}
	if got := len(y.sim.Calls()); got != calls {
		y.t.Errorf("%d vendor calls, want %d: one for each success and each rejected letter, none for the unreadable", got, calls)
	}
	if successes < len(accepted)/100 || letters < len(accepted)/2 || len(kinds) < 8 {
		y.t.Errorf("%d successes, %d letters of %d kinds: the input is not what it was meant to be: %v", successes, letters, len(kinds), kinds)
	}
	y.t.Logf("%d messages: %d successes, %d letters: %v", len(accepted), successes, letters, kinds)
}

// stored gives all messages of a stream.
func (y *yard) stored(name string) func(yield func(*jetstream.RawStreamMsg) bool) {
	return func(yield func(*jetstream.RawStreamMsg) bool) {
		for msg, err := range stream.Messages(y.t.Context(), y.NC, name, ">", 1, y.state(name).LastSeq) {
			if err != nil {
				y.t.Fatal(err)
			}
			if !yield(msg) {
				return
			}
		}
	}
}

// wire publishes n messages over a bare connection, since a client library would tidy
// them up, and notes those that the server has stored.
func (y *yard) wire(n int, message func() (typ string, header, payload []byte), accepted map[uint64][]byte) {
	y.t.Helper()
	conn, err := y.Server.InProcessConn()
	if err != nil {
		y.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answers, err := y.NC.SubscribeSync("wire.*")
	if err != nil {
		y.t.Fatal(err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	ctx, cancel := context.WithTimeout(y.t.Context(), time.Minute)
	defer cancel()
	if err := y.NC.FlushWithContext(ctx); err != nil {
		y.t.Fatal(err)
	}
	payloads := make([][]byte, n)
	var out bytes.Buffer
	out.WriteString(`CONNECT {"verbose":false,"headers":true,"no_responders":true}` + "\r\n")
	for i := range payloads {
		typ, header, payload := message()
		payloads[i] = payload
		fmt.Fprintf(&out, "HPUB %s wire.%d %d %d\r\n%s%s\r\n",
			y.Topology.EventSubject(typ), i, len(header), len(header)+len(payload), header, payload)
	}
	out.WriteString("PING\r\n")
	pong := make(chan error, 1)
	go func() { pong <- heard(conn, "PONG") }()
	if _, err := conn.Write(out.Bytes()); err != nil {
		y.t.Fatal(err)
	}
	if err := <-pong; err != nil {
		y.t.Fatalf("the server ends the connection: %v", err)
	}
	for range n {
		msg, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			y.t.Fatalf("the server does not say what became of a message: %v", err)
		}
		var ack struct {
			Seq       uint64          `json:"seq"`
			Duplicate bool            `json:"duplicate"`
			Error     json.RawMessage `json:"error"`
		}
		i, numberErr := strconv.Atoi(strings.TrimPrefix(msg.Subject, "wire."))
		if err := json.Unmarshal(msg.Data, &ack); err != nil || numberErr != nil {
			y.t.Fatalf("answer %q on %s: %v", msg.Data, msg.Subject, err)
		}
		if ack.Error == nil && !ack.Duplicate {
			accepted[ack.Seq] = payloads[i]
		}
	}
}

// heard reads what the server says until it says word.
func heard(conn net.Conn, word string) error {
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(line, "-ERR"):
			return fmt.Errorf("%s", line)
		case strings.HasPrefix(line, word):
			return nil
		}
	}
}
