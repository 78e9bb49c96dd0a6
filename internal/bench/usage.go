package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has taken from the machine so far.
type Usage struct {
	CPU  time.Duration // user and system, to a hundredth of a second
	Peak int64         // the most memory it ever had, in bytes: its resident set
}

// ticks is how many of the units in which the kernel tells processor time make a second:
// 100 on every Linux that Go runs on.
const ticks = 100

// Usage asks the kernel, which tells it on Linux only; elsewhere, and of no process,
// known is false.
func (p *Process) Usage() (u Usage, known bool) {
	if p == nil {
		return Usage{}, false
	}
	return processUsage(strconv.Itoa(p.cmd.Process.Pid))
}

func processUsage(pid string) (u Usage, known bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat")) //nolint:gosec // a process of ours
	if err != nil {
		return Usage{}, false
	}
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status")) //nolint:gosec // the same
	if err != nil {
		return Usage{}, false
	}
	return readUsage(string(stat), string(status))
}

// readUsage reads two files of proc(5). The peak is the kernel's VmHWM and not the
// ru_maxrss of getrusage, which a child takes over from the process that started it.
func readUsage(stat, status string) (u Usage, known bool) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // a program's name may hold anything
	const userTime, systemTime = 11, 12                                 // of those behind the name
	if len(fields) <= systemTime {
		return Usage{}, false
	}
	user, err := readTicks(fields[userTime])
	if err != nil {
		return Usage{}, false
	}
	system, err := readTicks(fields[systemTime])
	if err != nil {
		return Usage{}, false
	}
	_, peak, _ := strings.Cut(status, "\nVmHWM:")
	peak, _, _ = strings.Cut(peak, "kB\n")
	kib, err := strconv.ParseInt(strings.TrimSpace(peak), 10, 64)
	return Usage{CPU: user + system, Peak: kib << 10}, err == nil
}

// machine is what the processors of this machine have been doing since its start.
type machine struct{ busy, total time.Duration }

func machineUsage() (m machine, known bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return machine{}, false
	}
	return readMachine(string(text))
}

// readMachine reads the first line of /proc/stat. Time that a hypervisor gave to others
// counts as busy.
func readMachine(text string) (m machine, known bool) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	const idle, waiting, stolen = 4, 5, 8 // what comes behind is counted in those before
	if len(fields) <= stolen || fields[0] != "cpu" {
		return machine{}, false
	}
	for i := 1; i <= stolen; i++ {
		d, err := readTicks(fields[i])
		if err != nil {
			return machine{}, false
		}
		m.total += d
		if i != idle && i != waiting {
			m.busy += d
		}
	}
	return m, true
}

func readTicks(s string) (time.Duration, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Duration(n) * time.Second / ticks, err
}
