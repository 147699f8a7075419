-- name: load_members
-- Members by id, with documents; and members that own one of the user names, without documents,
-- because only their names matter and a batch may name a thousand large ones.
-- $1 organisations, $2 ids: in pairs
-- $3 organisations, $4 user name keys: in pairs
-- roles: provisioner
WITH wanted AS (
    SELECT organisation_id, id, true AS is_whole
    FROM unnest($1::uuid[], $2::uuid[]) AS by_id (organisation_id, id)
    UNION ALL
    SELECT organisation_id, member.id, false
    FROM unnest($3::uuid[], $4::text[]) AS by_name (organisation_id, user_name_key)
    JOIN directory.member USING (organisation_id, user_name_key)
), once AS (
    SELECT organisation_id, id, bool_or(is_whole) AS is_whole
    FROM wanted
    GROUP BY organisation_id, id
)
SELECT organisation_id::text, member.id::text, member.user_name_key, member.external_id,
       member.status, member.restore_status, member.invitation_id::text, member.version::text,
       member.created, member.last_modified, member.kept_address,
       CASE WHEN once.is_whole THEN member.document END AS document
FROM once
JOIN directory.member USING (organisation_id, id)

-- name: load_members_of_external_ids
-- The ids of all members with these external ids, as one text per external id.
-- $1 organisations, $2 external ids: in pairs
-- roles: provisioner
SELECT found.organisation_id::text, found.external_id, string_agg(found.id::text, ',')
FROM unnest($1::uuid[], $2::text[]) AS wanted (organisation_id, external_id)
JOIN directory.member AS found
  ON found.organisation_id = wanted.organisation_id
 AND found.external_id COLLATE "C" = wanted.external_id
GROUP BY found.organisation_id, found.external_id

-- name: load_known_members
-- Which of these ids are members, as one text per organisation.
-- $1 organisations, $2 ids: in pairs, each column as one text (see `rows.joined`)
-- roles: provisioner
SELECT organisation_id::text, string_agg(member.id::text, ',')
FROM unnest(string_to_array($1, ',')::uuid[], string_to_array($2, ',')::uuid[])
    AS wanted (organisation_id, id)
JOIN directory.member USING (organisation_id, id)
GROUP BY organisation_id

-- name: load_groups
-- Groups by id, with documents; and groups that own one of the unique names, without documents.
-- $1 organisations, $2 ids: in pairs, each column as one text (see `rows.joined`)
-- $3 organisations, $4 display name keys: in pairs
-- roles: provisioner
WITH wanted AS (
    SELECT organisation_id, id, true AS is_whole
    FROM unnest(string_to_array($1, ',')::uuid[], string_to_array($2, ',')::uuid[])
        AS by_id (organisation_id, id)
    UNION ALL
    SELECT organisation_id, found.id, false
    FROM unnest($3::uuid[], $4::text[]) AS by_name (organisation_id, unique_name_key)
    JOIN directory."group" AS found USING (organisation_id, unique_name_key)
), once AS (
    SELECT organisation_id, id, bool_or(is_whole) AS is_whole
    FROM wanted
    GROUP BY organisation_id, id
)
SELECT organisation_id::text, found.id::text, found.display_name_key, found.unique_name_key,
       found.external_id, found.version::text, found.created, found.last_modified,
       CASE WHEN once.is_whole THEN found.document END AS document
FROM once
JOIN directory."group" AS found USING (organisation_id, id)

-- name: load_groups_of_external_ids
-- The ids of all groups with these external ids, as one text per external id.
-- $1 organisations, $2 external ids: in pairs
-- roles: provisioner
SELECT found.organisation_id::text, found.external_id, string_agg(found.id::text, ',')
FROM unnest($1::uuid[], $2::text[]) AS wanted (organisation_id, external_id)
JOIN directory."group" AS found
  ON found.organisation_id = wanted.organisation_id
 AND found.external_id COLLATE "C" = wanted.external_id
GROUP BY found.organisation_id, found.external_id

-- name: load_memberships
-- Which of these memberships exist, as one text per group.
-- $1 organisations, $2 groups, $3 members: in threes, each column as one text
-- roles: provisioner
SELECT organisation_id::text, group_id::text, string_agg(member_id::text, ',')
FROM unnest(
    string_to_array($1, ',')::uuid[],
    string_to_array($2, ',')::uuid[],
    string_to_array($3, ',')::uuid[]
) AS wanted (organisation_id, group_id, member_id)
JOIN directory.group_member USING (organisation_id, group_id, member_id)
GROUP BY organisation_id, group_id

-- name: load_members_of_groups
-- All members of these groups, as texts of 5,000 ids, read through a cursor: there may be many.
-- $1 organisations, $2 groups: in pairs
-- roles: provisioner
SELECT organisation_id::text, group_id::text, string_agg(member_id::text, ',')
FROM (
    SELECT organisation_id, group_id, group_member.member_id,
           (row_number() OVER () - 1) / 5000 AS chunk
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (organisation_id, group_id)
    JOIN directory.group_member USING (organisation_id, group_id)
) AS numbered
GROUP BY organisation_id, group_id, chunk

-- name: load_groups_of_members
-- All memberships of these members.
-- $1 organisations, $2 members: in pairs
-- roles: provisioner
SELECT organisation_id::text, group_member.group_id::text, member_id::text
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (organisation_id, member_id)
JOIN directory.group_member USING (organisation_id, member_id)
