// Package topology declares streams, consumers and buckets, and applies them.
//
// Its one rule: applying loses nothing. Nothing is deleted, no setting is changed
// that would delete or drop a message now or later, and what cannot be made to fit
// is an error before anything was changed. So every worker may apply at its start,
// and a fleet may start together.
//
// Found on the server and not as declared, a setting is
//
//   - updated, if that loses nothing;
//   - left alone with a [Warning], if a change would lose something, could never be
//     taken back, or is the operator's to decide;
//   - refused with a [Refusal], if the server lets nobody change it and the worker
//     cannot work with it, or would lose messages by it;
//   - the operator's, and not looked at.
//
// Streams (E events, R results, L letters, D discarded, A audit, F the fleet's bucket):
//
//	setting                    on      rule
//	storage                    all     refused: must be file
//	retention                  all     refused to or from a work queue; else updated
//	subjects                   E       updated: missing ones are added, unknown ones stay, with a
//	                                   warning: they are another version's; a wildcard is refused
//	                           others  updated to cover the declared; more than that: a warning
//	discard                    all     updated to new: a full stream refuses, and drops nothing
//	discard_new_per_subject    all     updated to false
//	max_msgs_per_subject       all     updated to unlimited; F: 1 or more, else refused
//	max_msgs                   L       updated to unlimited; others: the operator's
//	max_bytes                  L       warning: when it is full, lanes stop; others: the operator's
//	max_msg_size               RLDA    updated to unlimited; others: the operator's
//	max_age                    ELF     updated to unlimited
//	                           R       raised to WORKER_RESULTS_MAX_AGE; longer: a warning
//	                           DA      raised to 30 and 400 days; longer: the operator's
//	duplicate_window           EL      raised to 10m; longer: the operator's
//	num_replicas               all     raised to WORKER_REPLICAS; more: a warning
//	allow_direct               all     updated to true
//	no_ack                     all     updated to false
//	allow_rollup_hdrs          all     updated to false, F to true: it lets a publisher delete
//	allow_msg_ttl              all     warning if on, since it cannot be turned off; F: updated to true
//	subject_delete_marker_ttl  F       updated if off
//	deny_delete, deny_purge    RA      made so; on what exists a warning: it can never be taken back
//	deny_delete                LD      refused: replaying and restoring delete
//	deny_purge                 F       refused
//	consumer_limits            E       updated to none
//	mirror, sealed, persist_mode async, allow_msg_schedules, allow_msg_counter
//	                           all     refused
//	all else                           the operator's: placement, compression, description,
//	                                   metadata, sources, republish, ...
//
// Consumers, one for each event type:
//
//	setting                    rule
//	push (deliver_subject)     refused
//	replay_policy              refused unless instant
//	mem_storage                refused
//	filter_subject             updated
//	ack_wait                   updated to WORKER_ACK_WAIT
//	max_deliver                updated to unlimited, with a warning about events beyond the old limit
//	backoff                    updated to none
//	max_ack_pending            updated to unlimited
//	max_waiting                lower than 4096: a warning, it is fixed for life; higher: the operator's
//	headers_only               updated to false
//	inactive_threshold         updated to none: an idle consumer is not removed
//	num_replicas               updated to the stream's
//	priority_groups            updated to none
//	all else                   the operator's: a pause, description, metadata, sampling, ...
package topology
