-- name: members_after
-- A page of an organisation's members, ordered by user name.
-- $1 organisation
-- $2 status, or null for any
-- $3 user name key: begin after this one
-- $4 rows
-- roles: owner
SELECT organisation_id::text, id::text, user_name_key, external_id, status, restore_status,
       invitation_id::text, version::text, created, last_modified, document, kept_address
FROM directory.member
WHERE organisation_id = $1 AND ($2::text IS NULL OR status = $2) AND user_name_key > $3
ORDER BY user_name_key
LIMIT $4

-- name: members_named
-- The members of some organisations that match an id, a user name, an address or an external id.
-- $1 organisations
-- $2 id, or null
-- $3 user name key
-- $4 key of the address
-- $5 external id
-- $6 rows
-- roles: owner
SELECT member.organisation_id::text, id::text, user_name_key, external_id, status, restore_status,
       invitation_id::text, version::text, created, last_modified, document, kept_address
FROM unnest($1::uuid[]) AS asked(organisation_id)
JOIN directory.member ON member.organisation_id = asked.organisation_id
WHERE member.id = $2::uuid OR member.user_name_key = $3
   OR member.email_keys @> ARRAY[$4::text] OR member.external_id = $5
ORDER BY member.organisation_id, user_name_key
LIMIT $6

-- name: counts_of
-- The numbers of an organisation's groups, dead letters and parked events.
-- $1 organisation
-- roles: owner
SELECT (SELECT count(*) FROM directory."group" WHERE organisation_id = $1) AS groups,
       (SELECT count(*) FROM directory.dead_letter
        WHERE organisation_id = $1 AND state = 'dead') AS dead_letters,
       (SELECT count(*) FROM directory.parked WHERE organisation_id = $1) AS parked
