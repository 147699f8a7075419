-- name: upsert_organisations
-- Make rows of organisations equal to these records.
-- $1 ids, $2 names, $3 partitions, $4 scim enabled, $5 languages, $6 created, $7 documents
-- roles: provisioner
INSERT INTO tenancy.organisation (
    id, name, partition, scim_enabled, language, created, document)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::integer[], $4::boolean[], $5::text[], $6::timestamptz[],
    $7::jsonb[])
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name,
    partition = excluded.partition,
    scim_enabled = excluded.scim_enabled,
    language = excluded.language,
    created = excluded.created,
    document = excluded.document

-- name: upsert_keys
-- Make rows of API keys equal to these records.
-- $1 public ids, $2 organisations, $3 names, $4 hashes, $5 created, $6 expires, $7 revoked,
-- $8 limits
-- roles: provisioner
INSERT INTO tenancy.api_key (public_id, organisation_id, name, sha256, created, expires, revoked,
                             limits)
SELECT * FROM unnest(
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
    $7::timestamptz[], $8::jsonb[])
ON CONFLICT (public_id) DO UPDATE SET
    organisation_id = excluded.organisation_id,
    name = excluded.name,
    sha256 = excluded.sha256,
    created = excluded.created,
    expires = excluded.expires,
    revoked = excluded.revoked,
    limits = excluded.limits

-- name: remove_organisations
-- Remove organisations whose records were deleted from the topic.
-- $1 ids
-- roles: provisioner
DELETE FROM tenancy.organisation WHERE id = ANY ($1::uuid[])

-- name: remove_keys
-- Remove API keys whose records were deleted from the topic.
-- $1 public ids
-- roles: provisioner
DELETE FROM tenancy.api_key WHERE public_id = ANY ($1::text[])

-- name: touch_keys
-- Store when keys were last used; an earlier time changes nothing.
-- $1 public ids, $2 times
-- roles: ingress
INSERT INTO tenancy.key_use AS present (public_id, last_used)
SELECT public_id, last_used
FROM unnest($1::text[], $2::timestamptz[]) AS used (public_id, last_used)
ON CONFLICT (public_id) DO UPDATE SET last_used = excluded.last_used
WHERE present.last_used < excluded.last_used

-- name: find_organisation
-- One organisation by id.
-- $1 id
-- roles: notifier, provisioner, owner
SELECT document FROM tenancy.organisation WHERE id = $1

-- name: partitions_of
-- The partitions of organisations, as far as their records have arrived.
-- $1 ids
-- roles: provisioner
SELECT id::text, partition FROM tenancy.organisation WHERE id = ANY ($1::uuid[])

-- name: list_keys
-- All API keys of an organisation, oldest first, with their last use.
-- $1 organisation
-- roles: owner
SELECT api_key.public_id, organisation_id::text, name, sha256, created, expires, revoked,
       limits, key_use.last_used
FROM tenancy.api_key
LEFT JOIN tenancy.key_use ON key_use.public_id = api_key.public_id
WHERE organisation_id = $1
ORDER BY created, api_key.public_id
