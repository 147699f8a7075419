-- name: record_dead_letters
-- Store records that could not be applied; a repeat of the same record changes nothing.
-- $1 topics, $2 partitions, $3 offsets, $4 epochs, $5 event ids, $6 organisations,
-- $7 headers as JSON text (asyncpg reads a list of lists as a wider array),
-- $8 keys, $9 values, $10 error classes, $11 errors, $12 append times, $13 ids, $14 types,
-- $15 endpoints, $16 resources, $17 attempts, $18 announced outcomes, $19 states, $20 causes
-- roles: provisioner
INSERT INTO directory.dead_letter (
    topic, partition, "offset", epoch, event_id, organisation_id, headers, key, value,
    error_class, error, append_time, id, type, endpoint, resource_id, attempts, told, state, cause)
SELECT topic, partition, "offset", epoch, event_id, organisation_id, headers::jsonb, key, value,
       error_class, error, append_time, id, type, endpoint, resource_id, attempts, told, state,
       cause
FROM unnest(
    $1::text[], $2::integer[], $3::bigint[], $4::integer[], $5::text[], $6::uuid[], $7::text[],
    $8::bytea[], $9::bytea[], $10::text[], $11::text[], $12::timestamptz[], $13::uuid[],
    $14::text[], $15::text[], $16::uuid[], $17::integer[], $18::integer[], $19::text[], $20::text[]
) AS given (
    topic, partition, "offset", epoch, event_id, organisation_id, headers, key, value,
    error_class, error, append_time, id, type, endpoint, resource_id, attempts, told, state, cause)
ON CONFLICT (topic, partition, "offset", epoch) DO NOTHING

-- name: update_dead_letters
-- Store the new states of letters after a redrive or a discard.
-- $1 ids, $2 states, $3 attempts, $4 announced outcomes
-- $5 error classes, null: unchanged; $6 errors, null: unchanged
-- roles: provisioner
UPDATE directory.dead_letter AS letter
SET state = given.state,
    attempts = given.attempts,
    told = given.told,
    error_class = coalesce(given.error_class, letter.error_class),
    error = coalesce(given.error, letter.error)
FROM unnest(
    $1::uuid[], $2::text[], $3::integer[], $4::integer[], $5::text[], $6::text[]
) AS given (id, state, attempts, told, error_class, error)
WHERE letter.id = given.id

-- name: load_quarantines
-- Every resource of these organisations that is in quarantine, its dead event and that event's
-- cause. A parked organisation has one more row, without a resource: the event behind which it is.
-- $1 organisations
-- roles: provisioner
SELECT organisation_id::text, endpoint, resource_id::text, id::text, cause
FROM directory.dead_letter
WHERE organisation_id = ANY ($1::uuid[]) AND state = 'dead' AND resource_id IS NOT NULL
UNION ALL
SELECT organisation_id::text, NULL, NULL, id::text, NULL
FROM directory.parked_organisation
WHERE organisation_id = ANY ($1::uuid[])

-- name: load_dead
-- The dead events of these resources, with their records.
-- $1 organisations, $2 endpoints, $3 resources: in threes
-- roles: provisioner
SELECT organisation_id::text, endpoint, resource_id::text, id::text, attempts, told, topic,
       partition, "offset", epoch, headers, key, value, append_time
FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS wanted (organisation_id, endpoint, resource_id)
JOIN directory.dead_letter USING (organisation_id, endpoint, resource_id)
WHERE state = 'dead'

-- name: recent_dead
-- The dead letters among some records of a partition, with organisation and cause. A letter without
-- a resource has no organisation here.
-- $1 topic
-- $2 partition
-- $3 epoch
-- $4 first offset
-- $5 last offset
-- roles: provisioner
SELECT letter.id::text, letter."offset",
       CASE WHEN letter.resource_id IS NOT NULL THEN letter.organisation_id::text END AS organisation_id,
       coalesce(letter.cause, letter.id::text, letter."offset"::text) AS cause,
       EXISTS (SELECT FROM directory.parked_organisation AS park
               WHERE park.organisation_id = letter.organisation_id) AS is_parked
FROM directory.dead_letter AS letter
WHERE topic = $1 AND partition = $2 AND epoch = $3 AND "offset" BETWEEN $4 AND $5
  AND state = 'dead'
ORDER BY letter."offset"

-- name: dead_in_a_row
-- How many of the last decided events of a partition are dead, and of how many organisations.
-- Parked organisations and parked events do not count; a letter without a resource has no organisation.
-- $1 topic
-- $2 partition
-- $3 epoch
-- $4 how many events to look at
-- roles: provisioner
SELECT count(*) AS letters, count(DISTINCT letter.organisation_id) AS organisations,
       count(*) FILTER (WHERE letter.organisation_id IS NULL OR letter.resource_id IS NULL)
           AS without_organisation
FROM (SELECT "offset"
      FROM audit.event
      WHERE topic = $1 AND partition = $2 AND epoch = $3 AND status <> 202
      ORDER BY "offset" DESC
      LIMIT $4) AS last
JOIN directory.dead_letter AS letter
  ON letter.topic = $1 AND letter.partition = $2 AND letter.epoch = $3
 AND letter."offset" = last."offset" AND letter.state = 'dead'
WHERE NOT EXISTS (SELECT FROM directory.parked_organisation AS park
                  WHERE park.organisation_id = letter.organisation_id)

-- name: find_dead_letters
-- Letters, oldest first, without their records, and how many events are parked behind each.
-- $1 states
-- $2 organisation, null: all
-- $3 recorded since, null: no limit
-- $4 error class, null: any
-- $5 names (`topic/partition/offset`) or ids as text, null: all
-- $6 at most this many
-- roles: provisioner, console, owner
SELECT topic, partition, "offset", epoch, event_id, organisation_id::text, error_class, error,
       append_time, recorded, state, id::text, type, endpoint, resource_id::text, attempts,
       CASE WHEN state = 'dead' AND resource_id IS NOT NULL THEN (
           SELECT count(*) FROM directory.parked
           WHERE parked.organisation_id = letter.organisation_id
             AND parked.endpoint = letter.endpoint
             AND parked.resource_id = letter.resource_id
             AND NOT parked.by_organisation)
       ELSE 0 END AS parked
FROM directory.dead_letter AS letter
WHERE state = ANY ($1::text[])
  AND ($2::uuid IS NULL OR organisation_id = $2)
  AND ($3::timestamptz IS NULL OR recorded >= $3)
  AND ($4::text IS NULL OR error_class = $4)
  AND ($5::text[] IS NULL OR id::text = ANY ($5)
       OR topic || '/' || partition || '/' || "offset" = ANY ($5))
ORDER BY recorded, topic, partition, "offset"
LIMIT $6

-- name: read_dead_letter
-- The record of a letter.
-- $1 topic
-- $2 partition
-- $3 offset
-- $4 epoch
-- roles: owner
SELECT headers, key, value
FROM directory.dead_letter
WHERE topic = $1 AND partition = $2 AND "offset" = $3 AND epoch = $4

-- name: discard_without_resource
-- Close a letter that puts nothing into quarantine, so that no fold depends on it.
-- $1 topic
-- $2 partition
-- $3 offset
-- $4 epoch
-- roles: owner
UPDATE directory.dead_letter
SET state = 'discarded'
WHERE topic = $1 AND partition = $2 AND "offset" = $3 AND epoch = $4
  AND state = 'dead' AND resource_id IS NULL
RETURNING true
