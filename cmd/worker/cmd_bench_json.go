package main

import (
	"time"

	"essworker/internal/bench"
)

// benchObject is a report for programs. What is not known is null.
type benchObject struct {
	Events          int                   `json:"events"`
	Types           []string              `json:"types"`
	Rate            float64               `json:"rate"`
	Limit           int                   `json:"limit"`
	Concurrency     int                   `json:"concurrency"`
	Server          string                `json:"server"` // its version
	Sync            *string               `json:"sync"`   // of our own server
	Seconds         float64               `json:"seconds"`
	EventsPerSecond float64               `json:"eventsPerSecond"`
	ToCall          benchQuantiles        `json:"publishToCallMs"`
	ToResult        benchQuantiles        `json:"publishToResultMs"`
	Rest            benchQuantiles        `json:"callToResultMs"`
	CPU             benchCPU              `json:"cpuPerEventUs"`
	Peak            *int64                `json:"peakMemoryBytes"`
	Objects         *float64              `json:"allocationsPerEvent"`
	Bytes           *float64              `json:"allocatedBytesPerEvent"`
	Calls           int                   `json:"calls"` // for these events
	TooFast         int                   `json:"tooFast"`
	Most            map[string]bench.Most `json:"mostCallsInASecond"`
	Others          *float64              `json:"othersShare"` // of the processors, taken by other programs
	Histogram       []benchBar            `json:"histogram"`   // of publishToResultMs
	Wrong           []string              `json:"wrong"`
}

// benchQuantiles are latencies in milliseconds.
type benchQuantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// benchCPU is processor time in microseconds.
type benchCPU struct {
	Worker *float64 `json:"worker"`
	Server *float64 `json:"server"`
	Sim    *float64 `json:"simulator"`
}

type benchBar struct {
	From  float64 `json:"fromMs"`
	To    float64 `json:"toMs"`
	Count int     `json:"count"`
}

func (b *benchRun) object(r *bench.Report) benchObject {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	quantiles := func(l bench.Latency) benchQuantiles {
		return benchQuantiles{ms(l.At(0.5)), ms(l.At(0.9)), ms(l.At(0.99)), ms(l.At(0.999)), ms(l.At(1))}
	}
	us := func(d time.Duration) *float64 { return known(float64(d) / float64(time.Microsecond)) }
	o := benchObject{
		Events: r.Events, Types: b.Type, Rate: b.Rate, Limit: b.Limit, Concurrency: b.Concurrency,
		Server: b.trial.NC.ConnectedServerVersion(), Seconds: r.Took.Seconds(), EventsPerSecond: r.Rate(),
		ToCall: quantiles(r.Call), ToResult: quantiles(r.Result), Rest: quantiles(r.Rest),
		CPU:  benchCPU{us(r.CPU.Worker), us(r.CPU.Server), us(r.CPU.Sim)},
		Peak: known(r.Peak), Objects: known(r.Allocated.Objects), Bytes: known(r.Allocated.Bytes),
		Calls: r.Calls, TooFast: r.TooFast, Most: r.Most, Histogram: []benchBar{}, Wrong: append([]string{}, r.Wrong...),
	}
	if r.Others >= 0 {
		o.Others = &r.Others
	}
	if !b.given {
		o.Sync = &b.Sync
	}
	for _, bar := range r.Result.Bars(benchBars) {
		o.Histogram = append(o.Histogram, benchBar{ms(bar.From), ms(bar.To), bar.Count})
	}
	return o
}

// known is a figure, nil if it is not known.
func known[T int64 | float64](v T) *T {
	if v == 0 {
		return nil
	}
	return &v
}
