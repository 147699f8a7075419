-- name: key_uses
-- When keys were last used, to a minute.
-- $1 public ids
-- roles: console
SELECT public_id, last_used FROM tenancy.key_use WHERE public_id = ANY ($1::text[])

-- name: note_contacts
-- Keep the minutes in which keys were used lately.
-- roles: console
INSERT INTO console.key_contact (organisation_id, public_id, at)
SELECT api_key.organisation_id, key_use.public_id, date_trunc('minute', last_used)
FROM tenancy.key_use
JOIN tenancy.api_key ON api_key.public_id = key_use.public_id
WHERE last_used > now() - interval '10 minutes'
ON CONFLICT (public_id, at) DO NOTHING

-- name: contacts_of
-- The minutes in which keys were used, the latest first, $2 of each key at most.
-- $1 public ids, $2 minutes
-- roles: console
SELECT asked.public_id, minutes.at
FROM unnest($1::text[]) AS asked (public_id)
CROSS JOIN LATERAL (
    SELECT at FROM console.key_contact
    WHERE key_contact.public_id = asked.public_id
    ORDER BY at DESC
    LIMIT $2) AS minutes
ORDER BY asked.public_id, minutes.at DESC

-- name: day_of
-- What became of an organisation's requests in the last 24 hours, of the latest $2 at most: how
-- many joined, left and changed, how many were refused, and how many came in each hour.
-- $1 organisation, $2 requests at most
-- roles: console
WITH recent AS MATERIALIZED (
    SELECT append_time, type, status, outcomes
    FROM audit.event
    WHERE organisation_id = $1 AND id >= audit.first_id(now() - interval '24 hours')
    ORDER BY id DESC
    LIMIT $2
)
SELECT count(*) AS requests,
       count(*) FILTER (WHERE type LIKE 'io.rollcall.request.member.create.%'
                              AND outcomes @> '[{"fact": "member.invited"}]'
                        OR outcomes @> '[{"fact": "member.restored"}]') AS joined,
       count(*) FILTER (WHERE outcomes @> '[{"fact": "member.revoked"}]'
                        OR outcomes @> '[{"fact": "member.removed"}]') AS gone,
       count(*) FILTER (WHERE status < 400 AND (outcomes @> '[{"fact": "member.changed"}]'
                        OR outcomes @> '[{"fact": "group.created"}]'
                        OR outcomes @> '[{"fact": "group.changed"}]'
                        OR outcomes @> '[{"fact": "group.removed"}]')) AS changed,
       count(*) FILTER (WHERE status >= 400) AS refused,
       ARRAY(SELECT count(append_time)
             FROM generate_series(23, 0, -1) AS ago
             LEFT JOIN recent
               ON append_time <= now() - make_interval(hours => ago)
              AND append_time > now() - make_interval(hours => ago + 1)
             GROUP BY ago
             ORDER BY ago DESC) AS hours
FROM recent

-- piece: happening
-- What was decided about a request, and the names that its resource has now.
event.id::text, event.type, event.resource_id, event.actor, event.append_time, event.status,
event.scim_type, event.outcomes,
coalesce(member.document ->> 'displayName', member.document #>> '{name,formatted}',
         nullif(concat_ws(' ', member.document #>> '{name,givenName}',
                          member.document #>> '{name,familyName}'), ''),
         member.document ->> 'userName', held.document ->> 'displayName') AS name

-- name: latest_of
-- The latest decisions about an organisation's requests, newest first.
-- $1 organisation, $2 at most, $3 whether refusals only
-- roles: console
SELECT /* piece: happening */
FROM (
    SELECT *, CASE WHEN resource_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                   THEN resource_id::uuid END AS about
    FROM audit.event
    WHERE organisation_id = $1 AND (NOT $3::boolean OR status >= 400)
    ORDER BY id DESC
    LIMIT $2) AS event
LEFT JOIN directory.member AS member
  ON member.organisation_id = $1 AND member.id = event.about
LEFT JOIN directory."group" AS held
  ON held.organisation_id = $1 AND held.id = event.about
ORDER BY event.id DESC

-- name: timeline_of
-- The decisions about one resource, newest first.
-- $1 organisation, $2 resource, $3 at most
-- roles: console
SELECT id::text, type, resource_id, actor, append_time, status, scim_type, outcomes, NULL AS name
FROM audit.event
WHERE organisation_id = $1 AND resource_id = $2
ORDER BY id DESC
LIMIT $3
