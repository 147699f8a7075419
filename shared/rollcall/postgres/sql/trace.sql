-- name: find_decisions
-- The decisions about these requests, as far as they are decided.
-- $1 ids
-- roles: owner
SELECT id::text, organisation_id::text, topic, partition, "offset", epoch, type, resource_id, actor,
       append_time, event_time, status, scim_type, optimistic, outcomes, recorded
FROM audit.event
WHERE id = ANY ($1::uuid[])

-- name: decisions_of_resource
-- The decisions about a resource, newest first.
-- $1 organisation
-- $2 resource
-- $3 appended since, null: no limit
-- $4 at most this many
-- roles: owner
SELECT id::text, organisation_id::text, topic, partition, "offset", epoch, type, resource_id, actor,
       append_time, event_time, status, scim_type, optimistic, outcomes, recorded
FROM audit.event
WHERE organisation_id = $1 AND resource_id = $2
  AND ($3::timestamptz IS NULL OR append_time >= $3)
ORDER BY append_time DESC, epoch DESC, "offset" DESC
LIMIT $4

-- name: later_decisions
-- The redrives and discards that decided a request about a resource again, in order, including
-- those of its organisation.
-- $1 organisation
-- $2 resource
-- $3 the request, as JSON: [{"of": {"id": …}}]
-- roles: owner
SELECT id::text, organisation_id::text, topic, partition, "offset", epoch, type, resource_id, actor,
       append_time, event_time, status, scim_type, optimistic, outcomes, recorded
FROM audit.event
WHERE organisation_id = $1 AND resource_id IN ($2, organisation_id::text) AND outcomes @> $3::jsonb
ORDER BY epoch, "offset"

-- name: notices_of
-- The notices that these requests caused.
-- $1 requests
-- roles: owner
SELECT event_id::text, kind, member_id::text, partition, state, reason, due_at, next_attempt_at,
       attempts, message_id, sent_at, announced
FROM notice.notification
WHERE event_id = ANY ($1::uuid[])
ORDER BY event_id, "offset", "index"
