-- name: already_applied
-- Which of these events are in the audit, so that copies of decided events can be dropped.
-- $1 ids
-- roles: provisioner
SELECT id::text FROM audit.event WHERE id = ANY ($1::uuid[])

-- name: record_events
-- Add the decisions of a batch; a second row with the same id is a bug and fails.
-- $1 ids, $2 organisations, $3 topics, $4 partitions, $5 offsets, $6 epochs, $7 types,
-- $8 resource ids, $9 actors, $10 append times, $11 event times, $12 status, $13 scim types,
-- $14 optimistic, $15 outcomes as JSON text (asyncpg reads a list of lists as a wider array)
-- roles: provisioner
INSERT INTO audit.event (
    id, organisation_id, topic, partition, "offset", epoch, type, resource_id, actor,
    append_time, event_time, status, scim_type, optimistic, outcomes)
SELECT id, organisation_id, topic, partition, "offset", epoch, type, resource_id, actor,
       append_time, event_time, status, scim_type, optimistic, outcomes::jsonb
FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::integer[], $7::text[],
    $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::integer[], $13::text[],
    $14::boolean[], $15::text[]
) AS given (
    id, organisation_id, topic, partition, "offset", epoch, type, resource_id, actor,
    append_time, event_time, status, scim_type, optimistic, outcomes)

-- name: unannounced_events
-- The events of a partition from an offset on, in order: what a new owner has to announce.
-- $1 topic
-- $2 partition
-- $3 first offset
-- $4 epoch
-- $5 at most this many
-- roles: provisioner
SELECT id::text, organisation_id::text, topic, partition, "offset", epoch, type, resource_id, actor,
       append_time, event_time, status, scim_type, optimistic, outcomes
FROM audit.event
WHERE topic = $1 AND partition = $2 AND "offset" >= $3 AND epoch = $4
ORDER BY "offset"
LIMIT $5

-- name: find_events
-- The decisions about these requests, as far as they are decided.
-- $1 ids
-- roles: console, owner
SELECT id::text, organisation_id::text, topic, partition, "offset", epoch, type, resource_id, actor,
       append_time, event_time, status, scim_type, optimistic, outcomes
FROM audit.event
WHERE id = ANY ($1::uuid[])

-- name: record_unheard
-- Note refusals whose reply came too late or may not have come.
-- $1 ids
-- roles: provisioner
INSERT INTO audit.unheard (id) SELECT id FROM unnest($1::uuid[]) AS given (id)
ON CONFLICT (id) DO NOTHING

-- name: note_unheard
-- Note requests that are answered with success while their decision is not known, or that were
-- answered otherwise than they are decided.
-- $1 ids, $2 the status that each was answered with by a verdict of ingress, or null
-- roles: ingress
INSERT INTO audit.unheard (id, given)
SELECT id, given FROM unnest($1::uuid[], $2::smallint[]) AS noted (id, given)
ON CONFLICT DO NOTHING

-- name: find_refused
-- Requests that were answered otherwise than they were decided, newest first; `is_unheard`: the
-- sender waited, and the refusal may have come too late; `given`: a verdict of ingress differed.
-- $1 organisation, null: all
-- $2 recorded since, null: no limit
-- $3 at most this many
-- roles: console, owner
WITH refused AS (
    SELECT id, false AS is_unheard, NULL::smallint AS given
    FROM audit.event
    WHERE optimistic AND status >= 400
    UNION ALL
    SELECT id, true AS is_unheard, given
    FROM audit.unheard
)
SELECT event.id::text, organisation_id::text, topic, partition, "offset", epoch, type, resource_id,
       actor, append_time, event_time, status, scim_type, optimistic, outcomes, event.recorded,
       refused.is_unheard, refused.given
FROM refused
JOIN audit.event ON event.id = refused.id
WHERE NOT (refused.is_unheard AND optimistic AND status >= 400)
  AND ($1::uuid IS NULL OR organisation_id = $1)
  AND ($2::timestamptz IS NULL OR event.recorded >= $2)
ORDER BY event.id DESC
LIMIT $3
