-- name: tables_of_organisations
-- Every table of every schema whose rows name an organisation, with its columns; for a partitioned
-- table its partitions.
-- roles: owner
SELECT namespace.nspname AS schema, relation.relname AS name,
       array_agg(attribute.attname::text ORDER BY attribute.attnum) AS columns
FROM pg_catalog.pg_class AS relation
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid = relation.oid
WHERE relation.relkind = 'r' AND attribute.attnum > 0 AND NOT attribute.attisdropped
  AND namespace.nspname NOT LIKE 'pg\_%' AND namespace.nspname <> 'information_schema'
GROUP BY namespace.nspname, relation.relname
HAVING 'organisation_id' = ANY (array_agg(attribute.attname::text))
ORDER BY namespace.nspname, relation.relname

-- name: find_departure
-- The event that ended an organisation, and its time.
-- $1 organisation
-- roles: owner
SELECT event_id::text, departed FROM directory.departed WHERE organisation_id = $1

-- name: place_of_event
-- The place of an event in the log, and its append time.
-- $1 event id
-- roles: owner
SELECT topic, partition, "offset", epoch, append_time FROM audit.event WHERE id = $1

-- name: drop_notices
-- Drop an organisation's due notices, except those that a sender has claimed.
-- $1 organisation
-- roles: owner
UPDATE notice.notification
SET state = 'dropped', reason = 'organisation_leaves', leased_until = NULL, lease_owner = NULL
WHERE organisation_id = $1 AND state = 'due'
  AND (leased_until IS NULL OR leased_until <= clock_timestamp())

-- name: forget_unheard
-- Delete the notes about refusals of an organisation's requests.
-- $1 organisation
-- roles: owner
DELETE FROM audit.unheard
USING audit.event
WHERE unheard.id = event.id AND event.organisation_id = $1

-- name: forget_key_use
-- Delete the last use of an organisation's keys.
-- $1 organisation
-- $2 public ids, as far as the caller knows them
-- roles: owner
DELETE FROM tenancy.key_use
WHERE public_id = ANY ($2::text[])
   OR public_id IN (SELECT public_id FROM tenancy.api_key WHERE organisation_id = $1)

-- name: forget_organisation
-- Delete the copy of an organisation's record.
-- $1 organisation
-- roles: owner
DELETE FROM tenancy.organisation WHERE id = $1

-- name: find_member_id
-- The id of a member by normalised user name.
-- $1 organisation
-- $2 user name key
-- roles: owner
SELECT id::text FROM directory.member WHERE organisation_id = $1 AND user_name_key = $2

-- name: find_traces
-- Whether a member exists, how many letters and parked events of the organisation are about it, and
-- how many letters may be about any member.
-- $1 organisation
-- $2 member
-- roles: owner
SELECT EXISTS (SELECT FROM directory.member WHERE organisation_id = $1 AND id = $2) AS is_there,
       (SELECT count(*) FROM directory.dead_letter
        WHERE organisation_id = $1 AND resource_id = $2) AS letters,
       (SELECT count(*) FROM directory.parked
        WHERE organisation_id = $1 AND resource_id = $2) AS parked,
       (SELECT count(*) FROM directory.dead_letter
        WHERE organisation_id = $1 AND resource_id IS NULL) AS uncertain,
       (SELECT count(*) FROM notice.notification
        WHERE organisation_id = $1 AND member_id = $2) AS notices
