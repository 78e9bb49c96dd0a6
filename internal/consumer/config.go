package consumer

import (
	"errors"
	"net/url"
	"time"
)

// Config is how a lane works and when it gives up on an event.
type Config struct {
	Source      string        `default:"/essworker" env:"WORKER_SOURCE" help:"CloudEvents source of results." placeholder:"URI"`
	Concurrency int           `default:"32" env:"WORKER_CONCURRENCY" help:"Calls in flight, per worker and action." placeholder:"N"`
	MaxAttempts int           `default:"8" env:"WORKER_MAX_ATTEMPTS" help:"Vendor calls before an event is exhausted." placeholder:"N"`
	BackoffMin  time.Duration `default:"1s" env:"WORKER_BACKOFF_MIN" help:"Longest wait before the first retry; it doubles with each." placeholder:"DURATION"`
	BackoffMax  time.Duration `default:"5m" env:"WORKER_BACKOFF_MAX" help:"Longest wait before any retry." placeholder:"DURATION"`
	PoisonAfter int           `default:"3" env:"WORKER_POISON_AFTER" help:"Deliveries that ended without a trace before an event is poison." placeholder:"N"`
	Drain       time.Duration `default:"30s" env:"WORKER_DRAIN" help:"How long calls in flight may take to finish at shutdown." placeholder:"DURATION"`
}

// Validate names the first setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Source == "" || !isURI(c.Source):
		return errors.New("--source: must be a URI reference, for example /essworker")
	case c.Concurrency < 1 || c.Concurrency > 10_000:
		return errors.New("--concurrency: must be between 1 and 10000")
	case c.MaxAttempts < 1:
		return errors.New("--max-attempts: must be at least 1")
	case c.BackoffMin <= 0:
		return errors.New("--backoff-min: must be more than zero, for example 1s")
	case c.BackoffMax < c.BackoffMin:
		return errors.New("--backoff-max: must not be less than --backoff-min")
	case c.PoisonAfter < 1:
		return errors.New("--poison-after: must be at least 1")
	case c.Drain < 0:
		return errors.New("--drain: must be zero or more, for example 30s")
	}
	return nil
}

func isURI(s string) bool {
	_, err := url.Parse(s)
	return err == nil
}
