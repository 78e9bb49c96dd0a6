// Package replay brings dead letters back into their stream, so many and so fast as is
// safe: first a plan, which freezes a selection and does nothing, then a job, which any
// worker runs and which survives everybody.
//
// Its one rule: a job's record says how far it is, the letters themselves say what is
// done, and whatever is between the two was written down before it was begun. So a job
// may be cut off at any instant and run on by another runner, and no letter is replayed
// twice: a replayed letter is gone, and one whose replay was cut off is in the batch
// that the job has noted.
package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/dlq"
	"essworker/internal/event"
	"essworker/internal/kv"
	"essworker/internal/mask"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// The keys of jobs and their batches in the fleet's bucket.
const (
	jobKeys   = "job."
	batchKeys = "jobbatch."
)

const (
	// reportTTL is how long the report of a job that is over stays.
	reportTTL = 30 * 24 * time.Hour
	// batchTTL is how long a batch stays behind the last touch: longer than its job.
	batchTTL = 90 * 24 * time.Hour
)

// ErrNoJob says that there is no job of that id.
var ErrNoJob = errors.New("no such job")

// Office keeps the jobs of one deployment. It is safe for concurrent use.
type Office struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	topo   topology.Names
	routes map[string]event.Route
	order  []event.Route
	box    *dlq.Box
	ledger *stream.Lookup
	bucket kv.Bucket
}

// Open uses the streams and the fleet's bucket of a deployment, which must exist.
func Open(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, topo topology.Names, routes []event.Route) (*Office, error) {
	box, err := dlq.Open(ctx, js, topo, "")
	if err != nil {
		return nil, err
	}
	o := &Office{
		nc: nc, js: js, topo: topo, routes: map[string]event.Route{}, order: routes, box: box,
		ledger: stream.NewLookup(nc, topo.ResultsStream()), bucket: kv.Open(nc, js, topo.FleetBucket()),
	}
	for _, r := range routes {
		o.routes[r.Type] = r
	}
	return o, nil
}

// Get reads a job. The error is ErrNoJob if there is none.
func (o *Office) Get(ctx context.Context, id string) (Job, error) {
	j, _, err := o.read(ctx, id)
	return j, err
}

func (o *Office) read(ctx context.Context, id string) (j Job, rev uint64, err error) {
	if !isID(id) {
		return Job{}, 0, fmt.Errorf("job %q: %w", id, ErrNoJob)
	}
	e, err := o.bucket.Get(ctx, jobKeys+id)
	switch {
	case err != nil:
		return Job{}, 0, err
	case e.Value == nil:
		return Job{}, 0, fmt.Errorf("job %q: %w", id, ErrNoJob)
	}
	if err := json.Unmarshal(e.Value, &j); err != nil {
		return Job{}, 0, fmt.Errorf("read job %q: %w", id, err)
	}
	j.Touched = e.At
	return j, e.Rev, nil
}

// List gives every job there is a record of, the newest first. One that was written by
// a later version and cannot be read is left out.
func (o *Office) List(ctx context.Context) ([]Job, error) {
	held, err := o.bucket.All(ctx, jobKeys)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	var jobs []Job
	for _, e := range held {
		var j Job
		if e.Value == nil || json.Unmarshal(e.Value, &j) != nil {
			continue
		}
		j.Touched = e.At
		jobs = append(jobs, j)
	}
	slices.SortFunc(jobs, func(a, b Job) int { return b.Created.Compare(a.Created) })
	return jobs, nil
}

// Batch reads what became of some of the letters that a job has come to; it has
// Job.Batches of them, the first being 0.
func (o *Office) Batch(ctx context.Context, job string, n int) (Batch, error) {
	e, err := o.bucket.Get(ctx, batchKey(job, n))
	if err != nil {
		return Batch{}, err
	}
	b := Batch{N: n, rev: e.Rev}
	if e.Value == nil {
		return b, nil
	}
	if err := json.Unmarshal(e.Value, &b); err != nil {
		return Batch{}, fmt.Errorf("read batch %d of job %q: %w", n, job, err)
	}
	return b, nil
}

// putBatch notes a batch, and fails if somebody else has since it was read.
func (o *Office) putBatch(ctx context.Context, job string, b *Batch) error {
	value, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode batch %d of job %q: %w", b.N, job, err)
	}
	if b.rev, err = o.bucket.Put(ctx, batchKey(job, b.N), value, b.rev, batchTTL); err == nil {
		b.noted, b.news = time.Now(), false
	}
	return err
}

func batchKey(job string, n int) string { return fmt.Sprintf("%s%s.%d", batchKeys, job, n) }

// succeeded tells of letters, by their index, whether their events have succeeded, as
// they were or edited.
func (o *Office) succeeded(ctx context.Context, letters []dlq.Letter) ([]bool, error) {
	by, err := o.box.Succeeded(ctx, func(typ string) string { return o.routes[typ].Success }, letters...)
	if err != nil {
		return nil, err
	}
	done := make([]bool, len(letters))
	for i, l := range letters {
		done[i] = by[l.ID] != ""
	}
	return done, nil
}

func clean(text string) string { return mask.Text(strings.TrimSpace(text)) }
