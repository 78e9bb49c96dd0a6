package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

type streamConfig = jetstream.StreamConfig

// common is what holds for every stream.
func common() []streamField {
	return []streamField{
		at("storage", func(c *streamConfig) *jetstream.StorageType { return &c.Storage }, showStringer,
			never[streamConfig]("a message in memory is gone with its server")),
		at("retention", func(c *streamConfig) *jetstream.RetentionPolicy { return &c.Retention }, showStringer, judgeRetention),
		at("mirror", func(c *streamConfig) **jetstream.StreamSource { return &c.Mirror }, showMirror,
			never[streamConfig]("a mirror takes no messages of its own")),
		at("sealed", func(c *streamConfig) *bool { return &c.Sealed }, strconv.FormatBool,
			never[streamConfig]("a sealed stream takes no messages")),
		at("persist_mode", func(c *streamConfig) *jetstream.PersistModeType { return &c.PersistMode }, showStringer,
			never[streamConfig]("it confirms messages before they are on the disk")),
		at("allow_msg_schedules", func(c *streamConfig) *bool { return &c.AllowMsgSchedules }, strconv.FormatBool,
			never[streamConfig]("such a stream drops messages when it is full, and lets a publisher delete those of others")),
		at("allow_msg_counter", func(c *streamConfig) *bool { return &c.AllowMsgCounter }, strconv.FormatBool,
			never[streamConfig]("such a stream takes numbers only")),
		at("no_ack", func(c *streamConfig) *bool { return &c.NoAck }, strconv.FormatBool, nil),
		at("discard", func(c *streamConfig) *jetstream.DiscardPolicy { return &c.Discard }, showDiscard, nil),
		at("discard_new_per_subject", func(c *streamConfig) *bool { return &c.DiscardNewPerSubject }, strconv.FormatBool, nil),
		at("num_replicas", func(c *streamConfig) *int { return &c.Replicas }, strconv.Itoa, judgeReplicas),
		at("allow_direct", func(c *streamConfig) *bool { return &c.AllowDirect }, strconv.FormatBool, nil),
	}
}

// stored is what holds for every stream of messages, as opposed to keys and values.
func stored() []streamField {
	return slices.Concat(common(), []streamField{
		at("max_msgs_per_subject", func(c *streamConfig) *int64 { return &c.MaxMsgsPerSubject }, showSize, nil),
		at("allow_rollup_hdrs", func(c *streamConfig) *bool { return &c.AllowRollup }, strconv.FormatBool, nil),
		at("allow_msg_ttl", func(c *streamConfig) *bool { return &c.AllowMsgTTL }, strconv.FormatBool,
			warns[streamConfig]("a publisher can make a message expire by a header, and the server does not let anyone turn this off")),
	})
}

func eventsFields() []streamField {
	return append(stored(),
		subjects(judgeEventSubjects),
		maxAge(nil),
		duplicateWindow(),
		// Limits for consumers would be forced upon ours: events under way beyond a
		// limit stop the lane, an idle consumer would be removed.
		at("consumer_limits", func(c *streamConfig) *jetstream.StreamConsumerLimits { return &c.ConsumerLimits }, showLimits, nil))
}

func resultsFields() []streamField {
	const undone = "a deleted result lets its event succeed a second time; it can never be turned off again, so it is not turned on unasked: `nats stream edit %s --%s`"
	return append(stored(), subjects(judgeSubjects), maxMsgSize(), maxAge(judgeResultsAge),
		denyDelete(asks(undone, "deny-delete")), denyPurge(asks(undone, "deny-purge")))
}

func lettersFields() []streamField {
	return append(stored(), subjects(judgeSubjects), maxMsgSize(), maxAge(nil), duplicateWindow(),
		at("max_msgs", func(c *streamConfig) *int64 { return &c.MaxMsgs }, showSize, nil),
		at("max_bytes", func(c *streamConfig) *int64 { return &c.MaxBytes }, showSize,
			warns[streamConfig]("when it is full no letter can be stored, and lanes stop at the first event that needs one")),
		denyDelete(never[streamConfig]("replaying a letter removes it")))
}

func discardedFields() []streamField {
	return append(stored(), subjects(judgeSubjects), maxMsgSize(), maxAge(judgeLonger),
		denyDelete(never[streamConfig]("restoring a letter removes it from here")))
}

func auditFields() []streamField {
	const undone = "records can be deleted; it can never be turned off again, so it is not turned on unasked: `nats stream edit %s --%s`"
	return append(stored(), subjects(judgeSubjects), maxMsgSize(), maxAge(judgeLonger),
		denyDelete(asks(undone, "deny-delete")), denyPurge(asks(undone, "deny-purge")))
}

func fleetFields() []streamField {
	return append(common(), subjects(judgeSubjects), maxAge(nil),
		at("max_msgs_per_subject", func(c *streamConfig) *int64 { return &c.MaxMsgsPerSubject }, showSize,
			func(have, _ *streamConfig) verdict {
				if have.MaxMsgsPerSubject > 1 { // more history costs disk and nothing else
					return verdict{action: keep}
				}
				return verdict{refuse, "it is no key-value bucket"}
			}),
		at("allow_rollup_hdrs", func(c *streamConfig) *bool { return &c.AllowRollup }, strconv.FormatBool, nil),
		at("allow_msg_ttl", func(c *streamConfig) *bool { return &c.AllowMsgTTL }, strconv.FormatBool, nil),
		at("subject_delete_marker_ttl", func(c *streamConfig) *time.Duration { return &c.SubjectDeleteMarkerTTL }, showDuration,
			func(have, _ *streamConfig) verdict {
				if have.SubjectDeleteMarkerTTL > 0 {
					return verdict{action: keep}
				}
				return verdict{action: update}
			}),
		denyPurge(never[streamConfig]("a key could not be removed")))
}

