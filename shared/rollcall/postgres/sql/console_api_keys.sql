-- piece: api_key
-- The columns of a key.
public_id, organisation_id::text, name, sha256, scopes, created, expires, revoked, last_used

-- name: find_api_key
-- A key by its public id.
-- $1 public id
-- roles: console
SELECT /* piece: api_key */ FROM console.api_key WHERE public_id = $1

-- name: list_api_keys
-- The keys of an organisation, or those of the deployment (null); newest first.
-- $1 organisation
-- roles: console, owner
SELECT /* piece: api_key */ FROM console.api_key
WHERE organisation_id IS NOT DISTINCT FROM $1
ORDER BY created DESC, public_id

-- name: list_all_api_keys
-- Every key, newest first.
-- roles: owner
SELECT /* piece: api_key */ FROM console.api_key ORDER BY created DESC, public_id

-- name: add_api_key
-- A new key.
-- $1 public id, $2 organisation, $3 name, $4 hash, $5 scopes, $6 account, $7 expires
-- roles: console, owner
INSERT INTO console.api_key (public_id, organisation_id, name, sha256, scopes, created_by, expires)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING /* piece: api_key */

-- name: revoke_api_key
-- End a key of an organisation, or of the deployment (null); no row where there is none.
-- $1 public id, $2 organisation
-- roles: console
UPDATE console.api_key SET revoked = COALESCE(revoked, now())
WHERE public_id = $1 AND organisation_id IS NOT DISTINCT FROM $2
RETURNING public_id

-- name: revoke_any_api_key
-- End a key, wherever it belongs.
-- $1 public id
-- roles: owner
UPDATE console.api_key SET revoked = COALESCE(revoked, now())
WHERE public_id = $1
RETURNING public_id

-- name: touch_api_key
-- Note that a key was used, at most once a minute.
-- $1 public id
-- roles: console
UPDATE console.api_key SET last_used = now()
WHERE public_id = $1 AND (last_used IS NULL OR last_used < now() - interval '1 minute')

-- name: record_key_act
-- What a key of the admin API did.
-- $1 id, $2 key, $3 organisation, $4 kind, $5 subject
-- roles: console
INSERT INTO console.act (id, api_key, organisation_id, kind, subject) VALUES ($1, $2, $3, $4, $5)
