-- name: open_session
-- A session of an account.
-- $1 digest, $2 account, $3 method, $4 whether the second factor is missing, $5 issuer, $6 its own
-- session
-- roles: console
INSERT INTO console.session (sha256, account_id, method, is_half, issuer_id, issuer_session)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: touch_session
-- The session and its account, if neither time is out; noted as seen, at most once a minute.
-- $1 digest, $2 idle seconds, $3 seconds in all
-- roles: console
WITH present AS (
    SELECT sha256, last_seen FROM console.session
    WHERE sha256 = $1 AND last_seen > now() - make_interval(secs => $2)
      AND made > now() - make_interval(secs => $3)
), noted AS (
    UPDATE console.session SET last_seen = now() FROM present
    WHERE session.sha256 = present.sha256 AND present.last_seen < now() - interval '1 minute'
)
SELECT session.account_id::text, method, is_half, session.made, session.authenticated
FROM present
JOIN console.session ON session.sha256 = present.sha256
JOIN console.account ON account.id = session.account_id AND account.disabled IS NULL

-- name: end_session
-- End a session.
-- $1 digest
-- roles: console
DELETE FROM console.session WHERE sha256 = $1

-- name: end_other_sessions
-- End every other session of an account.
-- $1 account, $2 digest of the one that stays
-- roles: console
DELETE FROM console.session WHERE account_id = $1 AND sha256 <> $2

-- name: list_sessions
-- The sessions of an account, latest first.
-- $1 account
-- roles: console
SELECT sha256, method, made, last_seen FROM console.session
WHERE account_id = $1 AND NOT is_half
ORDER BY last_seen DESC, sha256

-- name: confirm_session
-- The person of a session has shown again who they are.
-- $1 digest, $2 method
-- roles: console
UPDATE console.session SET authenticated = now(), is_half = false, method = $2 WHERE sha256 = $1

-- name: sweep_sessions
-- Remove what can no longer be used: sessions, links, notes of failures, contacts.
-- $1 idle seconds, $2 days that contacts are kept
-- roles: console
WITH sessions AS (
    DELETE FROM console.session WHERE last_seen < now() - make_interval(secs => $1)
), links AS (
    DELETE FROM console.sign_in_link WHERE expires < now() - interval '1 day'
), failures AS (
    DELETE FROM console.failed_sign_in WHERE last_failure < now() - interval '2 days'
)
DELETE FROM console.key_contact WHERE at < now() - make_interval(days => $2)
