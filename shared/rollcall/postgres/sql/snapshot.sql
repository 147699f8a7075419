-- name: recent_events
-- Events that were decided in the last ten minutes of each partition, by the log's time. Found by
-- their ids, which begin with a time, and among the last offsets, not by reading the audit.
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
-- Where organisations live.
-- roles: owner
SELECT id, partition FROM tenancy.organisation

-- name: estimated_rows
-- About how many rows the tables of a schema hold.
-- $1 schema
-- roles: owner
SELECT coalesce(sum(greatest(reltuples, 0)), 0)
FROM pg_catalog.pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'

-- name: migrations
-- The migrations that the database has seen.
-- roles: owner
SELECT name FROM rollcall.migration ORDER BY name
