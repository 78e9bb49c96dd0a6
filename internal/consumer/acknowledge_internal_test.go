package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/natstest"
)

// TestAcknowledge_leaderless acknowledges while the consumer's leader is being elected: nobody
// takes acknowledgements, and nothing is forgotten.
func TestAcknowledge_leaderless(t *testing.T) {
	for _, tt := range []struct {
		name    string
		elected time.Duration
		settled bool
	}{
		{"an election", 9 * time.Second, true},
		{"no quorum", time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bed := natstest.New(t)
				leader := time.AfterFunc(tt.elected, func() {
					if _, err := bed.NC.Subscribe("ack", func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
						t.Errorf("subscribe: %v", err)
					}
				})
				defer leader.Stop()
				began := time.Now()
				err := (&delivery{msg: &nats.Msg{Reply: "ack"}, number: 2}).acknowledge(t.Context(), bed.NC)
				if (err == nil) != tt.settled {
					t.Errorf("acknowledge = %v after %v, want it settled: %t", err, time.Since(began), tt.settled)
				}
			})
		})
	}
}
