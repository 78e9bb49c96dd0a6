package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/bench"
	"essworker/internal/esssim"
	"essworker/internal/natsconn"
	"essworker/internal/topology"
)

// benchRun is one bench: what it was asked for, and where it happens.
type benchRun struct {
	*benchCmd
	streams

	given bool   // the NATS server is not our own
	dir   string // for logs, and the data of our own server
	line  *progress
	trial bench.Trial
}

// all starts everything, measures, and leaves nothing behind. Every process ends with ctx.
func (b *benchRun) all(ctx context.Context) (err error) {
	b.line = newProgress(b.err)
	defer b.line.clear()
	b.line.show("starting", 0, 0)
	b.trial = bench.Trial{
		Names: topology.Names{Prefix: b.Prefix}, Types: b.Type, Events: b.Events, Rate: b.Rate, Limit: b.Limit,
		Progress: b.line.show,
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	if err := b.vendor(ctx); err != nil {
		return err
	}
	nc, err := b.nats(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	b.trial.NC = nc
	site := benchSite{names: b.trial.Names, nc: nc}
	if err := site.make(ctx, b.Replace); err != nil {
		return err
	}
	if b.given {
		defer func() {
			b.line.clear()
			err = errors.Join(err, site.remove(context.WithoutCancel(ctx), b.err))
		}()
	}
	report, err := b.measure(ctx)
	if err != nil {
		return err
	}
	b.line.clear()
	return b.print(report)
}

// vendor starts the simulator, or finds the one that runs.
func (b *benchRun) vendor(ctx context.Context) error {
	if b.Endpoint != "" {
		b.trial.Vendor.URL = strings.TrimSuffix(b.Endpoint, "/")
		if err := b.trial.Vendor.Check(ctx); err != nil {
			return fmt.Errorf("--endpoint: %w: start one with worker sim --rate 0 --max-calls %d", err, b.record())
		}
		return nil
	}
	sim, found, err := b.start(ctx, "the simulator", simAnswers, nil,
		"sim", "--addr=127.0.0.1:0", "--rate=0", "--max-calls="+strconv.Itoa(b.record()))
	if err != nil {
		return err
	}
	b.trial.Sim, b.trial.Vendor.URL = sim, found
	return nil
}

// record is how many calls the simulator must remember: those for the events, and what
// comes beside.
func (b *benchRun) record() int { return 2*b.Events + 10_000 }

// nats starts the NATS server, if none was given, and connects.
func (b *benchRun) nats(ctx context.Context) (*nats.Conn, error) {
	if !b.given {
		server, found, err := b.start(ctx, "the NATS server", natsListens, nil,
			"bench", "--serve-in="+filepath.Join(b.dir, "nats"), "--sync="+b.Sync)
		if err != nil {
			return nil, err
		}
		b.trial.Server, b.NATS.URL = server, natsconn.URLs(found)
	}
	return natsconn.Connect(ctx, b.NATS, natsconn.Options{
		Name: "essworker bench " + workerName(), InboxPrefix: "_INBOX_bench", NoRetry: true,
	})
}

// measure starts the worker, puts the load through it and stops it.
func (b *benchRun) measure(ctx context.Context) (*bench.Report, error) {
	worker, found, err := b.start(ctx, "the worker", workerWorks, b.settings(), "run")
	if err != nil {
		return nil, err
	}
	defer worker.Kill() // before its streams go
	b.trial.Worker, b.trial.Metrics = worker, "http://"+found+"/metrics"
	report, err := b.trial.Run(ctx)
	if err != nil {
		return nil, err
	}
	b.line.show("stopping the worker", 0, 0)
	if err := worker.Stop(benchStop); err != nil {
		report.Wrong = append(report.Wrong, err.Error())
	}
	return report, nil
}

// benchStop is how long a worker with nothing to do may take to end.
const benchStop = 10 * time.Second

// settings is the environment of the worker. Whatever is not in it is at its default.
func (b *benchRun) settings() []string {
	return []string{
		"WORKER_PREFIX=" + b.Prefix, "WORKER_RATE=" + strconv.Itoa(b.Limit), "WORKER_CONCURRENCY=" + strconv.Itoa(b.Concurrency),
		"WORKER_LOG_FORMAT=json", "WORKER_HTTP_ADDR=127.0.0.1:0",
		"ESS_ENDPOINT=" + b.trial.Vendor.URL, "ESSBASIC_ENDPOINT=" + b.trial.Vendor.URL, "ESS_ALLOW_HTTP=true",
		"TENCENTCLOUD_SECRET_ID=" + esssim.SecretID, "TENCENTCLOUD_SECRET_KEY=" + esssim.SecretKey,
		"ESS_OPERATOR_USER_ID=" + esssim.OperatorUserID, "ESS_APP_ID=" + esssim.AppID,
		"NATS_URL=" + b.NATS.URL.Reveal(), "NATS_CREDS=" + b.NATS.Creds, "NATS_NKEY=" + b.NATS.NKey,
		"NATS_USER=" + b.NATS.User.Reveal(), "NATS_PASSWORD=" + b.NATS.Password.Reveal(),
		"NATS_CA=" + b.NATS.CA, "NATS_CERT=" + b.NATS.Cert, "NATS_KEY=" + b.NATS.Key,
	}
}

// What the programs say once they are up; the group is where.
var (
	natsListens = regexp.MustCompile(`(?m)^listens at (\S+)$`)
	simAnswers  = regexp.MustCompile(`answers at (\S+),`)
	workerWorks = regexp.MustCompile(`"msg":"working".*"http":"([^"]+)"`)
)

// inherited are the variables a program of the bench takes over: what tunes the Go
// runtime. Settings of a deployment are not for a bench.
var inherited = []string{"GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", "GORACE", "TMPDIR"}

// start starts this very program as another command and waits until it is up.
func (b *benchRun) start(ctx context.Context, name string, up *regexp.Regexp, env []string, args ...string) (p *bench.Process, where string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	for _, kv := range os.Environ() {
		if variable, _, _ := strings.Cut(kv, "="); slices.Contains(inherited, variable) {
			env = append(env, kv)
		}
	}
	p, err = bench.Start(ctx, bench.Program{Name: name, Path: self, Args: append([]string{"worker"}, args...), Env: env, Dir: b.dir})
	if err != nil {
		return nil, "", err
	}
	found, err := p.Says(ctx, up)
	if err != nil {
		return nil, "", err
	}
	return p, found[1], nil
}
