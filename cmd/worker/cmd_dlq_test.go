package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/fault"
	"essworker/internal/handlers"
	"essworker/internal/natstest"
	"essworker/internal/replay"
)

// putLetters stores letters about events of their own that the vendor has refused.
func putLetters(t *testing.T, b *natstest.Bed, n int) *dlq.Box {
	t.Helper()
	box, err := dlq.Open(t.Context(), b.JS, b.Topology.Names, "test")
	if err != nil {
		t.Fatal(err)
	}
	marks, err := box.Marks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const typ = "employee.onboarded"
	for i := marks.Letters; i < marks.Letters+uint64(n); i++ {
		e := event.New(typ, "/test", fmt.Sprint("e", i), fmt.Appendf(nil, `{"userId":"u%d","openId":"n%d"}`, i, i))
		header, data, err := event.Write(e)
		if err != nil {
			t.Fatal(err)
		}
		_, err = box.Put(t.Context(), dlq.Failed{
			Type: typ, Action: "BindEmployeeUserIdWithClientOpenId", Stream: b.Topology.EventsStream(), StreamSeq: 1000 + i,
			Stored: time.Now(), Deliveries: 1, Subject: b.Topology.EventSubject(typ), Header: header, Data: data, Event: e,
			Fault: &fault.Error{Code: "InvalidParameter", Message: "no"}, Reason: fault.Rejected, Attempts: 1, FailedAt: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return box
}

// cutOff leaves a job that was cut off while it put letters back.
func cutOff(t *testing.T, b *natstest.Bed, id string, letters ...uint64) {
	t.Helper()
	kv, err := b.JS.KeyValue(t.Context(), b.Topology.FleetBucket())
	if err != nil {
		t.Fatal(err)
	}
	var batch replay.Batch
	for _, id := range letters {
		batch.Sent = append(batch.Sent, replay.Sent{ID: id, Type: "employee.onboarded"})
	}
	for key, record := range map[string]any{
		"job." + id:             replay.Job{ID: id, State: replay.Running, Sending: true, Batches: 1, Open: []int{0}},
		"jobbatch." + id + ".0": batch,
	} {
		value, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDLQ_underway: what a job may be putting back, others leave alone.
func TestDLQ_underway(t *testing.T) {
	t.Parallel()
	b := natstest.NewTCP(t, handlers.Types()...)
	box := putLetters(t, b, 3)
	cutOff(t, b, "j-abcdef", 1, 2)
	patch := writeFile(t, `{"openId":"other"}`)
	for _, tt := range []struct {
		line string
		code int
		says string
	}{
		{"dlq edit 1 --why=x --yes --patch=" + patch, exitFailed, "letter 1: job j-abcdef has it under way: worker dlq watch j-abcdef"},
		{"dlq discard 2 --why=x", exitFailed, "letter 2: job j-abcdef has it under way: worker dlq watch j-abcdef"},
		{"dlq discard --all --yes --why=x", exitPartly, "letters 1 2: job j-abcdef has them under way: worker dlq watch j-abcdef"},
	} {
		if code, said := operator(t, b, strings.Fields(tt.line)...); code != tt.code || !strings.Contains(said, tt.says) {
			t.Errorf("%s: exit code %d: %s\nwant %d, and %q", tt.line, code, said, tt.code, tt.says)
		}
	}
	ids, err := box.IDs(t.Context(), dlq.Filter{})
	if err != nil || fmt.Sprint(ids) != "[1 2]" {
		t.Errorf("letters %v, %v, want those under way", ids, err)
	}
}

// TestDLQ_frozen: the command that a plan prints does what the plan has said, whatever
// has come meanwhile.
func TestDLQ_frozen(t *testing.T) {
	t.Parallel()
	b := natstest.NewTCP(t, handlers.Types()...)
	putLetters(t, b, 4) // and four more before each second command
	for _, tt := range []struct{ plan, then, says string }{
		{"dlq replay --all --limit=3", "--dry-run", "\n3 letters would be"},
		{"dlq replay --all", "--dry-run", "\n8 letters would be"},
		{"dlq discard --code=InvalidParameter --limit=2 --why=x", "", `^letter 11 discarded: now \d+\nletter 12 discarded: now \d+\n$`},
		{"dlq discard --since=1h --why=x", "", `(?s)^letter 1 .*letter 16 discarded: now \d+\n$`},
		{"dlq restore --reason=rejected --limit=2", "", `^letter 15 restored: now \d+\nletter 16 restored: now \d+\n$`},
	} {
		code, said := operator(t, b, strings.Fields(tt.plan)...)
		_, printed, ok := strings.Cut(said, "To do it:\n  worker ")
		if code != 0 || !ok {
			t.Errorf("%s: exit code %d: %s", tt.plan, code, said)
		}
		putLetters(t, b, 4)
		code, said = operator(t, b, strings.Fields(printed+tt.then)...)
		if code != 0 || !regexp.MustCompile(tt.says).MatchString(said) {
			t.Errorf("%s, and then %s: exit code %d: %s, want %q", tt.plan, printed, code, said, tt.says)
		}
	}
}

// TestDLQ_selection: what would select something else than was meant is refused.
func TestDLQ_selection(t *testing.T) {
	t.Parallel()
	for line, says := range map[string]string{
		"dlq discard --why=x --group= --limit=5":         "--group: is empty",
		"dlq replay --yes --type=a.b --code=":            "--code: is empty",
		"dlq replay --yes --reason=":                     "--reason: is empty",
		"dlq export --event-id= --reveal --why=x":        "--event-id: is empty",
		"dlq ls --group=":                                "--group: is empty",
		"dlq replay --all --up-to=0":                     "--up-to: is empty",
		"dlq replay 1 2 --up-to=1":                       "these letters are named by id",
		"dlq discard 1 --from=1 --why=x":                 "these letters are named by id",
		"dlq replay 1 --limit=1":                         "not both",
		"dlq edit 1 --patch=/dev/null --why=x --up-to=3": "these letters are named by id",
	} {
		var out strings.Builder
		if code := run(t.Context(), strings.Fields(line), strings.NewReader(""), &out, &out); code != exitUsage || !strings.Contains(out.String(), says) {
			t.Errorf("%s: exit code %d: %s\nwant 2, and %q", line, code, out.String(), says)
		}
	}
}

// TestDLQ_exportCounts: what was taken away meanwhile was not written.
func TestDLQ_exportCounts(t *testing.T) {
	t.Parallel()
	b := natstest.NewTCP(t, handlers.Types()...)
	box := putLetters(t, b, 1)
	var out, errOut strings.Builder
	err := (&dlqExportCmd{}).write(t.Context(), streams{nil, &out, &errOut}, box, []uint64{1, 2}, 0)
	if exitCode(err) != exitPartly || errOut.String() != "1 letter exported\n" || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("write of a letter and one that is gone = %v, says %q, want one line and that it was one", err, errOut.String())
	}
}
