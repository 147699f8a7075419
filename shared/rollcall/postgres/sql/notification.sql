-- name: plan_notifications
-- Add due notices. One that exists (a repeated outcome) stays unchanged, and an organisation that
-- has left gets none.
-- $1 event ids, $2 kinds, $3 organisations, $4 members, $5 partitions, $6 epochs, $7 offsets,
-- $8 indexes, $9 event times, $10 details, $11 due at
-- roles: notifier
INSERT INTO notice.notification (
    event_id, kind, organisation_id, member_id, partition, epoch, "offset", "index", event_time,
    detail, due_at, next_attempt_at)
SELECT event_id, kind, organisation_id, member_id, partition, epoch, "offset", "index", event_time,
       detail, due_at,
       -- The settling time counts from now: outcomes that were delayed may arrive one by one.
       CASE WHEN kind = 'invitation' THEN due_at
            ELSE greatest(due_at, clock_timestamp() + nullif(due_at - event_time, '0')) END
FROM unnest(
    $1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::integer[], $6::integer[], $7::bigint[],
    $8::integer[], $9::timestamptz[], $10::jsonb[], $11::timestamptz[]
) AS given (
    event_id, kind, organisation_id, member_id, partition, epoch, "offset", "index", event_time,
    detail, due_at)
WHERE NOT EXISTS (
    SELECT FROM directory.departed WHERE departed.organisation_id = given.organisation_id)
ON CONFLICT (event_id, kind) DO NOTHING
RETURNING event_id::text, kind

-- name: drop_open_notifications
-- Drop a member's due notices of some kinds, except those that a sender has claimed.
-- $1 organisation
-- $2 member
-- $3 kinds
-- $4 reason
-- $5 now
-- roles: notifier
UPDATE notice.notification
SET state = 'dropped', reason = $4, leased_until = NULL, lease_owner = NULL,
    -- The lease of a sender that died has run out: it is not known how far it came.
    detail = CASE WHEN leased_until IS NULL THEN detail
                  ELSE detail || '{"may_have_left": true}' END
WHERE organisation_id = $1 AND member_id = $2 AND kind = ANY ($3::text[]) AND state = 'due'
  AND (leased_until IS NULL OR leased_until <= $5)
RETURNING event_id::text, kind

-- name: reopen_notification
-- Make a dropped notice due again.
-- $1 organisation
-- $2 member
-- $3 event id
-- $4 kind
-- $5 due at
-- roles: notifier
UPDATE notice.notification
SET state = 'due', reason = NULL, due_at = $5, next_attempt_at = $5,
    leased_until = NULL, lease_owner = NULL
WHERE organisation_id = $1 AND member_id = $2 AND event_id = $3 AND kind = $4
  AND state = 'dropped'
RETURNING true

-- name: plan_batch
-- Move the position in the outcomes and do what a batch of them says, in one call; see the function
-- (migration 0036). Null stands for nothing of a kind.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 the new next offset
-- $6 how far it has read; during a replay the higher offset from before stays
-- $7 id of the record before the new offset, null where it has none
-- $8 append time of that record
-- $9 event ids, $10 kinds, $11 organisations, $12 members, $13 partitions, $14 epochs, $15 offsets,
-- $16 indexes, $17 event times, $18 details, $19 due at: notices
-- $20 organisations, $21 members, $22 revocations: endings
-- $23 event ids, $24 kinds, $25 message ids, $26 sent at: mails
-- roles: notifier
SELECT is_ours, planned
FROM rollcall.plan_notices(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26)

-- name: claim_notifications
-- Lease what is due, of each member only the earliest by sequence, and read what it is judged by;
-- see the function (migration 0036).
-- $1 owner
-- $2 how long the lease is
-- $3 at most this many
-- $4 name of the requests topic
-- $5 name of the outcomes topic
-- $6 partitions of the outcomes, $7 epochs, $8 offsets to which they must be read first: in threes
-- $9 now, null: by the server's clock
-- roles: notifier
SELECT moment, has_more, claimed
FROM rollcall.claim_notices($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: settle_sent
-- Settle claimed notices as sent: the mail server accepted them. Returns those that are settled.
-- $1 owner
-- $2 event ids, $3 kinds, $4 message ids, $5 sent at, $6 whether they are announced on the outcomes
-- topic
-- roles: notifier
UPDATE notice.notification AS settled
SET state = 'sent', reason = NULL, message_id = given.message_id, sent_at = given.sent_at,
    announced = given.announced, leased_until = NULL, lease_owner = NULL
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[])
     AS given (event_id, kind, message_id, sent_at, announced)
WHERE settled.event_id = given.event_id AND settled.kind = given.kind
  AND settled.state = 'due' AND settled.lease_owner = $1
RETURNING settled.event_id::text, settled.kind

-- name: mark_sent
-- Mark notices as sent, as the outcomes topic says. Restored rows, or rows that lost their last
-- commits, do not say it.
-- $1 event ids, $2 kinds, $3 message ids, $4 sent at
-- roles: notifier
UPDATE notice.notification AS notification
SET state = 'sent', reason = NULL, message_id = told.message_id, sent_at = told.sent_at,
    announced = true, leased_until = NULL, lease_owner = NULL
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
     AS told (event_id, kind, message_id, sent_at)
WHERE notification.event_id = told.event_id AND notification.kind = told.kind
  AND notification.state <> 'sent'

-- name: unannounced_mails
-- Sent mails that are not announced on the outcomes topic yet, oldest first.
-- $1 at most this many
-- roles: notifier
SELECT event_id::text, kind, organisation_id::text, member_id::text, partition, epoch, "offset",
       "index", event_time, detail - 'may_have_left' AS detail, due_at, message_id, sent_at
