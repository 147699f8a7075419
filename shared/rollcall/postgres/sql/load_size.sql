-- name: size_members
-- The bytes of members as JSON, and the number of groups of each, counted up to a million.
-- $1 organisations, $2 ids: in pairs
-- roles: provisioner, owner
SELECT organisation_id::text, wanted.id::text, octet_length(member.document::text),
       (SELECT count(*) FROM (
           SELECT FROM directory.group_member AS of_member
           WHERE of_member.organisation_id = wanted.organisation_id
             AND of_member.member_id = wanted.id
           LIMIT 1000000) AS counted)
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (organisation_id, id)
LEFT JOIN directory.member USING (organisation_id, id)

-- name: size_groups
-- The bytes of groups as JSON, without their members.
-- $1 organisations, $2 ids: in pairs
-- roles: provisioner, owner
SELECT organisation_id::text, id::text, octet_length(found.document::text)
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (organisation_id, id)
JOIN directory."group" AS found USING (organisation_id, id)

-- name: size_whole_groups
-- The number of members of groups, counted up to a million.
-- $1 organisations, $2 groups: in pairs
-- roles: provisioner, owner
SELECT organisation_id::text, wanted.group_id::text,
       (SELECT count(*) FROM (
           SELECT FROM directory.group_member AS of_group
           WHERE of_group.organisation_id = wanted.organisation_id
             AND of_group.group_id = wanted.group_id
           LIMIT 1000000) AS counted)
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (organisation_id, group_id)

-- name: size_held
-- The bytes of the dead and parked events of these resources.
-- $1 organisations, $2 endpoints, $3 resources: in threes
-- roles: provisioner, owner
SELECT organisation_id::text, endpoint, resource_id::text, sum(octet_length(value))::bigint
FROM (
    SELECT organisation_id, endpoint, resource_id, dead_letter.value
    FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS w (organisation_id, endpoint, resource_id)
    JOIN directory.dead_letter USING (organisation_id, endpoint, resource_id)
    WHERE dead_letter.state = 'dead'
    UNION ALL
    SELECT organisation_id, endpoint, resource_id, parked.value
    FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS w (organisation_id, endpoint, resource_id)
    JOIN directory.parked USING (organisation_id, endpoint, resource_id)
    WHERE NOT parked.by_organisation
) AS held
GROUP BY organisation_id, endpoint, resource_id
