-- name: record_dead_letters
-- Keep records that could not be applied; a repeat of the same record changes nothing.
-- $1 topics, $2 partitions, $3 offsets, $4 epochs, $5 event ids, $6 organisations,
-- $7 headers as JSON text (asyncpg reads a list of lists as a wider array),
-- $8 keys, $9 values, $10 error classes, $11 errors, $12 append times
-- roles: provisioner
INSERT INTO directory.dead_letter (
    topic, partition, "offset", epoch, event_id, organisation_id, headers, key, value,
    error_class, error, append_time)
SELECT topic, partition, "offset", epoch, event_id, organisation_id, headers::jsonb, key, value,
       error_class, error, append_time
FROM unnest(
    $1::text[], $2::integer[], $3::bigint[], $4::integer[], $5::text[], $6::uuid[], $7::text[],
    $8::bytea[], $9::bytea[], $10::text[], $11::text[], $12::timestamptz[]
) AS given (
    topic, partition, "offset", epoch, event_id, organisation_id, headers, key, value,
    error_class, error, append_time)
ON CONFLICT (topic, partition, "offset", epoch) DO NOTHING

-- name: list_dead_letters
-- Dead letters in one state, oldest first, without their bytes.
-- $1 state
-- $2 at most so many
-- roles: provisioner, owner
SELECT topic, partition, "offset", epoch, event_id, organisation_id::text, error_class, error,
       append_time, recorded, state
FROM directory.dead_letter
WHERE state = $1
ORDER BY recorded, topic, partition, "offset"
LIMIT $2

-- name: count_dead_letters
-- Dead letters by state.
-- roles: provisioner, owner
SELECT state, count(*) AS number FROM directory.dead_letter GROUP BY state
