-- name: list_issuers
-- Every issuer, by name.
-- roles: console, owner
SELECT id::text, name, url, client_id, secret_sealed, roles_claim, tenants, is_listed
FROM console.issuer
ORDER BY name

-- name: find_issuer
-- An issuer by id.
-- $1 id
-- roles: console
SELECT id::text, name, url, client_id, secret_sealed, roles_claim, tenants, is_listed
FROM console.issuer
WHERE id = $1

-- name: add_issuer
-- Add an issuer.
-- $1 id, $2 name, $3 URL, $4 client id, $5 sealed secret, $6 claim, $7 tenants, $8 listed
-- roles: owner
INSERT INTO console.issuer
    (id, name, url, client_id, secret_sealed, roles_claim, tenants, is_listed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: remove_accounts_of_issuer
-- Remove the accounts that an issuer speaks of, with their roles and sessions.
-- $1 name
-- roles: owner
DELETE FROM console.account USING console.identity, console.issuer
WHERE account.id = identity.account_id AND identity.issuer_id = issuer.id AND issuer.name = $1

-- name: remove_issuer
-- Remove an issuer.
-- $1 name
-- roles: owner
DELETE FROM console.issuer WHERE name = $1 RETURNING id::text

-- name: reseal_issuer
-- A client's secret under another key, or another secret.
-- $1 id, $2 sealed
-- roles: owner
UPDATE console.issuer SET secret_sealed = $2 WHERE id = $1

-- name: add_issuer_role
-- What a value of the claim gives.
-- $1 issuer, $2 value, $3 role, $4 organisation
-- roles: owner
INSERT INTO console.issuer_role (issuer_id, value, role, organisation_id) VALUES ($1, $2, $3, $4)

-- name: issuer_roles
-- What the values of an issuer's claim give.
-- $1 issuer
-- roles: console, owner
SELECT value, role, organisation_id::text FROM console.issuer_role
WHERE issuer_id = $1
ORDER BY value, role, organisation_id

-- name: find_identity
-- The account of a person whom an issuer speaks of.
-- $1 issuer, $2 subject
-- roles: console
SELECT account_id::text FROM console.identity WHERE issuer_id = $1 AND subject = $2

-- name: identity_of
-- The issuer that speaks of an account.
-- $1 account
-- roles: console
SELECT issuer_id::text FROM console.identity WHERE account_id = $1

-- name: add_identity
-- An account stands for this subject; where two come at once, the first counts.
-- $1 issuer, $2 subject, $3 account
-- roles: console
INSERT INTO console.identity (issuer_id, subject, account_id) VALUES ($1, $2, $3)
ON CONFLICT (issuer_id, subject) DO NOTHING
RETURNING account_id::text

-- name: update_by_issuer
-- How the issuer names a person now, and whether they are an operator.
-- $1 account, $2 email, $3 name, $4 operator
-- roles: console
UPDATE console.account SET email = $2, name = $3, is_operator = $4 WHERE id = $1

-- name: take_roles_but
-- Take away the roles of an account in all organisations but these.
-- $1 account, $2 organisations
-- roles: console
DELETE FROM console.account_role WHERE account_id = $1 AND organisation_id <> ALL ($2::uuid[])

-- name: begin_flow
-- A sign-in that goes to its issuer.
-- $1 digest, $2 issuer, $3 where to go on, $4 account that shows again who it is, $5 seconds
-- roles: console
INSERT INTO console.sign_in_flow (sha256, issuer_id, go_to, again_for, expires)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))

-- name: end_flow
-- Take a sign-in that came back; no row where there is none, or its time is over.
-- $1 digest
-- roles: console
DELETE FROM console.sign_in_flow WHERE sha256 = $1
RETURNING issuer_id::text, go_to, again_for::text, expires > now() AS is_in_time

-- name: sweep_flows
-- Remove what is over: sign-ins that did not come back, digests of old logout tokens.
-- roles: console
WITH flows AS (DELETE FROM console.sign_in_flow WHERE expires < now())
DELETE FROM console.spent_token WHERE expires < now()

-- name: spend_token
-- Act on a logout token once; no row where it was acted on before.
-- $1 digest, $2 expires
-- roles: console
INSERT INTO console.spent_token (sha256, expires) VALUES ($1, $2)
ON CONFLICT (sha256) DO NOTHING
RETURNING sha256

-- name: end_issuer_session
-- End the sessions that an issuer's session opened.
-- $1 issuer, $2 the issuer's session
-- roles: console
DELETE FROM console.session WHERE issuer_id = $1 AND issuer_session = $2

-- name: end_issuer_subject
-- End the sessions that an issuer opened for a person.
-- $1 issuer, $2 subject
-- roles: console
DELETE FROM console.session USING console.identity
WHERE session.issuer_id = $1 AND identity.issuer_id = $1 AND identity.subject = $2
  AND session.account_id = identity.account_id
