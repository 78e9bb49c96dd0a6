package dlq_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"essworker/internal/dlq"
	"essworker/internal/event"
)

func (p *post) exported(id uint64) (e dlq.Exported) {
	p.t.Helper()
	whole, err := p.box.Export(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := json.Marshal(whole) // as it lies in the file
	if err != nil {
		p.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		p.t.Fatal(err)
	}
	return e
}

func (p *post) land(e dlq.Exported) (uint64, dlq.Landed) {
	p.t.Helper()
	im, err := p.box.NewImporter(p.t.Context(), func(string) string { return "employee.bound" })
	if err != nil {
		p.t.Fatal(err)
	}
	id, what, err := im.Import(p.t.Context(), e)
	if err != nil {
		p.t.Fatal(err)
	}
	return id, what
}

// TestExport: whatever a letter holds, it is the same in another system.
func TestExport(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		for name, edit := range map[string]func(f *dlq.Failed){
			"ordinary":  func(*dlq.Failed) {},
			"empty":     func(f *dlq.Failed) { f.Data, f.Header = nil, nil },
			"not UTF-8": func(f *dlq.Failed) { f.Data = every },
			"odd headers": func(f *dlq.Failed) {
				f.Header = nats.Header{"X": {"a", "\xff", "b"}, "Y": {"典 <&>\u2028"}, "Status": {"404"}}
			},
			"replayed": func(f *dlq.Failed) { f.Header = nats.Header{"Dlq-Replays": {"2"}, "Dlq-Origin": {"7"}} },
			"large":    func(f *dlq.Failed) { f.Data = []byte(strings.Repeat("x", 1<<20-700)) },
		} {
			id := p.put(p.failed(edit))
			want, e := p.get(id), p.exported(id)
			if got, what := p.land(e); got != id || what != dlq.LandedLetter {
				t.Errorf("%s: import beside the letter gives %d, %s", name, got, what)
			}
			if err := p.letters().DeleteMsg(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			id, what := p.land(e)
			if what != dlq.LandedNew {
				t.Errorf("%s: import: %s", name, what)
				continue
			}
			if d := cmp.Diff(want, p.get(id), cmpopts.IgnoreFields(dlq.Letter{}, "ID", "Stored"), cmp.Comparer(bytes.Equal)); d != "" {
				t.Errorf("%s: imported letter (-want +got):\n%s", name, d)
			}
			if d := cmp.Diff(e, p.exported(id), cmpopts.IgnoreFields(dlq.Exported{}, "ID", "Stored")); d != "" {
				t.Errorf("%s: exported again (-want +got):\n%s", name, d)
			}
		}
	})
}

// TestImport_once: what became of a letter here keeps it from coming again.
func TestImport_once(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		id := p.put(p.failed())
		e := p.exported(id)
		away, err := p.box.Discard(t.Context(), id, p.discarded())
		if err != nil {
			t.Fatal(err)
		}
		want := func(what dlq.Landed) (id uint64) {
			t.Helper()
			id, got := p.land(e)
			if got != what {
				t.Errorf("import: %s, want %s", got, what)
			}
			return id
		}
		want(dlq.LandedDiscarded)
		if id, err = p.discarded().Restore(t.Context(), away, p.box); err != nil {
			t.Fatal(err)
		}
		want(dlq.LandedLetter)
		if err := p.letters().DeleteMsg(t.Context(), id); err != nil { // as in a system where it never was
			t.Fatal(err)
		}
		id = want(dlq.LandedNew)
		again := p.replay(id)
		want(dlq.LandedReplayed) // the server knows the import
		later := p.put(p.failsAgain(again.Seq))
		time.Sleep(time.Hour)
		want(dlq.LandedReplayed) // its letter tells
		p.replay(later)
		if _, err := p.JS.Publish(t.Context(), p.Topology.ResultSubject("employee.bound", event.Key("/hr", "e1")), nil); err != nil {
			t.Fatal(err)
		}
		want(dlq.LandedDone)
	})
}

// TestImport_refuses what an export never holds.
func TestImport_refuses(t *testing.T) {
	inBubble(t, func(t *testing.T, p *post) {
		good := p.exported(p.put(p.failed()))
		for name, spoil := range map[string]func(e *dlq.Exported){
			"no subject":           func(e *dlq.Exported) { e.Subject = "" },
			"of another stream":    func(e *dlq.Exported) { e.Subject = "ess.events.employee.onboarded" },
			"an unknown reason":    func(e *dlq.Exported) { e.Subject = "ess.deadletters.bored.employee.onboarded.1-a" },
			"wildcards":            func(e *dlq.Exported) { e.Subject = "ess.deadletters.rejected.*.1-a" },
			"another key":          func(e *dlq.Exported) { e.Subject = "ess.deadletters.rejected.employee.onboarded.key" },
			"data twice":           func(e *dlq.Exported) { e.DataBase64 = []byte("x") },
			"a header that is two": func(e *dlq.Exported) { e.Headers["X"] = []string{"a\r\nNats-Rollup: all"} },
			"a header's name":      func(e *dlq.Exported) { e.Headers["a b"] = []string{"x"} },
		} {
			e := good
			e.Headers = map[string][]string{}
			spoil(&e)
			im, err := p.box.NewImporter(t.Context(), func(string) string { return "" })
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := im.Import(t.Context(), e); err == nil {
				t.Errorf("%s: Import is no error", name)
			}
		}
		if n := p.count("ESS_DEADLETTERS"); n != 1 {
			t.Errorf("%d letters, want 1", n)
		}
	})
}
