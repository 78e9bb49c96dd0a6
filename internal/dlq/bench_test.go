package dlq_test

import (
	"fmt"
	"testing"

	"essworker/internal/dlq"
)

// BenchmarkLetters lists 100,000 letters: what an operator waits for after a bad night.
func BenchmarkLetters(b *testing.B) {
	const n = 100_000
	p := newPost(b)
	for range n {
		p.put(p.failed())
	}
	for id := uint64(7); id < n; id += 10 { // what is replayed leaves a gap
		if err := p.letters().DeleteMsg(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
	for name, f := range map[string]dlq.Filter{"all": {}, "newest 100": {Limit: 100}, "one event": {EventID: "e17"}, "groups": {Reason: "rejected"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if name == "groups" {
					groups, err := p.box.Groups(b.Context(), f, dlq.ByCause)
					if err != nil || len(groups) != 1 || groups[0].Count != n*9/10 {
						b.Fatalf("Groups = %+v, %v, want one of %d", groups, err, n)
					}
					continue
				}
				p.list(f)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/listing")
		})
	}
}

func BenchmarkPut(b *testing.B) {
	p := newPost(b)
	b.ReportAllocs()
	for b.Loop() {
		p.put(p.failed())
	}
}

func ExampleDecode() {
	fmt.Println(dlq.Decode("%E7%94%A8%E6%88%B7%E6%9C%AA%E5%BC%80%E9%80%9A%E8%87%AA%E5%8A%A8%E7%AD%BE"))
	// Output: 用户未开通自动签
}
