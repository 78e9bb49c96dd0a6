package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"essworker/internal/bench"
)

// tables writes them in Markdown.
func tables(out io.Writer, p *plan, got results) error {
	var t strings.Builder
	for _, s := range p.syncs {
		for _, l := range p.loads() {
			if l.sync != s {
				continue
			}
			if l.rate > 0 {
				p.latency(&t, l, got[l])
			} else {
				p.throughput(&t, l, got[l])
			}
		}
		p.growth(&t, s, got)
	}
	_, err := io.WriteString(out, t.String())
	return err
}

func (p *plan) throughput(t *strings.Builder, l load, got map[string][]*bench.Report) {
	fmt.Fprintf(t, "\n%s; %d rounds\n\n| | events/s | x %s | CPU per event | x %s | peak memory | other programs |\n|---|---|---|---|---|---|---|\n",
		l, p.rounds, p.only[0], p.only[0])
	for _, who := range p.only {
		rate, cpu := func(r *bench.Report) float64 { return r.Rate() }, func(r *bench.Report) float64 { return micros(r.CPU.Worker) }
		fmt.Fprintf(t, "| %s | %.0f | %s | %.1f µs | %s | %.1f MB | %.0f %% |\n", who,
			median(got[who], rate), p.ratio(got, who, rate), median(got[who], cpu), p.ratio(got, who, cpu),
			median(got[who], peak), 100*median(got[who], others))
	}
}

func (p *plan) latency(t *strings.Builder, l load, got map[string][]*bench.Report) {
	fmt.Fprintf(t, "\n%s; %d rounds\n\n| | to the call, median | p99 | to the result, median | p99 | more than %s | other programs |\n|---|---|---|---|---|---|---|\n",
		l, p.rounds, p.only[0])
	for _, who := range p.only {
		at := func(q float64, of func(*bench.Report) bench.Latency) float64 {
			return median(got[who], func(r *bench.Report) float64 { return millis(of(r).At(q)) })
		}
		call, res := func(r *bench.Report) bench.Latency { return r.Call }, func(r *bench.Report) bench.Latency { return r.Result }
		var more []float64
		for i, r := range got[who] {
			more = append(more, millis(r.Result.At(0.5)-got[p.only[0]][i].Result.At(0.5)))
		}
		slices.Sort(more)
		fmt.Fprintf(t, "| %s | %.2f ms | %.2f ms | %.2f ms | %.2f ms | %+.2f ms (%+.2f to %+.2f) | %.0f %% |\n", who,
			at(0.5, call), at(0.99, call), at(0.5, res), at(0.99, res), middle(more), more[0], more[len(more)-1], 100*median(got[who], others))
	}
}

// growth says what ten times as many events waiting cost.
func (p *plan) growth(t *strings.Builder, sync string, got results) {
	if len(p.backlogs) < 2 {
		return
	}
	few, many := load{sync, p.backlogs[0], 0}, load{sync, p.backlogs[len(p.backlogs)-1], 0}
	fmt.Fprintf(t, "\nsync %s, %d waiting beside %d\n\n| | CPU per event | peak memory |\n|---|---|---|\n", sync, many.events, few.events)
	for _, who := range p.only {
		grown := func(of func(*bench.Report) float64) string {
			var ratios []float64
			for i, r := range got[many][who] {
				ratios = append(ratios, of(r)/of(got[few][who][i]))
			}
			return spread(ratios)
		}
		fmt.Fprintf(t, "| %s | x %s | x %s |\n", who, grown(func(r *bench.Report) float64 { return micros(r.CPU.Worker) }), grown(peak))
	}
}

func peak(r *bench.Report) float64   { return float64(r.Peak) / 1e6 }
func others(r *bench.Report) float64 { return r.Others }

// ratio compares with the first contestant, round by round.
func (p *plan) ratio(got map[string][]*bench.Report, who string, of func(*bench.Report) float64) string {
	var ratios []float64
	for i, r := range got[who] {
		ratios = append(ratios, of(r)/of(got[p.only[0]][i]))
	}
	return spread(ratios)
}

// spread is a median with the least and the most.
func spread(v []float64) string {
	slices.Sort(v)
	if v[0] == v[len(v)-1] {
		return fmt.Sprintf("%.2f", v[0])
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", middle(v), v[0], v[len(v)-1])
}

func median(reports []*bench.Report, of func(*bench.Report) float64) float64 {
	var v []float64
	for _, r := range reports {
		v = append(v, of(r))
	}
	slices.Sort(v)
	return middle(v)
}

// middle is the median of what is sorted.
func middle(v []float64) float64 {
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}
