-- name: recent_events
-- Events that were decided in the last ten minutes of each partition, by the log's time. They are
-- found by id (ids begin with a time) and among the last offsets, without reading the whole audit.
-- roles: owner
SELECT event.*
FROM directory.progress
JOIN audit.event AS event
  ON event.topic = progress.topic AND event.partition = progress.partition
 AND event.id >= audit.first_id(progress.last_append_time - interval '1 day')
 AND event.append_time >= progress.last_append_time - interval '10 minutes'
UNION
SELECT event.*
FROM directory.progress
JOIN audit.event AS event
  ON event.topic = progress.topic AND event.partition = progress.partition
 AND event."offset" >= progress.next_offset - 10000
 AND event.append_time >= progress.last_append_time - interval '10 minutes'

-- name: organisations
-- The partitions of organisations.
-- roles: owner
SELECT id, partition FROM tenancy.organisation

-- name: estimated_rows
-- The approximate number of rows in the tables of a schema.
-- $1 schema
-- roles: owner
SELECT coalesce(sum(greatest(reltuples, 0)), 0)
FROM pg_catalog.pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'

-- name: migrations
-- The migrations that were applied to the database.
-- roles: owner
SELECT name FROM rollcall.migration ORDER BY name
