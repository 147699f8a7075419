-- name: record_parked
-- Store events that wait behind a dead one, in a batch's transaction.
-- $1 organisations, $2 endpoints, $3 resources, $4 epochs, $5 offsets, $6 topics, $7 partitions,
-- $8 ids, $9 event ids, $10 types, $11 headers as JSON text, $12 keys, $13 values, $14 append times
-- $15 whether it waits for the organisation
-- roles: provisioner
INSERT INTO directory.parked (
    organisation_id, endpoint, resource_id, epoch, "offset", topic, partition, id, event_id, type,
    headers, key, value, append_time, by_organisation)
SELECT organisation_id, endpoint, resource_id, epoch, "offset", topic, partition, id, event_id,
       type, headers::jsonb, key, value, append_time, by_organisation
FROM unnest(
    $1::uuid[], $2::text[], $3::uuid[], $4::integer[], $5::bigint[], $6::text[], $7::integer[],
    $8::uuid[], $9::text[], $10::text[], $11::text[], $12::bytea[], $13::bytea[],
    $14::timestamptz[], $15::boolean[]
) AS given (
    organisation_id, endpoint, resource_id, epoch, "offset", topic, partition, id, event_id, type,
    headers, key, value, append_time, by_organisation)

-- name: load_parked
-- The parked events of these resources, with their records, in order.
-- $1 organisations, $2 endpoints, $3 resources: in threes
-- roles: provisioner
SELECT organisation_id::text, endpoint, resource_id::text, id::text, topic, partition, "offset",
       epoch, headers, key, value, append_time
FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS wanted (organisation_id, endpoint, resource_id)
JOIN directory.parked USING (organisation_id, endpoint, resource_id)
WHERE NOT parked.by_organisation
ORDER BY epoch, "offset"

-- name: move_parked
-- Turn parked events that raised when they were applied into dead letters.
-- $1 ids, $2 states, $3 attempts, $4 announced outcomes, $5 error classes, $6 errors, $7 causes
-- roles: provisioner
INSERT INTO directory.dead_letter (
    topic, partition, "offset", epoch, event_id, organisation_id, headers, key, value,
    error_class, error, append_time, id, type, endpoint, resource_id, attempts, told, state, cause)
SELECT parked.topic, parked.partition, parked."offset", parked.epoch, parked.event_id,
       parked.organisation_id, parked.headers, parked.key, parked.value, given.error_class,
       given.error, parked.append_time, parked.id, parked.type, parked.endpoint,
       parked.resource_id, given.attempts, given.told, given.state, given.cause
FROM unnest(
    $1::uuid[], $2::text[], $3::integer[], $4::integer[], $5::text[], $6::text[], $7::text[]
) AS given (id, state, attempts, told, error_class, error, cause)
JOIN directory.parked USING (id)

-- name: delete_parked
-- Delete events that no longer wait.
-- $1 ids
-- roles: provisioner
DELETE FROM directory.parked WHERE id = ANY ($1::uuid[])

-- name: list_parked
-- The events that wait behind the dead event of a resource, in order, without their records.
-- $1 organisation
-- $2 endpoint
-- $3 resource
-- $4 at most this many
-- roles: owner
SELECT id::text, type, topic, partition, "offset", append_time
FROM directory.parked
WHERE organisation_id = $1 AND endpoint = $2 AND resource_id = $3 AND NOT by_organisation
ORDER BY epoch, "offset"
LIMIT $4

-- name: load_waiting
-- The first events that wait for a parked organisation, with their records, in order, and the
-- number of all that wait.
-- $1 organisation
-- $2 at most this many
-- $3 at most this many bytes of values, but at least one event
-- roles: provisioner
WITH first AS (
    SELECT organisation_id, id, topic, partition, "offset", epoch, headers, key, value, append_time,
           sum(coalesce(octet_length(value), 0)) OVER (ORDER BY epoch, "offset") AS size,
           row_number() OVER (ORDER BY epoch, "offset") AS number
    FROM (SELECT organisation_id, id, topic, partition, "offset", epoch, headers, key, value, append_time
          FROM directory.parked
          WHERE organisation_id = $1 AND by_organisation
          ORDER BY epoch, "offset"
          LIMIT $2) AS earliest
)
SELECT organisation_id::text, id::text, topic, partition, "offset", epoch, headers, key,
       value, append_time,
       (SELECT count(*) FROM directory.parked
        WHERE organisation_id = $1 AND by_organisation) AS waiting
FROM first
WHERE size <= $3 OR number = 1
ORDER BY epoch, "offset"

-- name: move_behind_resource
-- Let events wait behind a dead event of their resource instead of for their organisation.
-- $1 ids
-- roles: provisioner
UPDATE directory.parked SET by_organisation = false WHERE id = ANY ($1::uuid[])

-- name: park_organisations
-- Park organisations: all their later events wait.
-- $1 organisations, $2 ids of the dead events, $3 topics, $4 partitions, $5 offsets, $6 epochs
-- $7 append times
-- roles: provisioner
INSERT INTO directory.parked_organisation (
    organisation_id, id, topic, partition, "offset", epoch, since)
SELECT organisation_id, id, topic, partition, "offset", epoch, since
FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::integer[],
    $7::timestamptz[]
) AS given (organisation_id, id, topic, partition, "offset", epoch, since)

-- name: free_organisations
-- End the park of organisations.
-- $1 organisations
-- roles: provisioner
DELETE FROM directory.parked_organisation WHERE organisation_id = ANY ($1::uuid[])

-- name: find_parked_organisations
-- Parked organisations, and the number of events that wait for each.
-- $1 organisation, null: all
-- roles: owner
SELECT organisation_id::text, id::text, topic, partition, "offset", since,
       (SELECT count(*) FROM directory.parked
        WHERE parked.organisation_id = park.organisation_id AND by_organisation) AS waiting
FROM directory.parked_organisation AS park
WHERE $1::uuid IS NULL OR organisation_id = $1
ORDER BY since, organisation_id
