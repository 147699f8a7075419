-- name: forget_departed
-- Delete dead letters in the name of organisations that have left, in any partition.
-- roles: owner
DELETE FROM directory.dead_letter AS letter
USING directory.departed AS gone
WHERE letter.organisation_id = gone.organisation_id

-- name: recorded_letters
-- Give dead letters the times that the audit has for them: the times of the transactions that
-- decided them, or in which a redrive failed.
-- roles: owner
WITH failed AS (
    SELECT (stored -> 'of' ->> 'id')::uuid AS id, min(redrive.recorded) AS recorded
    FROM directory.dead_letter AS letter
    JOIN audit.event AS redrive
      ON redrive.organisation_id = letter.organisation_id
     AND redrive.resource_id IN (letter.resource_id::text, letter.organisation_id::text)
    CROSS JOIN LATERAL jsonb_array_elements(redrive.outcomes) AS stored
    WHERE stored ->> 'fact' = 'request.failed' AND stored -> 'of' ->> 'id' = letter.id::text
    GROUP BY 1
)
UPDATE directory.dead_letter AS letter
SET recorded = coalesce(
    (SELECT own.recorded FROM audit.event AS own WHERE own.id = letter.id AND own.status = 500),
    (SELECT failed.recorded FROM failed WHERE failed.id = letter.id),
    letter.recorded)

-- name: recorded_parked
-- Give parked events the times that the audit has for them.
-- roles: owner
UPDATE directory.parked AS waiting
SET recorded = own.recorded
FROM audit.event AS own
WHERE own.id = waiting.id

-- name: known_deaths
-- Which of these events failed, and which failed in one of these redrives: error class by event,
-- with the message in its letter, and whether its organisation was parked behind it.
-- $1 ids of events in the log's order, redrives among them
-- roles: owner
SELECT event.id::text AS event_id, stored -> 'of' ->> 'id' AS held_id,
       stored -> 'data' -> 'detail' ->> 'error_class' AS error_class, letter.error,
       stored -> 'data' -> 'detail' ->> 'organisation_parked' IS NOT NULL AS is_parked
FROM audit.event
CROSS JOIN LATERAL jsonb_array_elements(event.outcomes) AS stored
LEFT JOIN directory.dead_letter AS letter
  ON letter.id = coalesce((stored -> 'of' ->> 'id')::uuid, event.id)
WHERE event.id = ANY ($1::uuid[]) AND event.status >= 400
  AND stored ->> 'fact' = 'request.failed'

-- name: last_decided
-- The highest offset of a partition that was decided according to the audit.
-- $1 topic
-- $2 partition
-- $3 epoch
-- roles: owner
SELECT "offset"
FROM audit.event
WHERE partition = $2 AND topic = $1 AND epoch = $3
ORDER BY "offset" DESC
LIMIT 1

-- name: epoch_decided
-- The epoch in which an event was decided, if its place is this one.
-- $1 id
-- $2 topic
-- $3 partition
-- $4 offset
-- roles: owner
SELECT epoch
FROM audit.event
WHERE id = $1 AND topic = $2 AND partition = $3 AND "offset" = $4

-- name: closed_letters
-- Letters without a resource that an operator has closed, which no event of the log says.
-- roles: owner
SELECT topic, partition, "offset", epoch
FROM directory.dead_letter
WHERE resource_id IS NULL AND state = 'discarded'

-- name: close_letters
-- Close letters without a resource.
-- $1 topics, $2 partitions, $3 offsets, $4 epochs
-- roles: owner
UPDATE directory.dead_letter AS letter
SET state = 'discarded'
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::integer[])
     AS closed (topic, partition, "offset", epoch)
WHERE letter.topic = closed.topic AND letter.partition = closed.partition
  AND letter."offset" = closed."offset" AND letter.epoch = closed.epoch
  AND letter.resource_id IS NULL

-- name: lock_progress
-- All positions, locked until the transaction ends.
-- roles: owner
SELECT topic, partition, next_offset, published_offset, last_event_id::text, last_append_time,
       epoch, state, reason, detail
FROM directory.progress
ORDER BY topic, partition
FOR UPDATE

-- name: put_progress
-- Make the position of a partition equal to this one.
-- $1 topic
-- $2 partition
-- $3 next offset
-- $4 published offset
-- $5 last event id
-- $6 last append time
-- $7 epoch
-- $8 state
-- $9 reason
-- $10 detail
-- roles: owner
INSERT INTO directory.progress (
    topic, partition, next_offset, published_offset, last_event_id, last_append_time, epoch, state,
    reason, detail)
VALUES ($1, $2, $3, $4, $5::uuid, $6, $7, $8, $9, $10)
ON CONFLICT (topic, partition) DO UPDATE SET
    next_offset = excluded.next_offset,
    published_offset = excluded.published_offset,
    last_event_id = excluded.last_event_id,
    last_append_time = excluded.last_append_time,
    epoch = excluded.epoch,
    state = excluded.state,
    reason = excluded.reason,
    detail = excluded.detail,
    paused_until = NULL

-- name: forget_other_progress
-- Delete the positions of all other topics.
-- $1 the topic that stays
-- roles: owner
DELETE FROM directory.progress WHERE topic <> $1

-- name: retire_progress
-- Pause all positions of a replaced directory without end, so that no worker writes into it.
-- $1 why
-- roles: owner
UPDATE directory.progress
SET state = 'paused', paused_until = 'infinity', reason = 'paused', detail = $1
