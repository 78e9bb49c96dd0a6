package topology

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	duplicates      = 10 * time.Minute
	discardedMaxAge = 30 * 24 * time.Hour
	auditMaxAge     = 400 * 24 * time.Hour
	fleetMarkerTTL  = time.Minute // how long a watcher of the bucket can still learn that a key expired
	// maxWaiting is how many pulls may wait at a consumer, one or two a worker. It
	// is fixed for the consumer's life and a pull beyond it is dropped in silence;
	// an unused place costs nothing. The server's default is 512.
	maxWaiting = 4096
)

// stream is one stream as it should be, and how each setting is held to that.
type stream struct {
	kind   string // "stream" or "bucket"
	name   string // as people call it: a bucket without its KV_
	want   jetstream.StreamConfig
	fields []field[jetstream.StreamConfig]
}

// streams declares everything but the consumers, in the order of Config.Streams.
func streams(c Config, types []string) []stream {
	fleet := c.stream(c.FleetStream(), "What the workers agree on", "$KV."+c.FleetBucket()+".>")
	fleet.MaxMsgsPerSubject = 1
	fleet.DenyDelete, fleet.AllowRollup = true, true // as the client makes a bucket
	fleet.AllowMsgTTL, fleet.SubjectDeleteMarkerTTL = true, fleetMarkerTTL

	results := c.stream(c.ResultsStream(), "One result for each event", c.Results())
	results.MaxAge = c.ResultsMaxAge
	results.DenyDelete, results.DenyPurge = true, true

	letters := c.stream(c.LettersStream(), "Events the worker gave up on", c.Letters())
	letters.Duplicates = duplicates

	discarded := c.stream(c.DiscardedStream(), "Letters an operator discarded", c.Discarded())
	discarded.MaxAge = discardedMaxAge

	audit := c.stream(c.AuditStream(), "What operators did, and why", c.AuditSubject(">"))
	audit.MaxAge = auditMaxAge
	audit.DenyDelete, audit.DenyPurge = true, true

	var subjects []string
	for _, typ := range types {
		subjects = append(subjects, c.EventSubject(typ))
	}
	events := c.stream(c.EventsStream(), "Events to be handled", subjects...)
	events.Retention = jetstream.WorkQueuePolicy
	events.Duplicates = duplicates

	return []stream{
		{"bucket", c.FleetBucket(), fleet, fleetFields()},
		{"stream", results.Name, results, resultsFields()},
		{"stream", letters.Name, letters, lettersFields()},
		{"stream", discarded.Name, discarded, discardedFields()},
		{"stream", audit.Name, audit, auditFields()},
		{"stream", events.Name, events, eventsFields()},
	}
}

// stream is what all have in common: on file, no limits, and a full stream refuses
// what comes, never drops what it has.
func (c Config) stream(name, description string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Description: description, Subjects: subjects,
		Storage: jetstream.FileStorage, Replicas: c.Replicas, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		AllowDirect: true,
	}
}

// consumer declares the consumer of one type.
//
// Deliveries are unlimited since an event beyond the limit stays in the stream
// where nothing shows it. Events under way are unlimited since those waiting out a
// delay are counted among them, and enough of them would stop the lane. There is
// no list of backoffs: it would be added to every delay a worker asks for.
func (c Config) consumer(typ string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name: Consumer(typ), Durable: Consumer(typ), Description: "Events of type " + typ,
		FilterSubject: c.EventSubject(typ),
		DeliverPolicy: jetstream.DeliverAllPolicy, ReplayPolicy: jetstream.ReplayInstantPolicy,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.AckWait,
		MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: maxWaiting,
	}
}

var typePattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// checkTypes refuses types that are no subject, or that would share a consumer.
func checkTypes(types []string) error {
	if len(types) == 0 {
		return errors.New("no event types")
	}
	seen := make(map[string]string)
	for _, typ := range types {
		if !typePattern.MatchString(typ) {
			return fmt.Errorf("event type %q must be words of letters, digits, - or _ with dots between them", typ)
		}
		if other, ok := seen[Consumer(typ)]; ok {
			return fmt.Errorf("event types %q and %q would share the consumer %q", other, typ, Consumer(typ))
		}
		seen[Consumer(typ)] = typ
	}
	return nil
}
