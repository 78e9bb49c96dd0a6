#!/bin/sh
# Makes the account of essworker, and its users with what each may do, where the
# operator signs with nsc. Written by "worker roles --format jwt-nsc".
# Run it where the operator's keys are; then "nsc push", and give each service its
# file of ./creds as NATS_CREDS.
#
# What a user may do travels in its credentials. Where a server refuses one of them with
# "maximum control line exceeded", as it may the operator's with a long prefix, set
# max_control_line: 8KB there.
set -eu
mkdir -p creds && chmod 700 creds

nsc add account --name ESS
nsc edit account --name ESS --js-disk-storage -1 --js-streams -1 --js-consumer -1

# A service that publishes events, and waits until they are stored.
nsc add user --account ESS --name ess-publisher \
  --allow-pub 'ess.events.>' \
  --allow-sub '_INBOX_publisher.>'
nsc generate creds --account ESS --name ess-publisher --output-file creds/ess-publisher.creds

# worker run, and worker doctor: takes events, stores results and letters, runs
# replays. It makes, changes and deletes no stream and no consumer.
nsc add user --account ESS --name ess-worker \
  --allow-pub '$JS.API.INFO' \
  --allow-pub '$SYS.REQ.USER.INFO' \
  --allow-pub '$JS.API.STREAM.INFO.KV_ESS_FLEET' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_RESULTS' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_DISCARDED' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_AUDIT' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_EVENTS' \
  --allow-pub '$JS.API.CONSUMER.INFO.ESS_EVENTS.*' \
  --allow-pub '$JS.ACK.ESS_EVENTS.*.>' \
  --allow-pub '$JS.ACK.*.*.ESS_EVENTS.*.>' \
  --allow-pub '$JS.API.CONSUMER.MSG.NEXT.ESS_EVENTS.*' \
  --allow-pub '$JS.API.CONSUMER.LIST.ESS_EVENTS' \
  --allow-pub 'ess.results.>' \
  --allow-pub 'ess.deadletters.>' \
  --allow-pub 'ess.events.>' \
  --allow-pub '$JS.API.STREAM.MSG.DELETE.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_RESULTS' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_EVENTS' \
  --allow-pub '$JS.API.STREAM.MSG.GET.ESS_EVENTS' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_DISCARDED' \
  --allow-pub '$JS.API.STREAM.MSG.DELETE.ESS_DISCARDED' \
  --allow-pub '$JS.API.DIRECT.GET.KV_ESS_FLEET' \
  --allow-pub '$JS.API.STREAM.MSG.GET.KV_ESS_FLEET' \
  --allow-pub '$KV.ESS_FLEET.>' \
  --allow-sub '_INBOX_worker.>' \
  --allow-sub '$KV.ESS_FLEET.>'
nsc generate creds --account ESS --name ess-worker --output-file creds/ess-worker.creds

# A service that reads results by the durable consumer subscriber of
# ESS_RESULTS, which worker setup --subscriber makes.
nsc add user --account ESS --name ess-subscriber \
  --allow-pub '$JS.ACK.ESS_RESULTS.subscriber.>' \
  --allow-pub '$JS.ACK.*.*.ESS_RESULTS.subscriber.>' \
  --allow-pub '$JS.API.CONSUMER.INFO.ESS_RESULTS.subscriber' \
  --allow-pub '$JS.API.CONSUMER.MSG.NEXT.ESS_RESULTS.subscriber' \
  --allow-sub '_INBOX_subscriber.>'
nsc generate creds --account ESS --name ess-subscriber --output-file creds/ess-subscriber.creds

