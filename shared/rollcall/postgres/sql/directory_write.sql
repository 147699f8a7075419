-- name: delete_memberships
-- Delete these memberships.
-- $1 organisations, $2 groups, $3 members: in threes, each column as one text (see `rows.joined`)
-- roles: provisioner
DELETE FROM directory.group_member
USING unnest(
    string_to_array($1, ',')::uuid[],
    string_to_array($2, ',')::uuid[],
    string_to_array($3, ',')::uuid[]
) AS gone (organisation_id, group_id, member_id)
WHERE group_member.organisation_id = gone.organisation_id
  AND group_member.group_id = gone.group_id
  AND group_member.member_id = gone.member_id

-- name: delete_memberships_of_groups
-- Delete memberships of these groups, at most $3 of each, in order; returns the last one of each
-- group that had as many.
-- $1 organisations, $2 groups: in pairs
-- $3 at most this many of each
-- roles: provisioner
WITH part AS (
    SELECT wanted.organisation_id, wanted.group_id, found.member_id
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (organisation_id, group_id)
    CROSS JOIN LATERAL (
        SELECT of_group.member_id
        FROM directory.group_member AS of_group
        WHERE of_group.organisation_id = wanted.organisation_id
          AND of_group.group_id = wanted.group_id
        ORDER BY of_group.member_id
        LIMIT $3) AS found
), gone AS (
    DELETE FROM directory.group_member
    USING part
    WHERE group_member.organisation_id = part.organisation_id
      AND group_member.group_id = part.group_id
      AND group_member.member_id = part.member_id
)
SELECT organisation_id::text, group_id::text, (array_agg(member_id ORDER BY member_id DESC))[1]::text
FROM part
GROUP BY organisation_id, group_id
HAVING count(*) >= $3

-- name: delete_more_memberships_of_group
-- Delete memberships of one group after a member, in order; returns the last one. It starts after a
-- key because the index still holds what this transaction deleted and would read it again.
-- $1 organisation
-- $2 group
-- $3 member: begin after this one
-- $4 at most this many
-- roles: provisioner
WITH part AS (
    SELECT member_id
    FROM directory.group_member
    WHERE organisation_id = $1 AND group_id = $2 AND member_id > $3
    ORDER BY member_id
    LIMIT $4
), gone AS (
    DELETE FROM directory.group_member
    USING part
    WHERE organisation_id = $1 AND group_id = $2 AND group_member.member_id = part.member_id
)
SELECT (SELECT part.member_id::text FROM part ORDER BY part.member_id DESC LIMIT 1) AS last,
       (SELECT count(*) FROM part) AS number

-- name: delete_memberships_of_members
-- Delete memberships of these members, at most $3 of each, in order; returns the last one of each
-- member that had as many.
-- $1 organisations, $2 members: in pairs
-- $3 at most this many of each
-- roles: provisioner
WITH part AS (
    SELECT wanted.organisation_id, found.group_id, wanted.member_id
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (organisation_id, member_id)
    CROSS JOIN LATERAL (
        SELECT of_member.group_id
        FROM directory.group_member AS of_member
        WHERE of_member.organisation_id = wanted.organisation_id
          AND of_member.member_id = wanted.member_id
        ORDER BY of_member.group_id
        LIMIT $3) AS found
), gone AS (
    DELETE FROM directory.group_member
    USING part
    WHERE group_member.organisation_id = part.organisation_id
      AND group_member.group_id = part.group_id
      AND group_member.member_id = part.member_id
)
SELECT organisation_id::text, member_id::text, (array_agg(group_id ORDER BY group_id DESC))[1]::text
FROM part
GROUP BY organisation_id, member_id
HAVING count(*) >= $3

-- name: delete_more_memberships_of_member
-- Delete memberships of one member after a group, in order; returns the last one.
-- $1 organisation
-- $2 member
-- $3 group: begin after this one
-- $4 at most this many
-- roles: provisioner
WITH part AS (
    SELECT group_id
    FROM directory.group_member
    WHERE organisation_id = $1 AND member_id = $2 AND group_id > $3
    ORDER BY group_id
    LIMIT $4
), gone AS (
    DELETE FROM directory.group_member
    USING part
    WHERE organisation_id = $1 AND member_id = $2 AND group_member.group_id = part.group_id
)
SELECT (SELECT part.group_id::text FROM part ORDER BY part.group_id DESC LIMIT 1) AS last,
       (SELECT count(*) FROM part) AS number

