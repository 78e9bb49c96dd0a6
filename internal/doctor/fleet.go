package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/fleet"
)

// fleet tells which workers are there and what they have agreed to leave alone. It
// gives the reasons of pauses, by lane.
func (b *broker) fleet(ctx context.Context) map[string]fleet.Pause {
	name := b.Topology.FleetStream()
	if b.streams[name] == nil || b.denied[directGet+name] {
		return nil
	}
	ctx, cancel := b.patient(ctx)
	defer cancel()
	v, err := fleet.OpenOffice(b.nc, b.js, b.Topology.FleetBucket()).Look(ctx, time.Now())
	if err != nil {
		b.tell.warn("workers", "see the findings on stream "+name, "the fleet's records could not be read: %s", b.silence(err))
		return nil
	}
	b.workers(v.Workers)
	for _, bar := range v.Bars {
		b.barred(bar)
	}
	return v.Pauses
}

// workers tells who is there. A worker that was killed is listed for half a minute more.
func (b *broker) workers(list []fleet.Presence) {
	if len(list) == 0 {
		b.tell.warn("workers", "start one: worker run", "none is running")
		return
	}
	several := func(of func(fleet.Presence) string) []string {
		var all []string
		for _, w := range list {
			if s := of(w); !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
		return all
	}
	hosts := several(func(w fleet.Presence) string { return w.Host })
	versions := several(func(w fleet.Presence) string { return cmp.Or(w.Version, "unknown") })
	rates := several(func(w fleet.Presence) string { return strconv.Itoa(w.Rate) })
	found := fmt.Sprintf("%d on %s", len(list), some(hosts))
	if len(versions) > 1 {
		b.tell.warn("workers", "finish the deployment", "%s, of versions %s", found, strings.Join(versions, ", "))
	}
	if len(rates) > 1 {
		b.tell.warn("workers", "give all of them the same", "%s, with WORKER_RATE %s", found, strings.Join(rates, ", "))
	}
	if len(versions)+len(rates) == 2 {
		b.tell.ok("workers", "%s, version %s", found, versions[0])
	}
}

// barred speaks of an open breaker or a hold.
func (b *broker) barred(bar fleet.Bar) {
	check := "hold of " + string(bar.Kind) + " " + bar.Name
	if bar.Kind == fleet.Breaker {
		check = "breaker of " + bar.Name
	}
	found := fmt.Sprintf("since %s: %s", bar.Since.Local().Format(time.DateTime), cmp.Or(strings.Trim(bar.Code+": "+bar.Why, ": "), "no reason on record"))
	mend := essapi.Mend(bar.Name, bar.Code)
	switch bar.Kind {
	case fleet.Breaker:
		b.tell.warn(check, cmp.Or(mend, "the vendor is left alone but for one call now and then; the lane goes on by itself"), "open %s", found)
	case fleet.Tenant:
		b.tell.warn(check, cmp.Or(mend, "its events wait and go on by themselves once it is mended"), "held %s", found)
	default:
		b.tell.bad(check, cmp.Or(mend, "nothing is parked meanwhile, and the lanes go on by themselves once it is mended"), "held %s", found)
	}
}
