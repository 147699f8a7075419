-- name: ensure_directory
-- A new partition of the requests or tenancy topic starts at offset 0.
-- $1 topic
-- $2 partition
-- roles: provisioner
INSERT INTO directory.progress (topic, partition) VALUES ($1, $2)
ON CONFLICT (topic, partition) DO NOTHING

-- name: ensure_notice
-- A new partition of the outcomes topic starts at offset 0.
-- $1 topic
-- $2 partition
-- roles: notifier
INSERT INTO notice.progress (topic, partition) VALUES ($1, $2)
ON CONFLICT (topic, partition) DO NOTHING

-- name: read_directory
-- How far the provisioner has applied and announced a partition.
-- $1 topic
-- $2 partition
-- roles: provisioner, ingress, owner
SELECT topic, partition, next_offset, published_offset, last_event_id::text, last_append_time,
       epoch, state
FROM directory.progress
WHERE topic = $1 AND partition = $2

-- name: read_notice
-- How far the notifier has read a partition of the outcomes.
-- $1 topic
-- $2 partition
-- roles: notifier, owner
SELECT topic, partition, next_offset, published_offset, last_event_id::text, last_append_time,
       epoch, state
FROM notice.progress
WHERE topic = $1 AND partition = $2

-- name: list_directory
-- All partitions of a topic that the provisioner knows.
-- $1 topic
-- roles: provisioner, ingress, owner
SELECT topic, partition, next_offset, published_offset, last_event_id::text, last_append_time,
       epoch, state
FROM directory.progress
WHERE topic = $1
ORDER BY partition

-- name: list_notice
-- All partitions of a topic that the notifier knows.
-- $1 topic
-- roles: notifier, owner
SELECT topic, partition, next_offset, published_offset, last_event_id::text, last_append_time,
       epoch, state
FROM notice.progress
WHERE topic = $1
ORDER BY partition

-- name: advance_directory
-- Compare and set: no row means that somebody else owns the partition.
-- $1 topic
-- $2 partition
-- $3 the offset that must be the next one
-- $4 the new next offset
-- $5 everything below is announced
-- $6 id of the last event, null keeps it
-- $7 append time of the last event, null keeps it
-- roles: provisioner
UPDATE directory.progress
SET next_offset = $4,
    published_offset = $5,
    last_event_id = coalesce($6::uuid, last_event_id),
    last_append_time = coalesce($7, last_append_time)
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND state = 'running'
RETURNING true

-- name: advance_notice
-- Compare and set: no row means that somebody else owns the partition.
-- $1 topic
-- $2 partition
-- $3 the offset that must be the next one
-- $4 the new next offset
-- $5 everything below is announced
-- $6 id of the last event, null keeps it
-- $7 append time of the last event, null keeps it
-- roles: notifier
UPDATE notice.progress
SET next_offset = $4,
    published_offset = $5,
    last_event_id = coalesce($6::uuid, last_event_id),
    last_append_time = coalesce($7, last_append_time)
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND state = 'running'
RETURNING true

-- name: set_state_directory
-- Halt a partition or let it run again.
-- $1 topic
-- $2 partition
-- $3 state
-- roles: provisioner, owner
UPDATE directory.progress SET state = $3 WHERE topic = $1 AND partition = $2

-- name: set_state_notice
-- Halt a partition of the outcomes or let it run again.
-- $1 topic
-- $2 partition
-- $3 state
-- roles: notifier, owner
UPDATE notice.progress SET state = $3 WHERE topic = $1 AND partition = $2
