package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/bench"
	"essworker/internal/natstest"
)

// TestBench_cutOff ends a bench by Ctrl-C, and by kill -9: in either case everything it
// has started ends too.
func TestBench_cutOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		signal syscall.Signal
		code   int
		left   bool // its streams are
	}{
		{syscall.SIGINT, exitFailed, false},
		{syscall.SIGKILL, 128 + int(syscall.SIGKILL), true},
	} {
		t.Run(tt.signal.String(), func(t *testing.T) {
			t.Parallel()
			bed := natstest.NewTCP(t)
			p := start(t, nil, "worker", "bench", "--nats-url="+bed.Server.URL(), "--rate=20", "--events=10000")
			until(t, "it is in the midst of it", func() bool {
				s, err := bed.JS.Stream(t.Context(), "BENCH_RESULTS")
				return err == nil && s.CachedInfo().State.Msgs > 205
			})
			home := p.cmd.Env[slices.IndexFunc(p.cmd.Env, func(kv string) bool { return strings.HasPrefix(kv, "TMPDIR=") })]
			if runtime.GOOS == "linux" {
				if n := programs(t, home); n != 3 {
					t.Errorf("%d programs run, want 3: the command, the worker and the simulator", n)
				}
			}
			p.signal(tt.signal)
			if code := p.ended(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if runtime.GOOS == "linux" {
				until(t, "all programs have ended", func() bool { return programs(t, home) == 0 })
			}
			_, err := bed.JS.Stream(t.Context(), "BENCH_EVENTS")
			if left := !errors.Is(err, jetstream.ErrStreamNotFound); left != tt.left {
				t.Errorf("its streams are left: %t, want %t", left, tt.left)
			}
			if said := p.said.end(); !tt.left && !strings.Contains(said, "there is nothing to report") {
				t.Errorf("it does not say that there is no report:\n%s", said)
			}
		})
	}
}

// programs counts the processes with a variable of this name and value.
func programs(t *testing.T, variable string) int {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range list {
		if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(variable+"\x00")) { // else it has ended
			n++
		}
	}
	return n
}

// TestBench_text draws reports for terminals of all widths.
func TestBench_text(t *testing.T) {
	bed := natstest.NewTCP(t)
	full := &bench.Report{
		Events: 1_000_000, Took: 90 * time.Second, Calls: 1_000_001, TooFast: 5, Most: map[string]bench.Most{"A": {Sliding: 20, Calendar: 19}},
		CPU:  bench.CPU{Worker: 123 * time.Microsecond, Server: 456 * time.Microsecond, Sim: 789 * time.Microsecond},
		Peak: 1234 << 20, Allocated: bench.Allocated{Objects: 1234, Bytes: 1_234_567}, Others: 0.55,
	}
	for d := 100 * time.Microsecond; d < time.Minute; d = d * 5 / 4 {
		full.Result = append(full.Result, d)
		full.Call, full.Rest = full.Result, full.Result
	}
	few := &bench.Report{Events: 1, Took: time.Second, Calls: 1, Others: -1}
	for _, r := range []*bench.Report{full, few} {
		for _, columns := range []int{80, 79, 60, 40, 30} {
			b := &benchRun{benchCmd: &benchCmd{Events: r.Events, Type: bench.Kinds(), Limit: 20, Rate: 11111.5, Sync: "default"}}
			b.trial.NC = bed.NC
			got := b.text(r, columns)
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns && columns >= benchNames+2*benchValues {
					t.Errorf("%d characters for %d columns: %s", n, columns, line)
				}
				if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
					t.Errorf("space at the end of %q", line)
				}
			}
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "-", -1: "-", 1: "0.00 µs", 1234: "1.23 µs", 45678: "45.7 µs", 456789: "457 µs", 999_600: "1.00 ms", 1e6: "1.00 ms", 9_996_000: "10.0 ms", 99_960_000: "100 ms",
		1234567: "1.23 ms", 123 * time.Millisecond: "123 ms", 1500 * time.Millisecond: "1.50 s", 5 * time.Minute: "300 s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestGrouped(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 12.6: "13", 999: "999", 1000: "1,000", 123456: "123,456", 1234567.4: "1,234,567"} {
		if got := grouped(v); got != want {
			t.Errorf("grouped(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestBar(t *testing.T) {
	for _, tt := range []struct {
		n, most, room int
		want          string
	}{
		{0, 100, 4, "    "},
		{0, 0, 4, "    "},
		{1, 1000, 4, "▏   "},
		{50, 100, 4, "██  "},
		{100, 100, 4, "████"},
		{3, 8, 1, "▍"}, // in eighths, the next more
		{3, 8, 2, "▊ "},
	} {
		if got := bar(tt.n, tt.most, tt.room); got != tt.want {
			t.Errorf("bar(%d, %d, %d) = %q, want %q", tt.n, tt.most, tt.room, got, tt.want)
		}
	}
}
