package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/natstest"
)

// FuzzPlainAck holds plainAck to its word: what it reads, the JSON decoder reads too.
func FuzzPlainAck(f *testing.F) {
	for _, answer := range []string{
		`{"stream":"ESS_RESULTS","seq":17}`, `{"stream":"S","seq":17, "duplicate": true}`, `{"stream":"","seq":1}`,
		`{"stream":"S","seq":}`, `{"stream":"S","seq":-1}`, `{"stream":"S","seq":01}`, `{"stream":"a\"b","seq":1}`,
		`{"stream":"S","seq":99999999999999999999}`, `{"error":{"code":503,"err_code":10077,"description":"d"},"stream":"S","seq":0}`, `+OK`, ``,
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		seq, ok := plainAck(answer)
		if !ok {
			return
		}
		want, existed, err := decodeAck(answer)
		if seq != want || existed || err != nil {
			t.Errorf("plainAck(%q) = %d, decoded %d, %t, %v", answer, seq, want, existed, err)
		}
	})
}

func TestPlainAck_usual(t *testing.T) {
	if seq, ok := plainAck([]byte(`{"stream":"ESS_RESULTS","seq":17}`)); seq != 17 || !ok {
		t.Errorf("plainAck = %d, %t, want 17, true", seq, ok)
	}
}

// A confirmation that came after its attempt was given up is not taken for that of the
// next message, which goes the same way.
func TestInbox_late(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := natstest.New(t).NC
		var late *nats.Msg
		answer := func(m *nats.Msg) {
			if late == nil {
				late = m
				return
			}
			_ = late.Respond([]byte(`{"stream":"S","seq":1}`))
			_ = m.Respond([]byte(`{"stream":"S","seq":2}`))
		}
		if _, err := nc.Subscribe("s", answer); err != nil {
			t.Fatal(err)
		}
		in, err := newInbox(nc)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, _, err := in.publish(t.Context(), nc, &nats.Msg{Subject: "s"}); err == nil || time.Since(began) != attemptWait {
			t.Errorf("without an answer: error %v after %v, want one after %v", err, time.Since(began), attemptWait)
		}
		if seq, existed, err := in.publish(t.Context(), nc, &nats.Msg{Subject: "s"}); seq != 2 || existed || err != nil {
			t.Errorf("the next one: %d, %t, %v, want 2, false, none", seq, existed, err)
		}
		nc.Close()
		if _, _, err := in.publish(t.Context(), nc, &nats.Msg{Subject: "s"}); err == nil {
			t.Error("published over a closed connection")
		}
	})
}
