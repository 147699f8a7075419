-- name: rewind_notice
-- Let the notifier read a partition again; until it is as far as before, it sends no mails for it.
-- $1 topic
-- $2 partition
-- $3 the expected next offset
-- $4 the expected epoch
-- $5 the offset at which to begin
-- $6 the offset up to which it must read before it sends a mail
-- $7 id of the record before the beginning, null where it has none
-- $8 append time of that record
-- roles: owner
UPDATE notice.progress
SET next_offset = $5, published_offset = greatest(published_offset, $6),
    last_event_id = $7::uuid, last_append_time = $8
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $4 AND state = 'running'
RETURNING true

-- name: oldest_due
-- For each partition the time of the oldest event whose notice is due.
-- roles: owner
SELECT partition, min(event_time) AS oldest
FROM notice.notification
WHERE state = 'due'
GROUP BY partition

-- name: members_page
-- Members of an organisation, ordered by id, after a given id.
-- $1 organisation
-- $2 the id before the first
-- $3 at most this many
-- roles: owner
SELECT id::text, user_name_key, external_id, status, restore_status, invitation_id::text,
       version::text, created, last_modified, document, kept_address
FROM directory.member
WHERE organisation_id = $1 AND id > $2
ORDER BY id
LIMIT $3

-- name: groups_page
-- Groups of an organisation, ordered by id, after a given id.
-- $1 organisation
-- $2 the id before the first
-- $3 at most this many
-- roles: owner
SELECT id::text, display_name_key, unique_name_key, external_id, version::text, created,
       last_modified, document
FROM directory."group"
WHERE organisation_id = $1 AND id > $2
ORDER BY id
LIMIT $3

-- name: groups_of_members
-- The groups of some members, with their names.
-- $1 organisation
-- $2 members
-- roles: owner
SELECT membership.member_id::text AS id, membership.group_id::text AS value,
       made.document ->> 'displayName' AS display
FROM directory.group_member AS membership
JOIN directory."group" AS made
  ON made.organisation_id = $1 AND made.id = membership.group_id
WHERE membership.organisation_id = $1 AND membership.member_id = ANY ($2::uuid[])
ORDER BY membership.member_id, membership.group_id

-- name: members_of_groups
-- The members of some groups, with their names.
-- $1 organisation
-- $2 groups
-- roles: owner
SELECT membership.group_id::text AS id, membership.member_id::text AS value,
       coalesce(known.document ->> 'displayName', known.document ->> 'userName') AS display
FROM directory.group_member AS membership
JOIN directory.member AS known
  ON known.organisation_id = $1 AND known.id = membership.member_id
WHERE membership.organisation_id = $1 AND membership.group_id = ANY ($2::uuid[])
ORDER BY membership.group_id, membership.member_id

-- name: gone_for_good
-- The resources of an organisation that were erased by events of these types.
-- $1 organisation
-- $2 types of events
-- roles: owner
SELECT type, resource_id
FROM audit.event
WHERE organisation_id = $1 AND type = ANY ($2::text[]) AND status < 400