FROM notice.notification
WHERE state = 'sent' AND NOT announced
ORDER BY sent_at, event_id
LIMIT $1

-- name: mark_announced
-- Mark these notices as announced on the outcomes topic.
-- $1 event ids, $2 kinds: in pairs
-- roles: notifier
UPDATE notice.notification AS notification
SET announced = true
FROM unnest($1::uuid[], $2::text[]) AS told (event_id, kind)
WHERE notification.event_id = told.event_id AND notification.kind = told.kind

-- name: settle_unsent
-- Settle a claimed notice as dropped (no longer due) or failed (refused for good).
-- $1 event id
-- $2 kind
-- $3 owner
-- $4 state
-- $5 reason
-- roles: notifier
UPDATE notice.notification
SET state = $4, reason = $5, leased_until = NULL, lease_owner = NULL
WHERE event_id = $1 AND kind = $2 AND state = 'due' AND lease_owner = $3
RETURNING true

-- name: retry_later
-- Give a claimed notice back until a later moment.
-- $1 event id
-- $2 kind
-- $3 owner
-- $4 next attempt at
-- $5 reason
-- $6 whether it may have been sent all the same
-- roles: notifier
UPDATE notice.notification
SET next_attempt_at = $4, reason = $5, leased_until = NULL, lease_owner = NULL,
    detail = CASE WHEN $6::boolean THEN detail || '{"may_have_left": true}' ELSE detail END
WHERE event_id = $1 AND kind = $2 AND state = 'due' AND lease_owner = $3
RETURNING true

-- name: last_mails
-- The kind of the last mail that was sent to a member, by sequence; and of the very last one if it
-- was dropped and may have been sent.
-- $1 organisation
-- $2 member
-- $3 event id of an invitation: only what came with it or after it counts; or null
-- roles: notifier
SELECT (array_agg(mail.kind ORDER BY (mail.epoch, mail."offset", mail."index") DESC)
        FILTER (WHERE mail.state = 'sent'))[1] AS last,
       (array_agg(CASE WHEN mail.state = 'dropped' THEN mail.kind END
                  ORDER BY (mail.epoch, mail."offset", mail."index") DESC))[1] AS maybe
FROM notice.notification AS mail
WHERE mail.organisation_id = $1 AND mail.member_id = $2
  AND (mail.state = 'sent' OR mail.state = 'dropped' AND mail.detail ? 'may_have_left')
  AND ($3::uuid IS NULL OR EXISTS (
      SELECT FROM notice.notification AS invitation
      WHERE invitation.event_id = $3 AND invitation.kind = 'invitation'
        AND (mail.epoch, mail."offset", mail."index")
            >= (invitation.epoch, invitation."offset", invitation."index")))

-- name: is_overtaken
-- Whether a later revocation or restoration of the same member is due.
-- $1 organisation
-- $2 member
-- $3 epoch, $4 offset, $5 index
-- roles: notifier
SELECT EXISTS (
    SELECT FROM notice.notification
    WHERE organisation_id = $1 AND member_id = $2 AND state = 'due'
      AND kind IN ('revocation', 'restoration')
      AND (epoch, "offset", "index") > ($3::integer, $4::bigint, $5::integer))

-- name: count_notifications
-- Notices by kind and state.
-- roles: notifier, owner
SELECT kind, state, count(*) AS number FROM notice.notification GROUP BY kind, state

-- name: count_notifications_of
-- An organisation's notices by kind and state.
-- $1 organisation
-- roles: notifier, owner
SELECT kind, state, count(*) AS number
FROM notice.notification
WHERE organisation_id = $1
GROUP BY kind, state

-- name: present
-- The server's clock.
-- roles: notifier, owner
SELECT clock_timestamp()

-- name: renew_leases
-- Extend the leases of a living sender; a lease that ran out is lost.
-- $1 owner
-- $2 now
-- $3 leased until
-- $4 event ids, $5 kinds: in pairs
-- roles: notifier
UPDATE notice.notification
SET leased_until = $3
FROM unnest($4::uuid[], $5::text[]) AS held (event_id, kind)
WHERE notification.event_id = held.event_id AND notification.kind = held.kind
  AND lease_owner = $1 AND state = 'due' AND leased_until > $2
RETURNING notification.event_id::text, notification.kind

-- name: overdue
-- The number of notices that are due now and not settled, and for how long the oldest is. A paced
-- one is due at its slot.
-- $1 now, null: by the server's clock
-- $2 reason of paced notices
-- roles: notifier, owner
WITH present AS (SELECT coalesce($1::timestamptz, clock_timestamp()) AS moment)
SELECT count(*) AS number, max(present.moment - slot) AS age
FROM present
CROSS JOIN LATERAL (
    SELECT CASE WHEN reason = $2 THEN next_attempt_at ELSE due_at END AS slot
    FROM notice.notification
    WHERE state = 'due' AND due_at <= present.moment) AS due
WHERE slot <= present.moment

-- name: unsent_notifications
-- Notices that were not sent and will not be: dropped or failed, newest first.
-- $1 organisation, or null for all
-- $2 reason, or null for all
-- $3 at most this many
-- roles: owner
SELECT event_id::text, kind, organisation_id::text, member_id::text, event_time, state, reason
FROM notice.notification
WHERE state IN ('dropped', 'failed')
  AND ($1::uuid IS NULL OR organisation_id = $1)
  AND ($2::text IS NULL OR reason = $2)
ORDER BY event_time DESC, event_id, kind
LIMIT $3
