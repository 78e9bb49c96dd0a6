package audit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/audit"
	"essworker/internal/natstest"
	"essworker/internal/stream"
	"essworker/schemas"
)

// TestRecords reads back what was done, newest last, as far as it is asked for.
func TestRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		trail := audit.Open(t.Context(), b.NC, b.JS, b.Topology.Names)
		start := time.Now()
		const n = 600 // more than are read at first
		for i := range n {
			_ = trail.Do(t.Context(), audit.Action{Name: "letters.discard", What: fmt.Sprint("letter ", i), Count: 1, Why: "y"}, func(context.Context) error {
				if i == n-1 {
					return errors.New("broken")
				}
				return nil
			})
			time.Sleep(time.Minute)
		}
		read := func(q audit.Query) []audit.Record {
			t.Helper()
			records, err := audit.Records(t.Context(), b.NC, b.JS, b.Topology.Names, q)
			if err != nil {
				t.Fatal(err)
			}
			return records
		}
		all := read(audit.Query{})
		if len(all) != n+1 || all[0].What != "letter 0" || !all[0].Time.Equal(start) || all[0].Who != trail.Who() || all[0].ID == "" {
			t.Errorf("%d records, the first %+v", len(all), all[0])
		}
		if last := all[n]; last.Failed != "broken" || last.Of != all[n-1].ID {
			t.Errorf("the last is %+v, want the failure of %s", last, all[n-1].ID)
		}
		for name, tt := range map[string]struct {
			q    audit.Query
			want []audit.Record
		}{
			"newest":             {audit.Query{Limit: 3}, all[n-2:]},
			"more than one look": {audit.Query{Limit: 500}, all[n-499:]},
			"since":              {audit.Query{Since: start.Add(590 * time.Minute)}, all[590:]},
			"newest of the old":  {audit.Query{Until: start.Add(10 * time.Minute), Limit: 2}, all[8:10]},
			"more than there is": {audit.Query{Limit: 5000}, all},
		} {
			got := read(tt.q)
			if len(got) != len(tt.want) || got[0].ID != tt.want[0].ID || got[len(got)-1].ID != tt.want[len(tt.want)-1].ID {
				t.Errorf("%s: %d records, want %d", name, len(got), len(tt.want))
			}
		}
	})
}

// TestRecord_schema holds every shape of a record to its schema.
func TestRecord_schema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := natstest.New(t, typ)
		trail := audit.Open(t.Context(), b.NC, b.JS, b.Topology.Names)
		_ = trail.Do(t.Context(), audit.Action{Name: "limit", What: "x", Before: "1", After: "2", Why: "y"}, nothing)
		_ = trail.Do(t.Context(), audit.Action{Name: "letters.discard", What: "x", Count: 3, Why: "y"}, func(context.Context) error { return errors.New("no") })
		for seq := range uint64(3) {
			msg, err := stream.Get(t.Context(), b.NC, b.Topology.AuditStream(), seq+1)
			if err != nil {
				t.Fatal(err)
			}
			if err := schemas.Validate("audit", msg.Data); err != nil {
				t.Errorf("record %s: %v", msg.Data, err)
			}
		}
	})
}
