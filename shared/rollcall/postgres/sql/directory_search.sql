-- name: find_member
-- A member by id, without groups.
-- $1 organisation
-- $2 id
-- roles: ingress, notifier, owner
SELECT found.id::text, found.user_name_key, found.external_id, found.status, found.restore_status,
       found.invitation_id::text, found.version::text, found.created, found.last_modified,
       found.document, found.kept_address, '[]'::jsonb AS related
FROM directory.member AS found
WHERE found.organisation_id = $1 AND found.id = $2

-- name: find_member_with_groups
-- A member by id, with [id, display] of each group.
-- $1 organisation
-- $2 id
-- roles: ingress, owner
SELECT found.id::text, found.user_name_key, found.external_id, found.status, found.restore_status,
       found.invitation_id::text, found.version::text, found.created, found.last_modified,
       found.document, found.kept_address,
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
-- A group by id; on request with [id, display] of each member, in JSON lists of 5,000.
-- $1 organisation
-- $2 id
-- $3 whether members are wanted
-- roles: ingress, owner
SELECT found.id::text, found.display_name_key, found.unique_name_key, found.external_id,
       found.version::text, found.created, found.last_modified, found.document,
       CASE WHEN $3::boolean THEN ARRAY(
           SELECT jsonb_agg(jsonb_build_array(id, display) ORDER BY id)::text
           FROM (
               SELECT held.id, held.document ->> 'displayName' AS display,
                      (row_number() OVER (ORDER BY held.id) - 1) / 5000 AS piece
               FROM directory.group_member
               JOIN directory.member AS held
                 ON held.organisation_id = $1 AND held.id = group_member.member_id
               WHERE group_member.organisation_id = $1 AND group_member.group_id = found.id
           ) AS numbered
           GROUP BY piece
           ORDER BY piece)
       ELSE '{}'::text[] END AS related
FROM directory."group" AS found
WHERE found.organisation_id = $1 AND found.id = $2

-- piece: shown_members
-- What follows `page` (its `ids` and `total`) in both queries of members below: how far the page
-- goes before documents and memberships reach $5, and its rows.
shown AS (
    SELECT 0 AS place, 0::bigint AS bytes
    UNION ALL
    SELECT shown.place + 1,
           shown.bytes
           + coalesce((SELECT CASE WHEN pg_column_compression(found.document) IS NULL
                                   THEN pg_column_size(found.document)
                                   ELSE octet_length(found.document::text) END
                       FROM directory.member AS found
                       WHERE found.organisation_id = $1
                         AND found.id = page.ids[shown.place + 1]), 0)
           + CASE WHEN $4::boolean THEN 256 * (
                 SELECT count(*) FROM (
                     SELECT FROM directory.group_member
                     WHERE group_member.organisation_id = $1
                       AND group_member.member_id = page.ids[shown.place + 1]
                     LIMIT $5::bigint / 256 + 1) AS counted)
             ELSE 0 END
    FROM shown CROSS JOIN page
    WHERE shown.place < cardinality(page.ids) AND shown.bytes < $5::bigint
)
SELECT page.total, found.id::text, found.user_name_key, found.external_id, found.status,
       found.restore_status, found.invitation_id::text, found.version::text, found.created,
       found.last_modified, found.document, found.kept_address,
       CASE WHEN $4::boolean AND found.id IS NOT NULL THEN
           (SELECT coalesce(
                       jsonb_agg(jsonb_build_array(
                           held.id, held.document ->> 'displayName')
                                 ORDER BY held.id), '[]')
            FROM directory.group_member
            JOIN directory."group" AS held
              ON held.organisation_id = $1 AND held.id = group_member.group_id
            WHERE group_member.organisation_id = $1 AND group_member.member_id = found.id)
       ELSE '[]'::jsonb END AS related
FROM shown CROSS JOIN page
LEFT JOIN LATERAL (
    SELECT one.id, one.user_name_key, one.external_id, one.status, one.restore_status,
           one.invitation_id, one.version, one.created, one.last_modified, one.document,
           one.kept_address
    FROM directory.member AS one
    WHERE one.organisation_id = $1 AND one.id = page.ids[shown.place] LIMIT 1
) AS found ON true
ORDER BY shown.place

-- name: list_members
-- One page of all members, and how many there are, by the count that the database keeps.
-- Row 0 has the total and nulls. Documents are read only of those that are shown: the page ends
-- early once documents and memberships reach $5.
-- $1 organisation
-- $2 rows to skip
-- $3 rows to return
-- $4 whether groups are wanted
-- $5 bytes after which no further row begins; a membership counts as 256
-- roles: ingress, owner
WITH RECURSIVE page AS MATERIALIZED (
    SELECT ARRAY(SELECT found.id FROM directory.member AS found
                 WHERE found.organisation_id = $1
                 ORDER BY /* order */ found.id
                 OFFSET $2 LIMIT $3) AS ids,
           coalesce((SELECT resource_count.number FROM directory.resource_count
                     WHERE resource_count.organisation_id = $1
                       AND resource_count.resource_type = 'User'), 0) AS total
), /* piece: shown_members */