func subjects(judge func(have, want *streamConfig) verdict) streamField {
	f := at("subjects", func(c *streamConfig) *[]string { return &c.Subjects }, showList, judge)
	f.set = func(have, want *streamConfig) { have.Subjects = merge(have.Subjects, want.Subjects) }
	return f
}

// judgeEventSubjects holds the stream to one subject a type. A subject this binary
// does not know belongs to an older or newer one of a rolling deployment.
func judgeEventSubjects(have, want *streamConfig) verdict {
	if i := slices.IndexFunc(have.Subjects, wildcard); i >= 0 {
		return verdict{refuse, fmt.Sprintf("%q takes in events nobody handles; replace it by the subjects of the types: `nats stream edit %s --subjects=%s`",
			have.Subjects[i], have.Name, strings.Join(want.Subjects, ","))}
	}
	return judgeSubjects(have, want)
}

func judgeSubjects(have, want *streamConfig) verdict {
	v := verdict{action: keep}
	if len(without(want.Subjects, have.Subjects)) > 0 {
		v.action = update
	}
	if extra := without(have.Subjects, want.Subjects); len(extra) > 0 {
		v.why = strings.Join(extra, ", ") + " not known to this version, left as it is"
	}
	return v
}

// judgeRetention knows what the server knows: to or from a work queue, never.
func judgeRetention(have, want *streamConfig) verdict {
	if have.Retention == jetstream.WorkQueuePolicy || want.Retention == jetstream.WorkQueuePolicy {
		return verdict{refuse, "events are kept until they are handled, all else until its age ends"}
	}
	return verdict{action: update}
}

// judgeReplicas never lowers: a worker started without the setting would take a
// fleet's redundancy away.
func judgeReplicas(have, want *streamConfig) verdict {
	if have.Replicas < want.Replicas {
		return verdict{action: update}
	}
	return verdict{warn, fmt.Sprintf("fewer copies are never made unasked; if you mean it: `nats stream edit %s --replicas=%d`, else set WORKER_REPLICAS=%d",
		have.Name, want.Replicas, have.Replicas)}
}

func maxAge(judge func(have, want *streamConfig) verdict) streamField {
	return at("max_age", func(c *streamConfig) *time.Duration { return &c.MaxAge }, showAge, judge)
}

// judgeResultsAge raises the age and never lowers it: that would delete results,
// and make late duplicates of their events new again.
func judgeResultsAge(have, want *streamConfig) verdict {
	if v := judgeLonger(have, want); v.action == update {
		return v
	}
	return verdict{warn, fmt.Sprintf("a lower age would delete results now; if you mean it: `nats stream edit %s --max-age=%s`, else set WORKER_RESULTS_MAX_AGE=%s",
		have.Name, showDuration(want.MaxAge), showDuration(have.MaxAge))}
}

// judgeLonger lets an operator keep things longer.
func judgeLonger(have, want *streamConfig) verdict {
	if have.MaxAge == 0 || have.MaxAge > want.MaxAge {
		return verdict{action: keep}
	}
	return verdict{action: update}
}

func duplicateWindow() streamField {
	return at("duplicate_window", func(c *streamConfig) *time.Duration { return &c.Duplicates }, showDuration,
		func(have, want *streamConfig) verdict {
			if have.Duplicates > want.Duplicates {
				return verdict{action: keep}
			}
			return verdict{action: update}
		})
}

func maxMsgSize() streamField {
	return at("max_msg_size", func(c *streamConfig) *int32 { return &c.MaxMsgSize }, showSize, nil)
}

func denyDelete(judge func(have, want *streamConfig) verdict) streamField {
	return at("deny_delete", func(c *streamConfig) *bool { return &c.DenyDelete }, strconv.FormatBool, judge)
}

func denyPurge(judge func(have, want *streamConfig) verdict) streamField {
	return at("deny_purge", func(c *streamConfig) *bool { return &c.DenyPurge }, strconv.FormatBool, judge)
}

// asks warns with the command that makes the change.
func asks(format, flag string) func(have, want *streamConfig) verdict {
	return func(have, _ *streamConfig) verdict {
		return verdict{warn, fmt.Sprintf(format, have.Name, flag)}
	}
}

func showDiscard(d jetstream.DiscardPolicy) string {
	if d == jetstream.DiscardNew {
		return "new"
	}
	return "old"
}

func showMirror(m *jetstream.StreamSource) string {
	if m == nil {
		return "none"
	}
	return "of " + m.Name
}

func showLimits(l jetstream.StreamConsumerLimits) string {
	if l == (jetstream.StreamConsumerLimits{}) {
		return "none"
	}
	return fmt.Sprintf("max_ack_pending %s, inactive_threshold %s", showSize(l.MaxAckPending), showAge(l.InactiveThreshold))
}
