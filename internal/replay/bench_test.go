package replay_test

import (
	"flag"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"essworker/internal/dlq"
	"essworker/internal/handlers"
	"essworker/internal/natstest"
	"essworker/internal/replay"
)

var many = flag.Int("letters", 100_000, "how many letters the benchmarks have")

// full is a yard with many letters, on a server reached over TCP.
func full(b *testing.B) *yard {
	b.Helper()
	y := newYard(b, natstest.NewTCP(b, handlers.Types()...))
	var g errgroup.Group
	g.SetLimit(64)
	for range *many {
		f := y.failed()
		g.Go(func() error {
			_, err := y.box.Put(b.Context(), f)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return y
}

// BenchmarkPlan judges every letter, each operation by a plan of all.
func BenchmarkPlan(b *testing.B) {
	y := full(b)
	b.ReportAllocs()
	before := spent(b)
	for b.Loop() {
		if p := y.plan(replay.Choice{}, orders); p.Eligible != *many {
			b.Fatalf("%d letters eligible, want %d", p.Eligible, *many)
		}
	}
	b.ReportMetric(float64(peak(b))/1e6, "MB-peak")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/plan")
	b.ReportMetric((spent(b)-before).Seconds()/float64(b.N), "cpu-s/plan")
}

// BenchmarkReplay replays them all by a job, with a worker whose vendor has no limit,
// and holds each to the law. Make it with -benchtime=1x.
func BenchmarkReplay(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		y := full(b)
		stop, _ := y.worker()
		y.office = y.open(y.NC, y.JS)
		b.StartTimer()
		start := time.Now()
		j := y.create(orders)
		var stored, over time.Duration
		for ; !j.Over(); time.Sleep(20 * time.Millisecond) {
			if now, err := y.office.Get(b.Context(), j.ID); err == nil {
				j = now
			}
			if j.Stored() && stored == 0 {
				stored = time.Since(start)
			}
		}
		over = time.Since(start)
		b.StopTimer()
		if j.Seen.Succeeded != *many {
			b.Fatalf("the job ended as %+v", j)
		}
		y.checkOnce()
		stop()
		b.ReportMetric(float64(*many)/stored.Seconds(), "stored/s")
		b.ReportMetric(float64(*many)/over.Seconds(), "succeeded/s")
		b.StartTimer()
	}
}

// BenchmarkResend puts letters back and nothing else.
func BenchmarkResend(b *testing.B) {
	y := full(b)
	b.ResetTimer()
	n := 0
	var g errgroup.Group
	g.SetLimit(64)
	for l, err := range y.box.Between(b.Context(), dlq.Filter{}, 1, 1<<62) {
		if err != nil {
			b.Fatal(err)
		}
		n++
		g.Go(func() error {
			_, err := y.box.Resend(b.Context(), l)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "letters/s")
}

// peak is the largest resident set of this process so far, in bytes; 0 is unknown. The
// server is within it.
func peak(b *testing.B) int {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		return 0
	}
	kib, _ := strconv.Atoi(string(found[1])) // digits
	return kib << 10
}

// spent is the processor time of this process so far, the server's included.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
