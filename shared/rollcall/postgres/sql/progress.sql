-- name: ensure_directory
-- Add a new partition of the requests or tenancy topic at offset 0.
-- $1 topic
-- $2 partition
-- roles: provisioner
INSERT INTO directory.progress (topic, partition) VALUES ($1, $2)
ON CONFLICT (topic, partition) DO NOTHING

-- name: ensure_notice
-- Add a new partition of the outcomes topic at offset 0.
-- $1 topic
-- $2 partition
-- roles: notifier
INSERT INTO notice.progress (topic, partition) VALUES ($1, $2)
ON CONFLICT (topic, partition) DO NOTHING

-- name: read_directory
-- How far the provisioner has applied and announced a partition.
-- $1 topic
-- $2 partition
-- roles: provisioner, ingress, console, owner
SELECT topic, partition, next_offset, published_offset, last_event_id::text, last_append_time,
       epoch, state, reason, detail
FROM directory.progress
WHERE topic = $1 AND partition = $2

-- name: read_notice
-- How far the notifier has read a partition of the outcomes.
-- $1 topic
-- $2 partition
-- roles: notifier, owner
SELECT topic, partition, next_offset, published_offset, last_event_id::text, last_append_time,
       epoch, state, reason, detail
FROM notice.progress
WHERE topic = $1 AND partition = $2

-- name: list_directory
-- All partitions of a topic in the provisioner's progress.
-- $1 topic
-- roles: provisioner, ingress, console, owner
SELECT topic, partition, next_offset, published_offset, last_event_id::text, last_append_time,
       epoch, state, reason, detail
FROM directory.progress
WHERE topic = $1
ORDER BY partition

-- name: list_notice
-- All partitions of a topic in the notifier's progress.
-- $1 topic
-- roles: notifier, console, owner
SELECT topic, partition, next_offset, published_offset, last_event_id::text, last_append_time,
       epoch, state, reason, detail
FROM notice.progress
WHERE topic = $1
ORDER BY partition

-- name: advance_directory
-- Compare and set: no row means that another process owns the partition.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 the new next offset
-- $6 everything below is announced
-- $7 id of the record before the new offset, null where it has none
-- $8 append time of that record
-- roles: provisioner
UPDATE directory.progress
SET next_offset = $5,
    published_offset = $6,
    last_event_id = $7::uuid,
    last_append_time = $8,
    tried_since = NULL,
    tries = 0,
    tried_because = NULL
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4 AND state = 'running'
RETURNING true

-- name: advance_notice
-- Compare and set: no row means that another process owns the partition.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 the new next offset
-- $6 how far it has read; during a replay the higher offset from before stays
-- $7 id of the record before the new offset, null where it has none
-- $8 append time of that record
-- roles: notifier
UPDATE notice.progress
SET next_offset = $5,
    published_offset = greatest(published_offset, $6),
    last_event_id = $7::uuid,
    last_append_time = $8
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4 AND state = 'running'
RETURNING true

-- name: publish_directory
-- Store how far a partition is announced, whether it is halted or not, and which refusals below were
-- not heard.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 everything below is announced
-- $6 ids of refusals whose reply came too late or may not have come
-- roles: provisioner
WITH moved AS (
    UPDATE directory.progress
    SET published_offset = $5
    WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4
    RETURNING true AS is_ours
), noted AS (
    INSERT INTO audit.unheard (id)
    SELECT given.id FROM moved CROSS JOIN unnest($6::uuid[]) AS given (id)
    ON CONFLICT (id) DO NOTHING
)
SELECT is_ours FROM moved

-- name: halt_directory
-- Halt a partition, unless its position has moved. A paused one is halted too, because the reason
-- is still there when the pause ends. A replaced directory, which is paused without end, is not.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 reason
-- $6 detail
-- roles: provisioner
UPDATE directory.progress
SET state = 'halted', reason = $5, detail = $6, paused_until = NULL
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4
  AND paused_until IS DISTINCT FROM 'infinity'
RETURNING true

-- name: resume_directory
-- Let a halted partition run again from its position.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- roles: provisioner, owner
UPDATE directory.progress
SET state = 'running', reason = NULL, detail = NULL
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4 AND state = 'halted'
RETURNING true

-- name: pause_directory
-- Pause partitions for some time, except those that stand for another reason. Waits for the batch
-- that is being applied. A repeat prolongs the pause.
-- $1 topic
-- $2 partitions
-- $3 who pauses
-- $4 for how many seconds
-- roles: owner
UPDATE directory.progress
SET state = 'paused', reason = 'paused', detail = $3,
    paused_until = clock_timestamp() + make_interval(secs => $4)
WHERE topic = $1 AND partition = ANY ($2::integer[])
  AND (state = 'running' OR (state = 'paused' AND detail = $3))
RETURNING partition

-- name: unpause_directory
-- End the pauses that one `who` made.
-- $1 topic
-- $2 who paused
-- roles: owner
UPDATE directory.progress
SET state = 'running', reason = NULL, detail = NULL, paused_until = NULL
WHERE topic = $1 AND state = 'paused' AND detail = $2

-- name: end_pause_directory
-- End a pause whose time is over: the program that made it is gone.
-- $1 topic
-- $2 partition
-- roles: provisioner
UPDATE directory.progress
SET state = 'running', reason = NULL, detail = NULL, paused_until = NULL
WHERE topic = $1 AND partition = $2 AND state = 'paused' AND paused_until <= clock_timestamp()

-- name: accept_log_directory
-- Let a halted partition run on another log; what is known of the old log ends with its epoch.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 the offset at which to begin in the new log
-- roles: owner
UPDATE directory.progress
SET state = 'running', reason = NULL, detail = NULL, epoch = epoch + 1, next_offset = $5,
    published_offset = $5, last_event_id = NULL, last_append_time = NULL
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4 AND state = 'halted'
RETURNING true

-- name: halt_notice
-- Halt a partition, unless its position has moved.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 reason
-- $6 detail
-- roles: notifier
UPDATE notice.progress
SET state = 'halted', reason = $5, detail = $6
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4
RETURNING true

-- name: resume_notice
-- Let a halted partition run again from its position.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- roles: notifier, owner
UPDATE notice.progress
SET state = 'running', reason = NULL, detail = NULL
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4 AND state = 'halted'
RETURNING true

-- name: accept_log_notice
-- Let a halted partition run on another log; what is known of the old log ends with its epoch.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 the offset at which to begin in the new log
-- $6 the end of the new log: until it is read nothing is sent, as after a replay
-- roles: owner
UPDATE notice.progress
SET state = 'running', reason = NULL, detail = NULL, epoch = epoch + 1, next_offset = $5,
    published_offset = greatest($5::bigint, $6::bigint), last_event_id = NULL, last_append_time = NULL
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4 AND state = 'halted'
RETURNING true

-- name: note_tried_directory
-- Note that the attempt at the position was cut off by a time-out and will be repeated.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 which time-out
-- roles: provisioner
UPDATE directory.progress
SET tried_since = coalesce(tried_since, clock_timestamp()), tries = tries + 1, tried_because = $5
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4

-- name: list_tried_directory
-- The partitions whose position was tried and not passed yet.
-- $1 topic
-- roles: owner
SELECT partition, tried_since, tries, tried_because
FROM directory.progress
WHERE topic = $1 AND tries > 0
