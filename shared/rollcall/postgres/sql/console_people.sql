-- piece: shown_person
-- What a list shows of a member.
id::text, user_name_key, status, external_id, created, last_modified, document

-- name: members_after
-- A page of an organisation's members by user name.
-- $1 organisation, $2 status or null, $3 user name key to begin after, $4 rows
-- roles: console
SELECT /* piece: shown_person */
FROM directory.member
WHERE organisation_id = $1 AND ($2::text IS NULL OR status = $2) AND user_name_key > $3
ORDER BY user_name_key
LIMIT $4

-- name: members_waiting
-- Members whose invitation is open since a while, the longest first.
-- $1 organisation, $2 invited before, $3 invitation to begin after, $4 rows
-- roles: console
SELECT /* piece: shown_person */, invitation_id::text
FROM directory.member
WHERE organisation_id = $1 AND status = 'invited'
  AND invitation_id < audit.first_id($2) AND invitation_id > $3
ORDER BY invitation_id
LIMIT $4

-- name: members_found
-- Members whose id, address or external id is this, or whose user name or display name begins so.
-- $1 organisation, $2 id or null, $3 beginning in lower case, $4 its upper bound, $5 address key,
-- $6 external id, $7 rows
-- roles: console
WITH matching AS (
    SELECT id FROM directory.member WHERE organisation_id = $1 AND id = $2::uuid
    UNION
    (SELECT id FROM directory.member
     WHERE organisation_id = $1 AND user_name_key >= $3 AND user_name_key < $4
       AND starts_with(user_name_key, $3)
     LIMIT $7)
    UNION
    (SELECT id FROM directory.member
     WHERE organisation_id = $1 AND left(display_name_key, 256) >= $3
       AND left(display_name_key, 256) < $4 AND starts_with(display_name_key, $3)
     LIMIT $7)
    UNION
    (SELECT id FROM directory.member
     WHERE organisation_id = $1 AND email_keys @> ARRAY[$5::text]
     LIMIT $7)
    UNION
    (SELECT id FROM directory.member WHERE organisation_id = $1 AND external_id = $6 LIMIT $7)
)
SELECT /* piece: shown_person */
FROM directory.member
WHERE organisation_id = $1 AND id IN (SELECT id FROM matching)
ORDER BY user_name_key
LIMIT $7

-- name: count_resources
-- How many members and groups an organisation has, by the counts that the database keeps.
-- $1 organisation
-- roles: console
SELECT resource_type, number FROM directory.resource_count WHERE organisation_id = $1

-- name: person
-- One member.
-- $1 organisation, $2 id
-- roles: console
SELECT /* piece: shown_person */ FROM directory.member WHERE organisation_id = $1 AND id = $2

-- name: groups_of_member
-- The groups of a member by name.
-- $1 organisation, $2 member, $3 rows
-- roles: console
SELECT held.id::text, held.document ->> 'displayName' AS name
FROM directory.group_member
JOIN directory."group" AS held
  ON held.organisation_id = $1 AND held.id = group_member.group_id
WHERE group_member.organisation_id = $1 AND group_member.member_id = $2
ORDER BY held.display_name_key, held.id
LIMIT $3

-- name: mails_of_member
-- The notices to a member, latest first.
-- $1 organisation, $2 member, $3 rows
-- roles: console
SELECT kind, state, reason, due_at, sent_at
FROM notice.notification
WHERE organisation_id = $1 AND member_id = $2
ORDER BY due_at DESC, event_id DESC
LIMIT $3

-- name: groups_after
-- A page of an organisation's groups by name, and how many members each has, $5 at most.
-- $1 organisation, $2 name key and $3 id to begin after, $4 rows, $5 members to count
-- roles: console
SELECT id::text, display_name_key, external_id, last_modified, document ->> 'displayName' AS name,
       (SELECT count(*) FROM (
            SELECT FROM directory.group_member
            WHERE group_member.organisation_id = $1 AND group_member.group_id = page.id
            LIMIT $5) AS counted) AS members
FROM (
    SELECT id, display_name_key, external_id, last_modified, document
    FROM directory."group"
    WHERE organisation_id = $1
      AND (left(display_name_key, 256), id) > (left($2::text, 256), $3::uuid)
    ORDER BY left(display_name_key, 256), id
    LIMIT $4) AS page
ORDER BY left(display_name_key, 256), id

-- name: groups_found
-- Groups whose name begins so.
-- $1 organisation, $2 beginning in lower case, $3 its upper bound, $4 rows, $5 members to count
-- roles: console
SELECT id::text, display_name_key, external_id, last_modified, document ->> 'displayName' AS name,
       (SELECT count(*) FROM (
            SELECT FROM directory.group_member
            WHERE group_member.organisation_id = $1 AND group_member.group_id = page.id
            LIMIT $5) AS counted) AS members
FROM (
    SELECT id, display_name_key, external_id, last_modified, document
    FROM directory."group"
    WHERE organisation_id = $1 AND left(display_name_key, 256) >= $2
      AND left(display_name_key, 256) < $3 AND starts_with(display_name_key, $2)
    ORDER BY left(display_name_key, 256), id
    LIMIT $4) AS page
ORDER BY left(display_name_key, 256), id

-- name: one_group
-- A group, and how many members it has, $3 at most.
-- $1 organisation, $2 id, $3 members to count
-- roles: console
SELECT id::text, display_name_key, external_id, last_modified, document ->> 'displayName' AS name,
       (SELECT count(*) FROM (
            SELECT FROM directory.group_member
            WHERE group_member.organisation_id = $1 AND group_member.group_id = $2
            LIMIT $3) AS counted) AS members
FROM directory."group"
WHERE organisation_id = $1 AND id = $2

-- name: members_of_group
-- A page of a group's members in the order of their ids.
-- $1 organisation, $2 group, $3 member to begin after, $4 rows
-- roles: console
SELECT member.id::text, user_name_key, status, external_id, created, last_modified, document
FROM (
    SELECT member_id FROM directory.group_member
    WHERE organisation_id = $1 AND group_id = $2 AND member_id > $3
    ORDER BY member_id
    LIMIT $4) AS page
JOIN directory.member ON member.organisation_id = $1 AND member.id = page.member_id
ORDER BY member.id

-- name: names_of
-- What members and groups are called.
-- $1 organisation, $2 ids
-- roles: console
SELECT id::text, document FROM directory.member
WHERE organisation_id = $1 AND id = ANY ($2::uuid[])
UNION ALL
SELECT id::text, document FROM directory."group"
WHERE organisation_id = $1 AND id = ANY ($2::uuid[])