-- name: search_members
-- One page of the matching members, and their total number: found once, then ordered.
-- Row 0 has the total and nulls. Only documents on the page are read; the page ends early once
-- documents and memberships reach $5.
-- $1 organisation
-- $2 rows to skip
-- $3 rows to return
-- $4 whether groups are wanted
-- $5 bytes after which no further row is begun; a membership counts as 256
-- roles: ingress, owner
WITH RECURSIVE matching AS MATERIALIZED (
    SELECT found.id, /* sort key */ NULL::text AS sort_key
    FROM directory.member AS found
    WHERE found.organisation_id = $1 AND /* condition */ true
), page AS MATERIALIZED (
    SELECT ARRAY(SELECT matching.id FROM matching
                 ORDER BY /* order */ matching.sort_key, matching.id
                 OFFSET $2 LIMIT $3) AS ids,
           (SELECT count(*) FROM matching) AS total
), /* piece: shown_members */

-- piece: shown_groups
-- What follows `page` (its `ids` and `total`) in both queries of groups below: how far the page
-- goes before documents and memberships reach $5, and its rows.
shown AS (
    SELECT 0 AS place, 0::bigint AS bytes
    UNION ALL
    SELECT shown.place + 1,
           shown.bytes
           + coalesce((SELECT CASE WHEN pg_column_compression(found.document) IS NULL
                                   THEN pg_column_size(found.document)
                                   ELSE octet_length(found.document::text) END
                       FROM directory."group" AS found
                       WHERE found.organisation_id = $1
                         AND found.id = page.ids[shown.place + 1]), 0)
           + CASE WHEN $4::boolean THEN 256 * (
                 SELECT count(*) FROM (
                     SELECT FROM directory.group_member
                     WHERE group_member.organisation_id = $1
                       AND group_member.group_id = page.ids[shown.place + 1]
                     LIMIT $5::bigint / 256 + 1) AS counted)
             ELSE 0 END
    FROM shown CROSS JOIN page
    WHERE shown.place < cardinality(page.ids) AND shown.bytes < $5::bigint
)
SELECT page.total, found.id::text, found.display_name_key, found.unique_name_key, found.external_id,
       found.version::text, found.created, found.last_modified, found.document,
       CASE WHEN $4::boolean AND found.id IS NOT NULL THEN
           (SELECT coalesce(
                       jsonb_agg(jsonb_build_array(
                           held.id, held.document ->> 'displayName')
                                 ORDER BY held.id), '[]')
            FROM directory.group_member
            JOIN directory.member AS held
              ON held.organisation_id = $1 AND held.id = group_member.member_id
            WHERE group_member.organisation_id = $1 AND group_member.group_id = found.id)
       ELSE '[]'::jsonb END AS related
FROM shown CROSS JOIN page
LEFT JOIN LATERAL (
    SELECT one.id, one.display_name_key, one.unique_name_key, one.external_id, one.version,
           one.created, one.last_modified, one.document
    FROM directory."group" AS one
    WHERE one.organisation_id = $1 AND one.id = page.ids[shown.place] LIMIT 1
) AS found ON true
ORDER BY shown.place

-- name: list_groups
-- One page of all groups, and their total number, which the database maintains.
-- Row 0 has the total and nulls. Only documents on the page are read; the page ends early once
-- documents and memberships reach $5.
-- $1 organisation
-- $2 rows to skip
-- $3 rows to return
-- $4 whether members are wanted
-- $5 bytes after which no further row is begun; a membership counts as 256
-- roles: ingress, owner
WITH RECURSIVE page AS MATERIALIZED (
    SELECT ARRAY(SELECT found.id FROM directory."group" AS found
                 WHERE found.organisation_id = $1
                 ORDER BY /* order */ found.id
                 OFFSET $2 LIMIT $3) AS ids,
           coalesce((SELECT resource_count.number FROM directory.resource_count
                     WHERE resource_count.organisation_id = $1
                       AND resource_count.resource_type = 'Group'), 0) AS total
), /* piece: shown_groups */

-- name: search_groups
-- One page of the matching groups, and their total number: found once, then ordered.
-- Row 0 has the total and nulls. Only documents on the page are read; the page ends early once
-- documents and memberships reach $5.
-- $1 organisation
-- $2 rows to skip
-- $3 rows to return
-- $4 whether members are wanted
-- $5 bytes after which no further row is begun; a membership counts as 256
-- roles: ingress, owner
WITH RECURSIVE matching AS MATERIALIZED (
    SELECT found.id, /* sort key */ NULL::text AS sort_key
    FROM directory."group" AS found
    WHERE found.organisation_id = $1 AND /* condition */ true
), page AS MATERIALIZED (
    SELECT ARRAY(SELECT matching.id FROM matching
                 ORDER BY /* order */ matching.sort_key, matching.id
                 OFFSET $2 LIMIT $3) AS ids,
           (SELECT count(*) FROM matching) AS total
), /* piece: shown_groups */

-- name: count_members
-- Members of an organisation by status.
-- $1 organisation
-- roles: ingress, owner
SELECT status, count(*) AS number
FROM directory.member
WHERE organisation_id = $1
GROUP BY status
