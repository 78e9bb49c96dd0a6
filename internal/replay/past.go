package replay

import (
	"cmp"
	"context"
	"slices"
	"time"

	"essworker/internal/dlq"
)

// Past is one replay that a letter has behind it.
type Past struct {
	Job string    `json:"job"`
	At  time.Time `json:"at"` // when the job was begun
	By  string    `json:"by"`
	Why string    `json:"why,omitempty"` // masked
	Sent
}

// Past gives the replays by jobs that a letter comes from, oldest first, as far as jobs are
// remembered. It reads the batches of the jobs that may have had it, the newest job first.
func (o *Office) Past(ctx context.Context, l dlq.Letter) ([]Past, error) {
	if l.Replays == 0 {
		return nil, nil
	}
	jobs, err := o.List(ctx)
	if err != nil {
		return nil, err
	}
	var found []Past
	for _, j := range jobs {
		if len(found) == l.Replays {
			break
		}
		if j.Types[l.Type] == 0 || j.Selection.Last < l.Origin || j.Selection.First >= l.ID {
			continue
		}
		for s, err := range o.Report(ctx, j) {
			if err != nil {
				return nil, err
			}
			if s.Origin == l.Origin && 0 < s.Replay && s.Replay <= l.Replays {
				found = append(found, Past{j.ID, j.Started, j.Orders.By, j.Orders.Why, s})
			}
		}
	}
	slices.SortFunc(found, func(a, b Past) int { return cmp.Compare(a.Replay, b.Replay) })
	return found, nil
}

// Verdict judges one letter, read whole, as a plan would at this moment; of Elsewhere it
// says which job.
func (o *Office) Verdict(ctx context.Context, l dlq.Letter) (v Verdict, job string, err error) {
	busy, err := o.Busy(ctx, "")
	if err != nil {
		return "", "", err
	}
	if job := busy[l.ID]; job != "" {
		return Elsewhere, job, nil
	}
	verdicts, err := o.verdicts(ctx, rules{routes: o.routes}, []dlq.Letter{l}, time.Now())
	if err != nil {
		return "", "", err
	}
	return verdicts[0], "", nil
}
