package replay

import (
	"context"
	"math"
	"time"

	"essworker/internal/fleet"
	"essworker/internal/status"
)

// lanes tells what a replay of so many letters, by type, costs.
func (o *Office) lanes(ctx context.Context, types map[string]int, rate float64) ([]Lane, error) {
	snap, err := status.NewReader(o.nc, o.js, o.topo, o.order).Lanes(ctx)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, n := range types {
		total += n
	}
	var lanes []Lane
	for _, s := range snap.Lanes {
		n := types[s.Type]
		if n == 0 {
			continue
		}
		l := Lane{Type: s.Type, Action: s.Action, State: s.State, Calls: n, Limit: s.Quota.Limit, Known: s.Quota.Known, Pace: s.Quota.Pace, Share: shareOf(snap.Workers)}
		most := math.Inf(1)
		if rate > 0 {
			most = rate * float64(n) / float64(total) // the letters of all lanes take turns
		}
		l.Alone, l.Beside = lasts(n, min(most, pace(l.Pace))), lasts(n, min(most, pace(l.Pace*l.Share)))
		lanes = append(lanes, l)
	}
	return lanes, nil
}

func pace(perSecond float64) float64 {
	if perSecond <= 0 {
		return math.Inf(1)
	}
	return perSecond
}

func lasts(n int, perSecond float64) time.Duration {
	if math.IsInf(perSecond, 1) {
		return 0
	}
	return time.Duration(float64(n) / perSecond * float64(time.Second))
}

// shareOf is the smallest share of replays that a worker was told.
func shareOf(workers []fleet.Presence) float64 {
	share := 0.0
	for _, w := range workers {
		if w.ReplayShare > 0 && (share == 0 || w.ReplayShare < share) {
			share = w.ReplayShare
		}
	}
	return share
}