-- name: delete_groups
-- Delete these groups.
-- $1 organisations, $2 ids: in pairs
-- roles: provisioner
DELETE FROM directory."group" AS present
USING unnest($1::uuid[], $2::uuid[]) AS gone (organisation_id, id)
WHERE present.organisation_id = gone.organisation_id
  AND present.id = gone.id

-- name: delete_members
-- Delete these members.
-- $1 organisations, $2 ids: in pairs
-- roles: provisioner
DELETE FROM directory.member AS present
USING unnest($1::uuid[], $2::uuid[]) AS gone (organisation_id, id)
WHERE present.organisation_id = gone.organisation_id
  AND present.id = gone.id

-- name: upsert_members
-- Insert members, or make their rows equal to these.
-- $1 organisations, $2 ids, $3 user name keys, $4 external ids, $5 status, $6 restore status,
-- $7 invitation ids, $8 versions, $9 created, $10 last modified, $11 display name keys,
-- $12 e-mail keys joined by U+001E, $13 kept addresses, $14 documents
-- roles: provisioner
INSERT INTO directory.member AS present (
    organisation_id, id, user_name_key, external_id, status, restore_status, invitation_id,
    version, created, last_modified, display_name_key, email_keys, kept_address, document)
SELECT organisation_id, id, user_name_key, external_id, status, restore_status, invitation_id,
       version, created, last_modified, display_name_key, string_to_array(email_keys, E'\x1e'),
       kept_address, document
FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[],
    $8::uuid[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::text[],
    $14::jsonb[]
) AS given (
    organisation_id, id, user_name_key, external_id, status, restore_status, invitation_id,
    version, created, last_modified, display_name_key, email_keys, kept_address, document)
ON CONFLICT (organisation_id, id) DO UPDATE SET
    user_name_key = excluded.user_name_key,
    external_id = excluded.external_id,
    status = excluded.status,
    restore_status = excluded.restore_status,
    invitation_id = excluded.invitation_id,
    version = excluded.version,
    created = excluded.created,
    last_modified = excluded.last_modified,
    display_name_key = excluded.display_name_key,
    email_keys = excluded.email_keys,
    document = excluded.document,
    kept_address = excluded.kept_address

-- name: upsert_groups
-- Insert groups, or make their rows equal to these; memberships do not change.
-- $1 organisations, $2 ids, $3 display name keys, $4 unique name keys, $5 external ids,
-- $6 versions, $7 created, $8 last modified, $9 documents
-- roles: provisioner
INSERT INTO directory."group" AS present (
    organisation_id, id, display_name_key, unique_name_key, external_id,
    version, created, last_modified, document)
SELECT organisation_id, id, display_name_key, unique_name_key, external_id,
       version, created, last_modified, document
FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[],
    $6::uuid[], $7::timestamptz[], $8::timestamptz[], $9::jsonb[]
) AS given (
    organisation_id, id, display_name_key, unique_name_key, external_id,
    version, created, last_modified, document)
ON CONFLICT (organisation_id, id) DO UPDATE SET
    display_name_key = excluded.display_name_key,
    unique_name_key = excluded.unique_name_key,
    external_id = excluded.external_id,
    version = excluded.version,
    created = excluded.created,
    last_modified = excluded.last_modified,
    document = excluded.document

-- name: insert_memberships
-- Insert those memberships that do not exist yet.
-- $1 organisations, $2 groups, $3 members: in threes, each column as one text
-- roles: provisioner
INSERT INTO directory.group_member (organisation_id, group_id, member_id)
SELECT organisation_id, group_id, member_id
FROM unnest(
    string_to_array($1, ',')::uuid[],
    string_to_array($2, ',')::uuid[],
    string_to_array($3, ',')::uuid[]
) AS given (organisation_id, group_id, member_id)
ON CONFLICT (organisation_id, group_id, member_id) DO NOTHING

