package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/bench"
	"essworker/internal/esssim"
	"essworker/internal/natsconn"
	"essworker/internal/topology"
)

// load is one kind of trial.
type load struct {
	sync   string
	events int
	rate   float64 // 0: all of them are waiting
}

func (l load) String() string {
	if l.rate > 0 {
		return fmt.Sprintf("sync %s, %v events a second", l.sync, l.rate)
	}
	return fmt.Sprintf("sync %s, %d waiting", l.sync, l.events)
}

// loads lists the trials of one round, for each contestant.
func (p *plan) loads() []load {
	var list []load
	for _, s := range p.syncs {
		for _, n := range p.backlogs {
			list = append(list, load{s, n, 0})
		}
		if p.rate > 0 {
			list = append(list, load{s, int(p.rate) * p.seconds, p.rate})
		}
	}
	return list
}

// results are the reports of one load, by contestant, a report for each round.
type results map[load]map[string][]*bench.Report

func (p *plan) all(ctx context.Context, note io.Writer) (results, error) {
	got := results{}
	for round := range p.rounds {
		for _, l := range p.loads() {
			if got[l] == nil {
				got[l] = map[string][]*bench.Report{}
			}
			for i := range p.only { // each round begins with another one
				who := p.only[(i+round)%len(p.only)]
				r, err := p.trial(ctx, l, who)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", who, l, err)
				}
				fmt.Fprintf(note, "round %d, %-26s %-10s %8.0f/s %7.1f µs %6.1f MB  p50 %7.3f ms  others %3.0f %%\n", round+1, l, who,
					r.Rate(), micros(r.CPU.Worker), float64(r.Peak)/1e6, millis(r.Result.At(0.5)), 100*r.Others)
				got[l][who] = append(got[l][who], r)
			}
		}
	}
	return got, nil
}

var (
	listens = regexp.MustCompile(`(?m)^listens at (\S+)$`)
	answers = regexp.MustCompile(`(?m)answers at (\S+),`)
	working = regexp.MustCompile(`(?m)^working$|"msg":"working"`)
)

// trial starts everything, measures, and ends everything.
func (p *plan) trial(ctx context.Context, l load, who string) (r *bench.Report, err error) {
	dir, err := os.MkdirTemp(p.dir, "trial-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() //nolint:gosec // it goes with the folder it is in
	server, at, err := p.start(ctx, dir, "the NATS server", listens, nil, p.worker, "bench", "--serve-in="+filepath.Join(dir, "nats"), "--sync="+l.sync)
	if err != nil {
		return nil, err
	}
	defer server.Kill()
	sim, vendorAt, err := p.start(ctx, dir, "the simulator", answers, nil, p.worker, "sim", "--addr=127.0.0.1:0", "--rate=0",
		"--max-calls="+strconv.Itoa(2*l.events+10_000))
	if err != nil {
		return nil, err
	}
	defer sim.Kill()
	nc, err := natsconn.Connect(ctx, natsconn.Config{URL: natsconn.URLs(at)}, natsconn.Options{
		Name: "peers", InboxPrefix: "_INBOX_bench", NoRetry: true,
	})
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	if err := makeStreams(ctx, nc, who); err != nil {
		return nil, err
	}
	worker, err := p.contestant(ctx, dir, who, at, vendorAt)
	if err != nil {
		return nil, err
	}
	defer worker.Kill()
	r, err = bench.Trial{
		NC: nc, Names: names, Types: []string{eventType}, Events: l.events, Rate: l.rate, Vendor: bench.Vendor{URL: vendorAt},
		Worker: worker, Server: server, Sim: sim,
	}.Run(ctx)
	if err != nil {
		return nil, err
	}
	if len(r.Wrong) > 0 {
		return nil, errors.New("the work was not done as promised: " + strings.Join(r.Wrong, "; "))
	}
	return r, nil
}

// makeStreams makes our streams for everybody. Watermill makes a consumer of its own, and
// a stream that is a work queue has room for one only.
func makeStreams(ctx context.Context, nc *nats.Conn, who string) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	cfg := topology.Config{Names: names, Replicas: 1, ResultsMaxAge: 168 * time.Hour, AckWait: time.Minute}
	if _, err := topology.Apply(ctx, js, cfg, bench.Kinds()); err != nil {
		return err
	}
	if who == watermillName {
		return js.DeleteConsumer(ctx, names.EventsStream(), topology.Consumer(eventType))
	}
	return nil
}

// contestant starts a worker.
func (p *plan) contestant(ctx context.Context, dir, who, nats, vendor string) (*bench.Process, error) {
	concurrency := strconv.Itoa(p.concurrency)
	if who != ours {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		process, _, err := p.start(ctx, dir, who, working, nil, self, "be", who, nats, vendor, concurrency)
		return process, err
	}
	process, _, err := p.start(ctx, dir, who, working, []string{
		"NATS_URL=" + nats, "WORKER_PREFIX=" + names.Prefix, "WORKER_RATE=0", "WORKER_CONCURRENCY=" + concurrency,
		"WORKER_LOG_FORMAT=json", "WORKER_HTTP_ADDR=127.0.0.1:0", "ESS_ENDPOINT=" + vendor, "ESSBASIC_ENDPOINT=" + vendor,
		"TENCENTCLOUD_SECRET_ID=" + esssim.SecretID, "TENCENTCLOUD_SECRET_KEY=" + esssim.SecretKey,
		"ESS_OPERATOR_USER_ID=" + esssim.OperatorUserID, "ESS_APP_ID=" + esssim.AppID,
	}, p.worker, "run")
	return process, err
}

// start starts a program and waits until it says that it is up; group is what the
// pattern's group matches.
func (p *plan) start(ctx context.Context, dir, name string, up *regexp.Regexp, env []string, path string, args ...string) (*bench.Process, string, error) {
	for _, kv := range os.Environ() {
		if key, _, _ := strings.Cut(kv, "="); slices.Contains([]string{"GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG"}, key) {
			env = append(env, kv)
		}
	}
	process, err := bench.Start(ctx, bench.Program{
		Name: name, Path: path, Args: append([]string{filepath.Base(path)}, args...), Env: env, Dir: dir,
	})
	if err != nil {
		return nil, "", err
	}
	found, err := process.Says(ctx, up)
	if err != nil {
		process.Kill()
		return nil, "", err
	}
	return process, found[len(found)-1], nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
