package bench

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestReadUsage(t *testing.T) {
	const status = "Name:\tworker\nVmPeak:\t  999 kB\nVmHWM:\t   12345 kB\nVmRSS:\t   100 kB\n"
	stat := func(name string) string {
		return "42 (" + name + ") S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 9 0 100 1 1\n"
	}
	want := Usage{CPU: 3 * time.Second, Peak: 12345 << 10}
	for _, tt := range []struct {
		stat, status string
		known        bool
	}{
		{stat("worker"), status, true},
		{stat("a) S (b 1 2"), status, true},
		{stat("worker"), "Name:\tworker\n", false}, // a kernel thread has no memory
		{strings.Replace(stat("worker"), "250", "x", 1), status, false},
		{strings.Replace(stat("worker"), " 50 ", " x ", 1), status, false},
		{"42 (worker) Z", status, false},
		{"", "", false},
	} {
		got, known := readUsage(tt.stat, tt.status)
		if known != tt.known || (known && got != want) {
			t.Errorf("readUsage(%q, %q) = %v, %t; want %v, %t", tt.stat, tt.status, got, known, want, tt.known)
		}
	}
}

func TestReadMachine(t *testing.T) {
	for _, tt := range []struct {
		text  string
		want  machine
		known bool
	}{
		{"cpu  100 10 200 1000 90 5 5 40 60 0\ncpu0 1 1 1 1\n", machine{busy: 3600 * time.Millisecond, total: 14500 * time.Millisecond}, true},
		{"cpu  100 10 200 1000\n", machine{}, false},
		{"cpu  100 10 200 x 90 5 5 40\n", machine{}, false},
		{"", machine{}, false},
	} {
		if got, known := readMachine(tt.text); got != tt.want || known != tt.known {
			t.Errorf("readMachine(%q) = %v, %t; want %v, %t", tt.text, got, known, tt.want, tt.known)
		}
	}
}

// TestProcessUsage reads this process, where there is something to read.
func TestProcessUsage(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	u, known := processUsage("self")
	if !known || u.Peak < 1<<20 || u.Peak > 1<<40 {
		t.Errorf("processUsage(self) = %v, %t; want a megabyte at least", u, known)
	}
	m, known := machineUsage()
	if !known || m.busy <= 0 || m.total < m.busy {
		t.Errorf("machineUsage() = %v, %t", m, known)
	}
}
