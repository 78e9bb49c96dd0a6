package replay

import (
	"math/rand/v2"
	"testing"
)

// TestJob_eachLetterOnce lets lanes stand still and go on at random while a job goes
// through its letters: it comes to each of them once.
func TestJob_eachLetterOnce(t *testing.T) {
	types := []string{"a", "b", "c"}
	for seed := range uint64(200) {
		chance := rand.New(rand.NewPCG(seed, 0))
		letters := make([]string, 40) // by id, the first being 1
		for i := range letters {
			letters[i] = types[chance.IntN(len(types))]
		}
		j := Job{Selection: Selection{First: 1, Last: uint64(len(letters))}}
		came := make([]int, len(letters))
		shut := map[string]bool{}
		for turn := 0; !j.through(); turn++ {
			if turn == 10_000 {
				t.Fatalf("seed %d: the job comes to no end: %+v", seed, j)
			}
			if chance.IntN(3) == 0 {
				typ := types[chance.IntN(len(types))]
				shut[typ] = !shut[typ]
			}
			j.turnBack(func(typ string) bool { return !shut[typ] })
			to := min(j.Cursor+chance.Uint64N(8), j.Selection.Last)
			for id := j.Cursor + 1; id <= to; id++ {
				switch typ := letters[id-1]; {
				case !j.takes(typ, id):
				case shut[typ]:
					j.leave(typ, id)
				default:
					came[id-1]++
				}
			}
			j.pass(to)
		}
		for i, n := range came {
			if n != 1 {
				t.Errorf("seed %d: the job came to letter %d %d times, want once", seed, i+1, n)
			}
		}
	}
}
