package bench

import (
	"context"
	"time"
)

// measured is what the clock ran for: how long it took, and what everybody had used
// before and after.
type measured struct {
	took          time.Duration // to the last result
	before, after sample
}

type sample struct {
	worker, server, sim Usage
	own                 Usage
	machine             machine
	allocated           allocations
	known               struct{ worker, server, sim, own, machine, allocated bool }
}

// begin takes the sample before. The worker's allocations are asked for first: the answer
// costs it some of the processor time that is read then.
func (t Trial) begin(ctx context.Context) (*measured, error) {
	m := &measured{}
	if err := t.askAllocations(ctx, &m.before); err != nil {
		return nil, err
	}
	t.askKernel(&m.before)
	return m, nil
}

// end takes the sample after, the other way round.
func (t Trial) end(ctx context.Context, m *measured) error {
	t.askKernel(&m.after)
	return t.askAllocations(ctx, &m.after)
}

func (t Trial) askKernel(s *sample) {
	s.worker, s.known.worker = t.Worker.Usage()
	s.server, s.known.server = t.Server.Usage()
	s.sim, s.known.sim = t.Sim.Usage()
	s.own, s.known.own = processUsage("self")
	s.machine, s.known.machine = machineUsage()
}

func (t Trial) askAllocations(ctx context.Context, s *sample) (err error) {
	if t.Metrics != "" {
		s.allocated, s.known.allocated, err = askAllocations(ctx, t.Metrics)
	}
	return err
}

// cpu is the processor time of one event, by process.
func (m *measured) cpu(events int) CPU {
	each := func(known bool, before, after Usage) time.Duration {
		if !known {
			return 0
		}
		return (after.CPU - before.CPU) / time.Duration(events)
	}
	b, a := m.before, m.after
	return CPU{
		Worker: each(b.known.worker && a.known.worker, b.worker, a.worker),
		Server: each(b.known.server && a.known.server, b.server, a.server),
		Sim:    each(b.known.sim && a.known.sim, b.sim, a.sim),
	}
}

// others is the share of the machine's processors that other programs had.
func (m *measured) others() float64 {
	b, a := m.before, m.after
	total := a.machine.total - b.machine.total
	if k := a.known; !k.worker || !k.server || !k.sim || !k.own || !k.machine || total <= 0 {
		return -1
	}
	busy := a.machine.busy - b.machine.busy
	for _, u := range [][2]Usage{{b.worker, a.worker}, {b.server, a.server}, {b.sim, a.sim}, {b.own, a.own}} {
		busy -= u[1].CPU - u[0].CPU
	}
	return max(0, float64(busy)/float64(total))
}

func (m *measured) allocated(events int) Allocated {
	if !m.before.known.allocated || !m.after.known.allocated {
		return Allocated{}
	}
	b, a, n := m.before.allocated, m.after.allocated, float64(events)
	return Allocated{Objects: (a.objects - b.objects) / n, Bytes: (a.bytes - b.bytes) / n}
}
