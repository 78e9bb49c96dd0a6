package replay

import (
	"context"
	"iter"
	"maps"
	"slices"
)

// Report gives what became of each letter that a job has come to, once each: those that
// could not be stored, and were not tried again with success, last. Of events under way
// it may be some seconds old.
func (o *Office) Report(ctx context.Context, j Job) iter.Seq2[Sent, error] {
	return func(yield func(Sent, error) bool) {
		kept := map[uint64]Sent{}
		for n := range j.Batches {
			b, err := o.Batch(ctx, j.ID, n)
			if err != nil {
				yield(Sent{}, err)
				return
			}
			for _, s := range b.Sent {
				if s.Outcome == NotStored {
					kept[s.ID] = s
					continue
				}
				delete(kept, s.ID)
				if !yield(s, nil) {
					return
				}
			}
		}
		for _, id := range slices.Sorted(maps.Keys(kept)) {
			if !yield(kept[id], nil) {
				return
			}
		}
	}
}

// notStored gives the letters that a job has come to and could not store.
func (o *Office) notStored(ctx context.Context, j Job) (ids []uint64, err error) {
	if j.Seen.Trouble == 0 {
		return nil, nil
	}
	for s, err := range o.Report(ctx, j) {
		if err != nil {
			return nil, err
		}
		if s.Outcome == NotStored {
			ids = append(ids, s.ID)
		}
	}
	return ids, nil
}
