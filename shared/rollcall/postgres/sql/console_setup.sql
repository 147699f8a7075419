-- piece: works
-- A link that opens something now: its maker may still act in its organisation.
setup_link.revoked IS NULL AND setup_link.expires > now()
AND EXISTS (SELECT FROM console.account_role
            JOIN console.account ON account.id = account_role.account_id
            WHERE account_role.account_id = setup_link.made_by
              AND account_role.organisation_id = setup_link.organisation_id
              AND account_role.role IN ('owner', 'admin')
              AND account.disabled IS NULL)

-- piece: shown
setup_link.id::text, setup_link.organisation_id::text, setup_link.name, setup_link.made,
setup_link.expires, setup_link.last_opened, setup_link.keys_left, setup_link.keys

-- name: add_setup_link
-- Keep a link.
-- $1 id, $2 digest, $3 organisation, $4 name, $5 account, $6 expires, $7 keys that it may make
-- roles: console
INSERT INTO console.setup_link (id, sha256, organisation_id, name, made_by, expires, keys_left)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: open_setup_link
-- The link of a digest if it works, noted as opened, once a minute at most.
-- $1 digest
-- roles: console
WITH noted AS (
    UPDATE console.setup_link SET last_opened = now()
    WHERE sha256 = $1 AND /* piece: works */
      AND (last_opened IS NULL OR last_opened < now() - interval '1 minute')
)
SELECT /* piece: shown */ FROM console.setup_link WHERE sha256 = $1 AND /* piece: works */

-- name: setup_links_of
-- The links of an organisation that work, newest first, with who made each.
-- $1 organisation
-- roles: console
SELECT /* piece: shown */, maker.name AS made_by
FROM console.setup_link
JOIN console.account AS maker ON maker.id = setup_link.made_by
WHERE setup_link.organisation_id = $1 AND /* piece: works */
ORDER BY setup_link.id DESC

-- name: revoke_setup_link
-- End a link; no row where it ended before.
-- $1 organisation, $2 id
-- roles: console
UPDATE console.setup_link SET revoked = now()
WHERE organisation_id = $1 AND id = $2 AND revoked IS NULL AND expires > now()
RETURNING name

-- name: take_setup_key
-- Take one of the keys that a link may make; no row where none is left or it does not work.
-- $1 id
-- roles: console
UPDATE console.setup_link SET keys_left = keys_left - 1
WHERE id = $1 AND keys_left > 0 AND /* piece: works */
RETURNING keys_left

-- name: note_setup_key
-- Note the key that a link has made.
-- $1 id, $2 public id
-- roles: console
UPDATE console.setup_link SET keys = keys || $2::text WHERE id = $1

-- name: sweep_setup_links
-- Forget links that ended a while ago.
-- roles: console
DELETE FROM console.setup_link WHERE expires < now() - interval '30 days'
