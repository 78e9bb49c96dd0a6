// Package status is a deployment as it stands at one moment: who works, what waits and
// for how long, what stands in the way.
//
// Its one rule: looking is cheap and changes nothing. It reads counts and the fleet's
// records; no event and no letter is taken in. What cannot be known exactly says so.
package status

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"essworker/internal/event"
	"essworker/internal/fleet"
	"essworker/internal/topology"
)

// Snapshot is a deployment at one moment. Times are the server's.
type Snapshot struct {
	At      time.Time
	Lanes   []Lane           // in the order of the routes
	Workers []fleet.Presence // by id
	Shut    []fleet.Bar      // what keeps calls back: breakers, then holds, tenants last
	Letters Letters
}

// Letters is what all letters have to say together.
type Letters struct {
	Count  uint64
	Oldest time.Time // zero without letters
	// Untouched is when the oldest letter failed that was never replayed, UntouchedID its
	// id; zero without one.
	Untouched   time.Time
	UntouchedID uint64
}

// Reader looks at one deployment, again and again. It is for one goroutine.
type Reader struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	topo    topology.Names
	routes  []event.Route
	office  *fleet.Office
	letters letterCounts
}

// NewReader looks at the lanes of the given routes.
func NewReader(nc *nats.Conn, js jetstream.JetStream, topo topology.Names, routes []event.Route) *Reader {
	return &Reader{nc: nc, js: js, topo: topo, routes: routes, office: fleet.OpenOffice(nc, js, topo.FleetBucket())}
}

// Look reads the deployment's state. The error is jetstream.ErrStreamNotFound if
// nothing is set up. The parts are read within some milliseconds of each other, so
// what moves meanwhile may be seen twice or not at all.
func (r *Reader) Look(ctx context.Context) (Snapshot, error) { return r.look(ctx, true) }

// Lanes is Look without the letters: their counts are what takes time.
func (r *Reader) Lanes(ctx context.Context) (Snapshot, error) { return r.look(ctx, false) }

func (r *Reader) look(ctx context.Context, letters bool) (Snapshot, error) {
	streams := map[string]*jetstream.StreamInfo{}
	for _, name := range []string{r.topo.FleetStream(), r.topo.LettersStream(), r.topo.EventsStream()} {
		s, err := r.js.Stream(ctx, name)
		if err != nil {
			return Snapshot{}, fmt.Errorf("read stream %q: %w", name, err)
		}
		streams[name] = s.CachedInfo()
	}
	now, held := streams[r.topo.EventsStream()].TimeStamp, streams[r.topo.LettersStream()].State
	var fleetNow fleet.Overview
	readings := make([]reading, len(r.routes))
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if fleetNow, err = r.office.Look(gctx, now); err != nil {
			return fmt.Errorf("read the fleet's records: %w", err)
		}
		return nil
	})
	if letters {
		g.Go(func() error { return r.letters.update(gctx, r, held) })
	}
	for i, route := range r.routes {
		g.Go(func() (err error) {
			readings[i], err = r.read(gctx, route)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{At: now, Workers: fleetNow.Workers, Shut: fleetNow.Bars, Letters: Letters{Count: held.Msgs}}
	if held.Msgs > 0 {
		s.Letters.Oldest = held.FirstTime
	}
	if letters && held.Msgs > 0 {
		s.Letters.Untouched, s.Letters.UntouchedID = r.letters.untouched.FailedAt, r.letters.untouched.ID
	}
	slices.SortStableFunc(s.Shut, func(a, b fleet.Bar) int { return order(a.Kind) - order(b.Kind) })
	for i, route := range r.routes {
		lane := laneOf(route, readings[i], fleetNow, now)
		if letters {
			lane.Letters = r.letters.of(route.Type)
		}
		s.Lanes = append(s.Lanes, lane)
	}
	return s, nil
}

// Usage reads the quota of every vendor action and nothing else; in the order of the
// routes, each once.
func (r *Reader) Usage(ctx context.Context) ([]Action, error) {
	s, err := r.js.Stream(ctx, r.topo.FleetStream())
	if err != nil {
		return nil, fmt.Errorf("read stream %q: %w", r.topo.FleetStream(), err)
	}
	now := s.CachedInfo().TimeStamp
	v, err := r.office.Look(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("read the fleet's records: %w", err)
	}
	var actions []Action
	for _, route := range r.routes {
		name := fleet.ActionOf(route)
		if i := slices.IndexFunc(actions, func(a Action) bool { return a.Name == name }); i >= 0 {
			actions[i].Lanes = append(actions[i].Lanes, route.Type)
			continue
		}
		actions = append(actions, Action{name, []string{route.Type}, quotaOf(name, v, now)})
	}
	return actions, nil
}

// Action is a vendor action, the unit of quota, with the lanes that share it.
type Action struct {
	Name  string // as fleet.ActionOf has it
	Lanes []string
	Quota Quota
}

func order(k fleet.Kind) int {
	return slices.Index([]fleet.Kind{fleet.Breaker, fleet.Credential, fleet.Action, fleet.Tenant}, k)
}