-- name: erase_letters
-- Delete some dead letters about these members, in any state; returns how many.
-- $1 organisations, $2 members: in pairs
-- $3 at most this many
-- roles: provisioner
WITH gone AS (
    DELETE FROM directory.dead_letter
    WHERE ctid = ANY (ARRAY(
        SELECT found.ctid
        FROM unnest($1::uuid[], $2::uuid[]) AS erased (organisation_id, resource_id)
        JOIN directory.dead_letter AS found USING (organisation_id, resource_id)
        WHERE found.endpoint = 'Users'
        LIMIT $3))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: erase_parked
-- Delete some of the parked events about these members; returns how many.
-- $1 organisations, $2 members: in pairs
-- $3 at most this many
-- roles: provisioner
WITH gone AS (
    DELETE FROM directory.parked
    WHERE id = ANY (ARRAY(
        SELECT found.id
        FROM unnest($1::uuid[], $2::uuid[]) AS erased (organisation_id, resource_id)
        JOIN directory.parked AS found USING (organisation_id, resource_id)
        WHERE found.endpoint = 'Users'
        LIMIT $3))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: delete_memberships_of_organisation
-- Delete memberships of an organisation after a pair, in order; returns the last one.
-- $1 organisation
-- $2 group, $3 member: begin after these
-- $4 at most this many
-- roles: provisioner
WITH part AS (
    SELECT group_id, member_id
    FROM directory.group_member
    WHERE organisation_id = $1 AND (group_id, member_id) > ($2, $3)
    ORDER BY group_id, member_id
    LIMIT $4
), gone AS (
    DELETE FROM directory.group_member
    USING part
    WHERE organisation_id = $1 AND group_member.group_id = part.group_id
      AND group_member.member_id = part.member_id
), last AS (
    SELECT group_id, member_id FROM part ORDER BY group_id DESC, member_id DESC LIMIT 1
)
SELECT (SELECT last.group_id::text FROM last) AS last_group,
       (SELECT last.member_id::text FROM last) AS last,
       (SELECT count(*) FROM part) AS number

-- name: delete_groups_of_organisation
-- Delete groups of an organisation after one, in order; returns the last one.
-- $1 organisation
-- $2 group: begin after this one
-- $3 at most this many
-- roles: provisioner
WITH part AS (
    SELECT id
    FROM directory."group"
    WHERE organisation_id = $1 AND id > $2
    ORDER BY id
    LIMIT $3
), gone AS (
    DELETE FROM directory."group" AS present
    USING part
    WHERE organisation_id = $1 AND present.id = part.id
)
SELECT (SELECT part.id::text FROM part ORDER BY part.id DESC LIMIT 1) AS last,
       (SELECT count(*) FROM part) AS number

-- name: delete_members_of_organisation
-- Delete members of an organisation after one, in order; returns the last one.
-- $1 organisation
-- $2 member: begin after this one
-- $3 at most this many
-- roles: provisioner
WITH part AS (
    SELECT id
    FROM directory.member
    WHERE organisation_id = $1 AND id > $2
    ORDER BY id
    LIMIT $3
), gone AS (
    DELETE FROM directory.member AS present
    USING part
    WHERE organisation_id = $1 AND present.id = part.id
)
SELECT (SELECT part.id::text FROM part ORDER BY part.id DESC LIMIT 1) AS last,
       (SELECT count(*) FROM part) AS number

-- name: delete_parked_of_organisation
-- Delete some of an organisation's parked events; returns how many.
-- $1 organisation
-- $2 at most this many
-- roles: provisioner
WITH gone AS (
    DELETE FROM directory.parked
    WHERE id = ANY (ARRAY(SELECT id FROM directory.parked WHERE organisation_id = $1 LIMIT $2))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: delete_letters_of_organisation
-- Delete some of an organisation's dead letters, in any state; returns how many.
-- $1 organisation
-- $2 at most this many
-- roles: provisioner
WITH gone AS (
    DELETE FROM directory.dead_letter
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM directory.dead_letter WHERE organisation_id = $1 LIMIT $2))
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: note_departed
-- Note that an organisation has left; the first event that says so is kept.
-- $1 organisation
-- $2 event id
-- $3 time of the event
-- roles: provisioner
INSERT INTO directory.departed (organisation_id, event_id, departed)
VALUES ($1, $2, $3)
ON CONFLICT (organisation_id) DO NOTHING

-- name: find_departed
-- Which of these organisations have left.
-- $1 organisations
-- roles: provisioner
SELECT organisation_id::text FROM directory.departed WHERE organisation_id = ANY ($1::uuid[])

-- name: free_left_organisation
-- An organisation that has left is no longer parked.
-- $1 organisation
-- roles: provisioner
DELETE FROM directory.parked_organisation WHERE organisation_id = $1