# People who replay, edit and discard letters, set limits and stop lanes. Each of
# their commands keeps a record of what it does.
nsc add user --account ESS --name ess-operator \
  --allow-pub '$JS.API.INFO' \
  --allow-pub '$SYS.REQ.USER.INFO' \
  --allow-pub '$JS.API.STREAM.INFO.KV_ESS_FLEET' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_RESULTS' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_DISCARDED' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_AUDIT' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_EVENTS' \
  --allow-pub '$JS.API.CONSUMER.INFO.ESS_EVENTS.*' \
  --allow-pub '$JS.API.DIRECT.GET.KV_ESS_FLEET' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_RESULTS' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_DISCARDED' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_AUDIT' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_EVENTS' \
  --allow-pub '$JS.API.STREAM.MSG.GET.KV_ESS_FLEET' \
  --allow-pub '$JS.API.STREAM.MSG.GET.ESS_EVENTS' \
  --allow-pub '$JS.API.CONSUMER.PAUSE.ESS_EVENTS.*' \
  --allow-pub 'ess.events.>' \
  --allow-pub 'ess.deadletters.>' \
  --allow-pub 'ess.discarded.>' \
  --allow-pub 'ess.results.>' \
  --allow-pub 'ess.audit.>' \
  --allow-pub '$KV.ESS_FLEET.>' \
  --allow-pub '$JS.API.STREAM.MSG.DELETE.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.STREAM.MSG.DELETE.ESS_DISCARDED' \
  --allow-pub '$JS.API.STREAM.MSG.DELETE.ESS_EVENTS' \
  --allow-pub '$JS.API.CONSUMER.CREATE.ESS_DEADLETTERS.>' \
  --allow-pub '$JS.API.CONSUMER.INFO.ESS_DEADLETTERS.*' \
  --allow-pub '$JS.API.CONSUMER.MSG.NEXT.ESS_DEADLETTERS.*' \
  --allow-pub '$JS.API.CONSUMER.DELETE.ESS_DEADLETTERS.*' \
  --allow-pub '$JS.API.CONSUMER.CREATE.ESS_DISCARDED.>' \
  --allow-pub '$JS.API.CONSUMER.INFO.ESS_DISCARDED.*' \
  --allow-pub '$JS.API.CONSUMER.MSG.NEXT.ESS_DISCARDED.*' \
  --allow-pub '$JS.API.CONSUMER.DELETE.ESS_DISCARDED.*' \
  --allow-pub '$JS.API.CONSUMER.CREATE.ESS_RESULTS.>' \
  --allow-pub '$JS.API.CONSUMER.INFO.ESS_RESULTS.*' \
  --allow-pub '$JS.API.CONSUMER.MSG.NEXT.ESS_RESULTS.*' \
  --allow-pub '$JS.API.CONSUMER.DELETE.ESS_RESULTS.*' \
  --deny-pub '$JS.API.CONSUMER.CREATE.ESS_RESULTS.subscriber' \
  --deny-pub '$JS.API.CONSUMER.CREATE.ESS_RESULTS.subscriber.>' \
  --deny-pub '$JS.API.CONSUMER.MSG.NEXT.ESS_RESULTS.subscriber' \
  --deny-pub '$JS.API.CONSUMER.DELETE.ESS_RESULTS.subscriber' \
  --deny-pub '$KV.ESS_FLEET.worker.>' \
  --deny-pub '$KV.ESS_FLEET.quota.>' \
  --deny-pub '$KV.ESS_FLEET.attempts.*.>' \
  --deny-pub '$KV.ESS_FLEET.tenant.>' \
  --deny-pub '$KV.ESS_FLEET.gate.breaker.>' \
  --deny-pub '$KV.ESS_FLEET.gate.action.>' \
  --deny-pub '$KV.ESS_FLEET.gate.credential.>' \
  --deny-pub '$KV.ESS_FLEET.gate.push.>' \
  --allow-sub '_INBOX_operator.>'
nsc generate creds --account ESS --name ess-operator --output-file creds/ess-operator.creds

# People and programs that look: worker status, dlq groups, ls, show, jobs, watch,
# log and check. Changes nothing. Mind that letters hold personal data.
nsc add user --account ESS --name ess-viewer \
  --allow-pub '$JS.API.INFO' \
  --allow-pub '$SYS.REQ.USER.INFO' \
  --allow-pub '$JS.API.STREAM.INFO.KV_ESS_FLEET' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_RESULTS' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_DISCARDED' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_AUDIT' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_EVENTS' \
  --allow-pub '$JS.API.CONSUMER.INFO.ESS_EVENTS.*' \
  --allow-pub '$JS.API.DIRECT.GET.KV_ESS_FLEET' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_RESULTS' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_DISCARDED' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_AUDIT' \
  --allow-pub '$JS.API.DIRECT.GET.ESS_EVENTS' \
  --allow-pub '$JS.API.STREAM.MSG.GET.KV_ESS_FLEET' \
  --allow-pub '$JS.API.STREAM.MSG.GET.ESS_EVENTS' \
  --allow-sub '_INBOX_viewer.>'
nsc generate creds --account ESS --name ess-viewer --output-file creds/ess-viewer.creds

# worker setup, at deployment: makes and updates streams, consumers and bucket.
# It deletes nothing.
nsc add user --account ESS --name ess-provisioner \
  --allow-pub '$JS.API.INFO' \
  --allow-pub '$SYS.REQ.USER.INFO' \
  --allow-pub '$JS.API.STREAM.INFO.KV_ESS_FLEET' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_RESULTS' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_DISCARDED' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_AUDIT' \
  --allow-pub '$JS.API.STREAM.INFO.ESS_EVENTS' \
  --allow-pub '$JS.API.CONSUMER.INFO.ESS_EVENTS.*' \
  --allow-pub '$JS.API.STREAM.CREATE.KV_ESS_FLEET' \
  --allow-pub '$JS.API.STREAM.UPDATE.KV_ESS_FLEET' \
  --allow-pub '$JS.API.STREAM.CREATE.ESS_RESULTS' \
  --allow-pub '$JS.API.STREAM.UPDATE.ESS_RESULTS' \
  --allow-pub '$JS.API.STREAM.CREATE.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.STREAM.UPDATE.ESS_DEADLETTERS' \
  --allow-pub '$JS.API.STREAM.CREATE.ESS_DISCARDED' \
  --allow-pub '$JS.API.STREAM.UPDATE.ESS_DISCARDED' \
  --allow-pub '$JS.API.STREAM.CREATE.ESS_AUDIT' \
  --allow-pub '$JS.API.STREAM.UPDATE.ESS_AUDIT' \
  --allow-pub '$JS.API.STREAM.CREATE.ESS_EVENTS' \
  --allow-pub '$JS.API.STREAM.UPDATE.ESS_EVENTS' \
  --allow-pub '$JS.API.CONSUMER.CREATE.ESS_EVENTS.>' \
  --allow-pub '$JS.API.CONSUMER.CREATE.ESS_RESULTS.subscriber' \
  --allow-pub '$JS.API.CONSUMER.CREATE.ESS_RESULTS.subscriber.>' \
  --allow-pub '$JS.API.CONSUMER.INFO.ESS_RESULTS.subscriber' \
  --allow-sub '_INBOX_provisioner.>'
nsc generate creds --account ESS --name ess-provisioner --output-file creds/ess-provisioner.creds
