package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"essworker/internal/dlq"
)

// free leaves out the letters that a replay job may be putting back at this moment, or
// was when it was cut off: what else is done about them could be done beside it. It says
// which, and how many; that none are left is an error.
func (c client) free(ctx context.Context, s streams, box *dlq.Box, ids []uint64) (free []uint64, busy int, err error) {
	office, err := c.office(ctx, box)
	if err != nil {
		return nil, 0, err
	}
	jobs, err := office.Busy(ctx, "")
	if err != nil {
		return nil, 0, err
	}
	byJob := map[string][]uint64{}
	for _, id := range ids {
		if job := jobs[id]; job != "" {
			byJob[job] = append(byJob[job], id)
		} else {
			free = append(free, id)
		}
	}
	var errs []error
	for _, job := range slices.Sorted(maps.Keys(byJob)) {
		errs = append(errs, underway(job, byJob[job]...))
	}
	if err := errors.Join(errs...); err != nil && len(free) == 0 {
		return nil, len(ids), err
	}
	for _, err := range errs {
		fmt.Fprintln(s.err, "worker:", err)
	}
	return free, len(ids) - len(free), nil
}

// underway says that a job has letters, and what to do.
func underway(job string, ids ...uint64) error {
	const most = 5
	named := make([]string, 0, most)
	for _, id := range ids[:min(most, len(ids))] {
		named = append(named, strconv.FormatUint(id, 10))
	}
	what, it := "letter "+named[0], "it"
	if len(ids) > 1 {
		what, it = "letters "+strings.Join(named, " "), "them"
	}
	if len(ids) > most {
		what += fmt.Sprintf(" and %d more", len(ids)-most)
	}
	return fmt.Errorf("%s: job %s has %s under way: worker dlq watch %s tells when it is over", what, job, it, job)
}
