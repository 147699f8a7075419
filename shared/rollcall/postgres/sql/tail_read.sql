-- name: read_for_tail
-- What a look-up touches, and how far its partition is applied, from one snapshot: one row.
-- Members and groups are JSON objects with the columns of their tables.
-- $1 organisation
-- $2 topic of the requests
-- $3 partition of the organisation
-- $4 member ids
-- $5 user name keys
-- $6 external ids of members
-- $7 display name keys of members
-- $8 group ids
-- $9 display name keys of groups
-- $10 external ids of groups
-- $11 members whose groups are all wanted
-- $12 whether the groups of all found members are wanted
-- $13 groups whose members are all wanted, with their displays
-- $14 whether the members of all found groups are wanted in the same way
-- $15 ids to check for existence as members, with their displays
-- $16 groups, $17 members: pairs to check for existence as memberships
-- $18 at most this many members, and groups, by display name, and by external id
-- $19 members of whom to find in which of the found groups they are
-- $20 ids of events of which to find whether they are applied
-- roles: ingress
WITH found_member AS (
    SELECT id FROM directory.member WHERE organisation_id = $1 AND id = ANY ($4::uuid[])
    UNION
    SELECT id FROM directory.member WHERE organisation_id = $1 AND user_name_key = ANY ($5::text[])
    UNION
    (SELECT id FROM directory.member
     WHERE organisation_id = $1 AND external_id COLLATE "C" = ANY ($6::text[])
     LIMIT $18)
    UNION
    (SELECT id FROM directory.member
     WHERE organisation_id = $1
       AND left(display_name_key, 256) = ANY (ARRAY(SELECT left(key, 256) FROM unnest($7::text[]) AS key))
       AND display_name_key = ANY ($7::text[])
     LIMIT $18)
),
membership_of_member AS (
    SELECT group_id, member_id FROM directory.group_member
    WHERE organisation_id = $1
      AND member_id = ANY ($11::uuid[]
          || CASE WHEN $12::boolean THEN ARRAY(SELECT id FROM found_member) ELSE '{}' END)
),
found_group AS (
    SELECT id FROM directory."group" WHERE organisation_id = $1 AND id = ANY ($8::uuid[])
    UNION
    SELECT group_id FROM membership_of_member
    UNION
    (SELECT id FROM directory."group"
     WHERE organisation_id = $1 AND external_id COLLATE "C" = ANY ($10::text[])
     LIMIT $18)
    UNION
    (SELECT id FROM directory."group"
     WHERE organisation_id = $1
       AND left(display_name_key, 256) = ANY (ARRAY(SELECT left(key, 256) FROM unnest($9::text[]) AS key))
       AND display_name_key = ANY ($9::text[])
     LIMIT $18)
),
membership_of_group AS (
    SELECT group_id, member_id FROM directory.group_member
    WHERE organisation_id = $1
      AND group_id = ANY ($13::uuid[]
          || CASE WHEN $14::boolean THEN ARRAY(SELECT id FROM found_group) ELSE '{}' END)
),
membership_of_asked AS (
    SELECT group_id, member_id FROM directory.group_member
    WHERE organisation_id = $1
      AND member_id = ANY ($19::uuid[]) AND group_id IN (SELECT id FROM found_group)
),
membership_of_pair AS (
    SELECT group_id, member_id
    FROM unnest($16::uuid[], $17::uuid[]) AS pair (group_id, member_id)
    JOIN directory.group_member USING (group_id, member_id)
    WHERE organisation_id = $1
)
SELECT
    coalesce(progress.next_offset, 0) AS next_offset,
    coalesce(progress.epoch, 0) AS epoch,
    progress.last_append_time,
    (SELECT jsonb_agg(to_jsonb(found)) FROM directory.member AS found
     WHERE found.organisation_id = $1 AND found.id IN (SELECT id FROM found_member)) AS members,
    (SELECT jsonb_agg(to_jsonb(found)) FROM directory."group" AS found
     WHERE found.organisation_id = $1 AND found.id IN (SELECT id FROM found_group)) AS groups,
    (SELECT jsonb_agg(jsonb_build_array(group_id, member_id))
     FROM (SELECT group_id, member_id FROM membership_of_member
           UNION SELECT group_id, member_id FROM membership_of_group
           UNION SELECT group_id, member_id FROM membership_of_asked
           UNION SELECT group_id, member_id FROM membership_of_pair) AS found) AS memberships,
    (SELECT jsonb_agg(jsonb_build_array(found.id, found.document ->> 'displayName'))
     FROM directory.member AS found
     WHERE found.organisation_id = $1
       AND found.id = ANY ($15::uuid[] || ARRAY(SELECT member_id FROM membership_of_group))
    ) AS known,
    (SELECT jsonb_agg(jsonb_build_array(endpoint, resource_id, id, cause))
     FROM directory.dead_letter
     WHERE organisation_id = $1 AND state = 'dead' AND resource_id IS NOT NULL) AS quarantines,
    (SELECT park.id::text FROM directory.parked_organisation AS park
     WHERE park.organisation_id = $1) AS parked_behind,
    ARRAY(SELECT event.id::text FROM audit.event AS event WHERE event.id = ANY ($20::uuid[]))
        AS applied_ids,
    EXISTS (SELECT FROM directory.departed AS gone WHERE gone.organisation_id = $1) AS has_left,
    'directory.member'::regclass::oid::bigint AS directory_oid
FROM (SELECT) AS always
LEFT JOIN directory.progress ON progress.topic = $2 AND progress.partition = $3
