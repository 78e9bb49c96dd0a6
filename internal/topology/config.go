package topology

import (
	"fmt"
	"slices"
	"time"
)

// Config is what an operator may choose about an installation. All else is fixed:
// the other side of the wire relies on it.
type Config struct {
	Names
	Replicas      int           `name:"replicas" default:"1" env:"WORKER_REPLICAS" placeholder:"1|3|5" help:"Servers that keep each message. Raised on what exists, never lowered."`
	ResultsMaxAge time.Duration `name:"results-max-age" default:"168h" env:"WORKER_RESULTS_MAX_AGE" help:"How long results are kept, and with them the knowledge that an event is done. Raised on what exists, never lowered."`
	AckWait       time.Duration `name:"ack-wait" default:"60s" env:"WORKER_ACK_WAIT" help:"How long a silent worker keeps an event before another gets it."`
}

// Validate reports the first setting that cannot work, by its flag.
func (c Config) Validate() error {
	if err := c.Names.Validate(); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]int{1, 3, 5}, c.Replicas):
		return fmt.Errorf("--replicas: %d must be 1, 3 or 5", c.Replicas)
	case c.ResultsMaxAge < time.Hour:
		return fmt.Errorf("--results-max-age: %v must be at least 1h: a duplicate is known only while its result is kept", c.ResultsMaxAge)
	case c.AckWait < time.Second || c.AckWait > 24*time.Hour:
		return fmt.Errorf("--ack-wait: %v must be between 1s and 24h", c.AckWait)
	}
	return nil
}
