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
-- Delete the dead letters about these members, in whatever state they are.
-- $1 organisations, $2 members: in pairs
-- roles: provisioner
DELETE FROM directory.dead_letter
USING unnest($1::uuid[], $2::uuid[]) AS gone (organisation_id, id)
WHERE dead_letter.organisation_id = gone.organisation_id
  AND dead_letter.endpoint = 'Users' AND dead_letter.resource_id = gone.id

-- name: erase_parked
-- Delete what is parked behind them.
-- $1 organisations, $2 members: in pairs
-- roles: provisioner
DELETE FROM directory.parked
USING unnest($1::uuid[], $2::uuid[]) AS gone (organisation_id, id)
WHERE parked.organisation_id = gone.organisation_id
  AND parked.endpoint = 'Users' AND parked.resource_id = gone.id

-- name: delete_memberships_of_organisation
-- Delete all memberships of an organisation.
-- $1 organisation
-- roles: provisioner
DELETE FROM directory.group_member WHERE organisation_id = $1

-- name: delete_groups_of_organisation
-- Delete all its groups.
-- $1 organisation
-- roles: provisioner
DELETE FROM directory."group" WHERE organisation_id = $1

-- name: delete_members_of_organisation
-- Delete all its members.
-- $1 organisation
-- roles: provisioner
DELETE FROM directory.member WHERE organisation_id = $1

-- name: delete_parked_of_organisation
-- Delete all that is parked of it.
-- $1 organisation
-- roles: provisioner
DELETE FROM directory.parked WHERE organisation_id = $1

-- name: delete_letters_of_organisation
-- Delete all its dead letters, in whatever state they are.
-- $1 organisation
-- roles: provisioner
DELETE FROM directory.dead_letter WHERE organisation_id = $1

-- name: note_departed
-- Note that an organisation has left; the first event that says so holds.
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

-- name: allow_long_statements
-- Until the end of the transaction a statement may take as long as this; where it may take longer
-- already (0: for ever), it still may.
-- $1 milliseconds
-- roles: provisioner, owner
SELECT set_config('statement_timeout', greatest(setting::bigint, $1::bigint)::text, true)
FROM pg_settings
WHERE name = 'statement_timeout' AND setting::bigint > 0
