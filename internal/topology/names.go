package topology

import (
	"fmt"
	"regexp"
	"strings"
)

// Names says what everything of one installation is called. Commands that only
// read need no more than this of a Config.
type Names struct {
	Prefix string `name:"prefix" default:"ess" env:"WORKER_PREFIX" help:"First token of all subjects; in capitals, of all streams and buckets."`
}

const maxPrefix = 32 // bytes

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Validate reports a prefix that is no single token of a subject.
func (n Names) Validate() error {
	if !prefixPattern.MatchString(n.Prefix) || len(n.Prefix) > maxPrefix {
		return fmt.Errorf("--prefix: %q must be 1 to %d letters, digits, - or _", n.Prefix, maxPrefix)
	}
	return nil
}

// EventsStream is the stream events come in by, "ESS_EVENTS".
func (n Names) EventsStream() string { return n.name("EVENTS") }

// ResultsStream is the stream of results, which is also the ledger of finished
// events, "ESS_RESULTS".
func (n Names) ResultsStream() string { return n.name("RESULTS") }

// LettersStream is the stream of dead letters, "ESS_DEADLETTERS".
func (n Names) LettersStream() string { return n.name("DEADLETTERS") }

// DiscardedStream is the stream of discarded letters, "ESS_DISCARDED".
func (n Names) DiscardedStream() string { return n.name("DISCARDED") }

// AuditStream is the stream of what operators did, "ESS_AUDIT".
func (n Names) AuditStream() string { return n.name("AUDIT") }

// FleetBucket is the key-value bucket of what the workers agree on, "ESS_FLEET".
func (n Names) FleetBucket() string { return n.name("FLEET") }

// FleetStream is the stream under the fleet's bucket, "KV_ESS_FLEET".
func (n Names) FleetStream() string { return "KV_" + n.FleetBucket() }

// Streams lists every stream, the bucket's too, in the order they are made: what
// the worker writes to is there before what it reads from.
func (n Names) Streams() []string {
	return []string{
		n.FleetStream(), n.ResultsStream(), n.LettersStream(),
		n.DiscardedStream(), n.AuditStream(), n.EventsStream(),
	}
}

// EventSubject is the subject events of a type come in by, "ess.events.<type>".
func (n Names) EventSubject(typ string) string { return n.events() + typ }

// ResultSubject is the one subject an event's result of a type may have,
// "ess.results.<type>.<key>".
func (n Names) ResultSubject(typ, key string) string {
	return n.Prefix + ".results." + typ + "." + key
}

// LetterSubject is a letter's subject, "ess.deadletters.<reason>.<type>.<key>".
func (n Names) LetterSubject(reason, typ, key string) string {
	return n.Prefix + ".deadletters." + reason + "." + typ + "." + key
}

// DiscardedSubject is a discarded letter's, "ess.discarded.<reason>.<type>.<key>".
func (n Names) DiscardedSubject(reason, typ, key string) string {
	return n.Prefix + ".discarded." + reason + "." + typ + "." + key
}

// Results covers every result's subject, "ess.results.>".
func (n Names) Results() string { return n.Prefix + ".results.>" }

// Letters covers every letter's subject, "ess.deadletters.>".
func (n Names) Letters() string { return n.Prefix + ".deadletters.>" }

// Discarded covers every discarded letter's subject, "ess.discarded.>".
func (n Names) Discarded() string { return n.Prefix + ".discarded.>" }

// AuditSubject is the subject of a record of an operator's action,
// "ess.audit.<action>".
func (n Names) AuditSubject(action string) string { return n.Prefix + ".audit." + action }

// Consumer is the durable consumer of a type's events, "employee-onboarded".
func Consumer(typ string) string { return strings.ReplaceAll(typ, ".", "-") }

// TypeOfSubject gives the event type of an events subject; ok is false for any
// other subject.
func (n Names) TypeOfSubject(subject string) (typ string, ok bool) {
	typ, ok = strings.CutPrefix(subject, n.events())
	return typ, ok && typ != ""
}

func (n Names) events() string { return n.Prefix + ".events." }

func (n Names) name(what string) string { return strings.ToUpper(n.Prefix) + "_" + what }
