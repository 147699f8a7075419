-- name: delete_memberships
-- Delete these memberships.
-- $1 organisations, $2 groups, $3 members: in threes
-- roles: provisioner
DELETE FROM directory.group_member
USING unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS gone (organisation_id, group_id, member_id)
WHERE group_member.organisation_id = gone.organisation_id
  AND group_member.group_id = gone.group_id
  AND group_member.member_id = gone.member_id

-- name: delete_memberships_of_groups
-- Delete all memberships of these groups.
-- $1 organisations, $2 groups: in pairs
-- roles: provisioner
DELETE FROM directory.group_member
USING unnest($1::uuid[], $2::uuid[]) AS gone (organisation_id, group_id)
WHERE group_member.organisation_id = gone.organisation_id
  AND group_member.group_id = gone.group_id

-- name: delete_memberships_of_members
-- Delete all memberships of these members.
-- $1 organisations, $2 members: in pairs
-- roles: provisioner
DELETE FROM directory.group_member
USING unnest($1::uuid[], $2::uuid[]) AS gone (organisation_id, member_id)
WHERE group_member.organisation_id = gone.organisation_id
  AND group_member.member_id = gone.member_id

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
-- $12 e-mail keys joined by U+001E, $13 documents
-- roles: provisioner
INSERT INTO directory.member AS present (
    organisation_id, id, user_name_key, external_id, status, restore_status, invitation_id,
    version, created, last_modified, display_name_key, email_keys, document)
SELECT organisation_id, id, user_name_key, external_id, status, restore_status, invitation_id,
       version, created, last_modified, display_name_key, string_to_array(email_keys, E'\x1e'),
       document
FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[],
    $8::uuid[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::jsonb[]
) AS given (
    organisation_id, id, user_name_key, external_id, status, restore_status, invitation_id,
    version, created, last_modified, display_name_key, email_keys, document)
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
    document = excluded.document

-- name: upsert_groups
-- Insert groups, or make their rows equal to these; memberships stay.
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
-- Insert memberships that are not there yet.
-- $1 organisations, $2 groups, $3 members: in threes
-- roles: provisioner
INSERT INTO directory.group_member (organisation_id, group_id, member_id)
SELECT organisation_id, group_id, member_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS given (organisation_id, group_id, member_id)
ON CONFLICT (organisation_id, group_id, member_id) DO NOTHING
