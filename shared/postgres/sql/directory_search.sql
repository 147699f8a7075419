-- name: find_member
-- A member by id, without groups.
-- $1 organisation
-- $2 id
-- roles: ingress, notifier, owner
SELECT found.id::text, found.user_name_key, found.external_id, found.status, found.restore_status,
       found.invitation_id::text, found.version::text, found.created, found.last_modified,
       found.document, '[]'::jsonb AS related
FROM directory.member AS found
WHERE found.organisation_id = $1 AND found.id = $2

-- name: find_member_with_groups
-- A member by id, with [id, display] of each group.
-- $1 organisation
-- $2 id
-- roles: ingress, owner
SELECT found.id::text, found.user_name_key, found.external_id, found.status, found.restore_status,
       found.invitation_id::text, found.version::text, found.created, found.last_modified,
       found.document,
       (SELECT coalesce(
                   jsonb_agg(jsonb_build_array(held.id, held.document ->> 'displayName')
                             ORDER BY held.id), '[]')
        FROM directory.group_member
        JOIN directory."group" AS held
          ON held.organisation_id = $1 AND held.id = group_member.group_id
        WHERE group_member.organisation_id = $1 AND group_member.member_id = found.id) AS related
FROM directory.member AS found
WHERE found.organisation_id = $1 AND found.id = $2

-- name: find_group
-- A group by id; where asked for, with [id, display] of each member.
-- $1 organisation
-- $2 id
-- $3 whether members are wanted
-- roles: ingress, owner
SELECT found.id::text, found.display_name_key, found.unique_name_key, found.external_id,
       found.version::text, found.created, found.last_modified, found.document,
       CASE WHEN $3::boolean THEN
           (SELECT coalesce(
                       jsonb_agg(jsonb_build_array(
                           held.id,
                           coalesce(held.document ->> 'displayName', held.document ->> 'userName'))
                                 ORDER BY held.id), '[]')
            FROM directory.group_member
            JOIN directory.member AS held
              ON held.organisation_id = $1 AND held.id = group_member.member_id
            WHERE group_member.organisation_id = $1 AND group_member.group_id = found.id)
       ELSE '[]'::jsonb END AS related
FROM directory."group" AS found
WHERE found.organisation_id = $1 AND found.id = $2

-- name: search_members
-- One page of members, and how many match; one row with nulls where the page is empty.
-- Ordered by id: a UUIDv7, so in order of creation.
-- $1 organisation
-- $2 rows to skip
-- $3 rows to return
-- $4 whether groups are wanted
-- roles: ingress, owner
WITH page AS (
    SELECT found.id, found.user_name_key, found.external_id, found.status, found.restore_status,
           found.invitation_id, found.version, found.created, found.last_modified, found.document
    FROM directory.member AS found
    WHERE found.organisation_id = $1 AND /* condition */ true
    ORDER BY found.id
    OFFSET $2 LIMIT $3
)
SELECT (SELECT count(*)
        FROM directory.member AS found
        WHERE found.organisation_id = $1 AND /* condition */ true) AS total,
       page.id::text, page.user_name_key, page.external_id, page.status, page.restore_status,
       page.invitation_id::text, page.version::text, page.created, page.last_modified,
       page.document,
       CASE WHEN $4::boolean THEN
           (SELECT coalesce(
                       jsonb_agg(jsonb_build_array(held.id, held.document ->> 'displayName')
                                 ORDER BY held.id), '[]')
            FROM directory.group_member
            JOIN directory."group" AS held
              ON held.organisation_id = $1 AND held.id = group_member.group_id
            WHERE group_member.organisation_id = $1 AND group_member.member_id = page.id)
       ELSE '[]'::jsonb END AS related
FROM (SELECT) AS always
LEFT JOIN page ON true
ORDER BY page.id

-- name: search_groups
-- One page of groups, and how many match; one row with nulls where the page is empty.
-- $1 organisation
-- $2 rows to skip
-- $3 rows to return
-- $4 whether members are wanted
-- roles: ingress, owner
WITH page AS (
    SELECT found.id, found.display_name_key, found.unique_name_key, found.external_id,
           found.version, found.created, found.last_modified, found.document
    FROM directory."group" AS found
    WHERE found.organisation_id = $1 AND /* condition */ true
    ORDER BY found.id
    OFFSET $2 LIMIT $3
)
SELECT (SELECT count(*)
        FROM directory."group" AS found
        WHERE found.organisation_id = $1 AND /* condition */ true) AS total,
       page.id::text, page.display_name_key, page.unique_name_key, page.external_id,
       page.version::text, page.created, page.last_modified, page.document,
       CASE WHEN $4::boolean THEN
           (SELECT coalesce(
                       jsonb_agg(jsonb_build_array(
                           held.id,
                           coalesce(held.document ->> 'displayName', held.document ->> 'userName'))
                                 ORDER BY held.id), '[]')
            FROM directory.group_member
            JOIN directory.member AS held
              ON held.organisation_id = $1 AND held.id = group_member.member_id
            WHERE group_member.organisation_id = $1 AND group_member.group_id = page.id)
       ELSE '[]'::jsonb END AS related
FROM (SELECT) AS always
LEFT JOIN page ON true
ORDER BY page.id

-- name: count_members
-- Members of an organisation by status.
-- $1 organisation
-- roles: ingress, owner
SELECT status, count(*) AS number
FROM directory.member
WHERE organisation_id = $1
GROUP BY status
