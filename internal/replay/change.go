package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/kv"
)

// ErrUnclear says that a change may have been made: its answer was lost, and so was that
// to the question whether it was.
var ErrUnclear = errors.New("not known whether it was stored")

const (
	// editTries bounds the tries of one change of a record against others' changes,
	// answerTries those whose answer is lost: each takes seconds.
	editTries   = 20
	answerTries = 3
)

// Create stores a draft: the next runner that is free takes it.
func (o *Office) Create(ctx context.Context, j Job) error {
	var lost error
	for range answerTries {
		_, err := o.write(ctx, j, 0)
		if err == nil || refused(err) {
			return err
		}
		switch now, unread := o.Get(ctx, j.ID); {
		case unread == nil && now.Created.Equal(j.Created):
			return nil
		case unread == nil:
			return err
		case !errors.Is(unread, ErrNoJob):
			return fmt.Errorf("%w: %w", ErrUnclear, err)
		}
		lost = err
	}
	return fmt.Errorf("%w: %w", ErrUnclear, lost)
}

// refused reports whether an error is the broker's word that it has stored nothing.
func refused(err error) bool {
	_, ok := errors.AsType[*jetstream.APIError](err)
	return ok
}

// Pause stops a job where it stands; what is under way is seen through.
func (o *Office) Pause(ctx context.Context, id, by, why string) (Job, error) {
	return o.want(ctx, id, wantPause, by, why)
}

// Resume lets a job go on that was paused or has stopped; it begins with a canary again,
// and with the letters that could not be stored.
func (o *Office) Resume(ctx context.Context, id, by, why string) (Job, error) {
	return o.want(ctx, id, wantRun, by, why)
}

// Cancel ends a job; the letters it has not come to stay where they are. One that no
// runner has is over at once.
func (o *Office) Cancel(ctx context.Context, id, by, why string) (Job, error) {
	return o.want(ctx, id, wantCancel, by, why)
}

func (o *Office) want(ctx context.Context, id, what, by, why string) (Job, error) {
	now, err := o.bucket.Time(ctx)
	if err != nil {
		return Job{}, err
	}
	same := func(now, wrote Job) bool {
		return now.Wanted == wrote.Wanted && now.Want == wrote.Want && now.WantBy == wrote.WantBy && now.WantWhy == wrote.WantWhy
	}
	return o.edit(ctx, id, same, func(j *Job) error { return j.want(what, by, why, now) })
}

// edit changes a job's record by compare-and-set. Where the answer to a write is lost it
// looks whether the record is the same in what was changed, and else writes again: then
// the first write cannot come later.
func (o *Office) edit(ctx context.Context, id string, same func(now, wrote Job) bool, change func(*Job) error) (Job, error) {
	var wrote Job
	var lost []error
	for range editTries {
		j, rev, err := o.read(ctx, id)
		switch {
		case err == nil && len(lost) > 0 && same(j, wrote):
			return j, nil
		case len(lost) == answerTries, err != nil && len(lost) > 0:
			return Job{}, fmt.Errorf("%w: %w", ErrUnclear, lost[0])
		case err != nil:
			return j, err
		}
		if err := change(&j); err != nil {
			return j, err
		}
		switch _, err = o.write(ctx, j, rev); {
		case err == nil || refused(err):
			return j, err
		case !errors.Is(err, kv.ErrStale):
			wrote, lost = j, append(lost, err)
		}
	}
	return Job{}, fmt.Errorf("change job %q: %w, %d times over", id, kv.ErrStale, editTries)
}

func (o *Office) write(ctx context.Context, j Job, rev uint64) (uint64, error) {
	value, err := json.Marshal(j)
	if err != nil {
		return 0, fmt.Errorf("encode job %q: %w", j.ID, err)
	}
	ttl := time.Duration(0)
	if j.Over() {
		ttl = reportTTL
	}
	return o.bucket.Put(ctx, jobKeys+j.ID, value, rev, ttl)
}
