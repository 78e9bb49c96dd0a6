package esssim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// armed is a fault in force. Its Count is what is left.
type armed struct {
	Fault
	rng *rand.Rand // of Ratio and of Hostile
}

// Inject puts a fault in force behind those already there and gives its id. A
// call meets at most one fault of each stage: the first that matches and, where
// it has a Ratio, comes up. Inject panics on a fault that Validate refuses.
func (s *Sim) Inject(f Fault) (id int) {
	if err := f.Validate(); err != nil {
		panic("esssim: fault: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	f.ID = s.lastID
	f.Kinds = slices.Clone(f.Kinds)
	seed := uint64(f.ID) //nolint:gosec // counts from 1
	if f.Kind == Hostile {
		seed = f.Seed // alone, so that a seed gives the same faults whatever was injected before
	}
	s.faults = append(s.faults, &armed{f, rand.New(rand.NewPCG(seed, 0))}) //nolint:gosec // reproducible on purpose
	return f.ID
}

// Remove ends one fault and reports whether it was in force.
func (s *Sim) Remove(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(a *armed) bool { return a.ID == id })
	return len(s.faults) < n
}

// ClearFaults ends all faults, hostile mode included. Calls that hang already
// stay so until their callers leave.
func (s *Sim) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Faults lists the faults in force, with the Count each has left.
func (s *Sim) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Fault, 0, len(s.faults))
	for _, a := range s.faults {
		list = append(list, a.Fault)
	}
	return list
}

// Hostile makes that share of all calls meet a random fault out of every kind;
// 0 stops it. For calls in the same order the same seed gives the same faults.
// It panics on a ratio outside 0 to 1.
func (s *Sim) Hostile(seed uint64, ratio float64) {
	if !(ratio >= 0 && ratio <= 1) {
		panic(fmt.Sprintf("esssim: hostile: ratio must be 0 to 1, got %v", ratio))
	}
	s.mu.Lock()
	s.faults = slices.DeleteFunc(s.faults, func(a *armed) bool { return a.Kind == Hostile })
	s.mu.Unlock()
	if ratio > 0 {
		s.Inject(Fault{Kind: Hostile, Seed: seed, Ratio: ratio})
	}
}

// draw rolls for hostile mode, once a call whatever becomes of it. The caller
// holds the lock.
func (s *Sim) draw(c *call) {
	for _, a := range s.faults {
		if a.Kind != Hostile || !a.meets(c) || !a.comesUp() {
			continue
		}
		kinds := a.Kinds
		if len(kinds) == 0 {
			kinds = Kinds()
		}
		f := Fault{Kind: kinds[a.rng.IntN(len(kinds))]}
		if vary := traits[f.Kind].vary; vary != nil {
			vary(a.rng, &f)
		}
		c.drawn = f
		s.use(a)
		return
	}
}

// pick gives the fault this call meets at a stage, if any. Scripted faults go
// before drawn ones. The caller holds the lock.
func (s *Sim) pick(c *call, at stage) (Fault, bool) {
	for _, a := range s.faults {
		if traits[a.Kind].stage == at && a.meets(c) && a.comesUp() {
			f := a.Fault
			s.use(a)
			return f, true
		}
	}
	return c.drawn, traits[c.drawn.Kind].stage == at
}

// use takes one off a counted fault and ends it after the last.
func (s *Sim) use(a *armed) {
	if a.Count == 0 {
		return
	}
	if a.Count--; a.Count == 0 {
		s.faults = slices.DeleteFunc(s.faults, func(b *armed) bool { return b == a })
	}
}

// meets says whether the call is one the fault is for.
func (a *armed) meets(c *call) bool {
	return (a.Action == "" || a.Action == c.action) &&
		(a.Product == "" || a.Product == c.auth.service) &&
		(a.Credential == "" || a.Credential == c.auth.secretID) &&
		(a.Tenant == "" || slices.Contains(c.tenants(), a.Tenant))
}

// comesUp rolls for the ratio.
func (a *armed) comesUp() bool {
	return a.Ratio == 0 || a.Ratio == 1 || a.rng.Float64() < a.Ratio
}

// What Hostile fills in. The codes and statuses it draws are such as pass: none
// of them decides a call for good, so a client loses nothing by trying again.

func shortDelay(r *rand.Rand, f *Fault) {
	f.Delay = time.Millisecond + time.Duration(r.Int64N(int64(3*time.Second)))
}

func longDelay(r *rand.Rand, f *Fault) {
	f.Delay = 30*time.Second + time.Duration(r.Int64N(int64(30*time.Second)))
}

func anyStatus(r *rand.Rand, f *Fault) {
	f.Status, f.Commit = 500+r.IntN(5), r.IntN(2) == 0
}

func anyCode(r *rand.Rand, f *Fault) {
	passing := []string{"InternalError", "InternalError.Db", "InternalError.DependsDb", "InternalError.DependsApi", "InternalError.System", "ServiceUnavailable"}
	f.Code, f.Commit = passing[r.IntN(len(passing))], r.IntN(2) == 0
}

func anyVariant(r *rand.Rand, f *Fault) {
	gateway := []string{"", ThrottleUin, ThrottleGlobalUin, ThrottleIP}
	f.Variant = gateway[r.IntN(len(gateway))]
}

func anyOffset(r *rand.Rand, f *Fault) {
	f.Offset = 6*time.Minute + time.Duration(r.Int64N(int64(time.Hour)))
	if r.IntN(2) == 0 {
		f.Offset = -f.Offset
	}
}
