-- piece: account
-- The columns of an account.
id::text, email, name, is_operator, language, password_hash, totp_sealed, totp_confirmed,
totp_step, disabled, is_break_glass

-- name: find_account
-- An account by id.
-- $1 id
-- roles: console, owner
SELECT /* piece: account */ FROM console.account WHERE id = $1

-- name: find_account_by_email
-- An account by what is typed to sign in.
-- $1 email key
-- roles: console, owner
SELECT /* piece: account */ FROM console.account WHERE email_key = $1

-- name: add_account
-- Add an account that can only sign in by a link; one with this email stays as it is.
-- $1 id, $2 email, $3 email key, $4 name, $5 operator, $6 language
-- roles: console, owner
INSERT INTO console.account (id, email, email_key, name, is_operator, language)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (email_key) DO NOTHING

-- name: set_operator
-- Whether an account is an operator.
-- $1 id, $2 operator
-- roles: owner
UPDATE console.account SET is_operator = $2 WHERE id = $1

-- name: no_break_glass
-- No other account is the one for an emergency any more.
-- $1 id
-- roles: owner
UPDATE console.account SET is_break_glass = false WHERE is_break_glass AND id <> $1

-- name: set_break_glass
-- The account is the one for an emergency.
-- $1 id
-- roles: owner
UPDATE console.account SET is_break_glass = true WHERE id = $1

-- name: set_language
-- The language in which an account reads.
-- $1 id, $2 language
-- roles: console
UPDATE console.account SET language = $2 WHERE id = $1

-- name: set_password
-- The hash of an account's password.
-- $1 id, $2 hash
-- roles: console
UPDATE console.account SET password_hash = $2 WHERE id = $1

-- name: set_totp
-- A second factor that is not confirmed yet; null takes it away.
-- $1 id, $2 sealed secret
-- roles: console
UPDATE console.account SET totp_sealed = $2, totp_confirmed = NULL, totp_step = 0 WHERE id = $1

-- name: reseal_totp
-- The same second factor under another key.
-- $1 id, $2 sealed before, $3 sealed now
-- roles: owner
UPDATE console.account SET totp_sealed = $3 WHERE id = $1 AND totp_sealed = $2

-- name: sealed_accounts
-- Every account with a second factor.
-- roles: owner
SELECT id::text, totp_sealed FROM console.account WHERE totp_sealed IS NOT NULL ORDER BY id

-- name: use_totp_step
-- Take a step of the second factor; no row where it, or a later one, was taken before.
-- $1 id, $2 step, $3 whether this confirms the factor
-- roles: console
UPDATE console.account
SET totp_step = $2, totp_confirmed = CASE WHEN $3 THEN now() ELSE totp_confirmed END
WHERE id = $1 AND totp_step < $2
RETURNING id

-- name: roles_of
-- What an account may do, by organisation.
-- $1 account
-- roles: console, owner
SELECT organisation_id::text, role FROM console.account_role WHERE account_id = $1

-- name: admins_of
-- The accounts with a role in an organisation.
-- $1 organisation
-- roles: console, owner
SELECT account.id::text, account.email, account.name, account_role.role, account.disabled,
       (SELECT max(last_seen) FROM console.session WHERE account_id = account.id) AS last_seen
FROM console.account_role
JOIN console.account ON account.id = account_role.account_id
WHERE organisation_id = $1
ORDER BY account.email_key

-- name: grant_role
-- Give an account a role in an organisation, in the place of the one it had.
-- $1 account, $2 organisation, $3 role
-- roles: console, owner
INSERT INTO console.account_role AS present (account_id, organisation_id, role)
VALUES ($1, $2, $3)
ON CONFLICT (account_id, organisation_id) DO UPDATE SET role = excluded.role, granted = now()
WHERE present.role <> excluded.role

-- name: take_role
-- Take an account's role in an organisation away.
-- $1 account, $2 organisation
-- roles: console
DELETE FROM console.account_role WHERE account_id = $1 AND organisation_id = $2 RETURNING role

-- name: lock_owners
-- The owners of an organisation, locked: so that of two that go, one stays.
-- $1 organisation
-- roles: console
SELECT account_id::text FROM console.account_role
WHERE organisation_id = $1 AND role = 'owner'
FOR UPDATE

-- name: add_link
-- A link that signs in once.
-- $1 digest, $2 account, $3 expires
-- roles: console, owner
INSERT INTO console.sign_in_link (sha256, account_id, expires) VALUES ($1, $2, $3)

-- name: find_link
-- Whose link this is, if it still works.
-- $1 digest
-- roles: console
SELECT account_id::text FROM console.sign_in_link
WHERE sha256 = $1 AND used IS NULL AND expires > now()

-- name: use_link
-- Use a link up; no row where it does not work any more.
-- $1 digest
-- roles: console
UPDATE console.sign_in_link SET used = now()
WHERE sha256 = $1 AND used IS NULL AND expires > now()
RETURNING account_id::text

-- name: replace_recovery_codes
-- Take away an account's recovery codes.
-- $1 account
-- roles: console
DELETE FROM console.recovery_code WHERE account_id = $1

-- name: add_recovery_codes
-- Add recovery codes.
-- $1 account, $2 digests
-- roles: console
INSERT INTO console.recovery_code (account_id, sha256)
SELECT $1, sha256 FROM unnest($2::bytea[]) AS given (sha256)

-- name: use_recovery_code
-- Use a recovery code up; no row where there is none.
-- $1 account, $2 digest
-- roles: console
UPDATE console.recovery_code SET used = now()
WHERE account_id = $1 AND sha256 = $2 AND used IS NULL
RETURNING account_id

-- name: count_recovery_codes
-- How many recovery codes are left.
-- $1 account
-- roles: console
SELECT count(*) FROM console.recovery_code WHERE account_id = $1 AND used IS NULL

-- name: failed_sign_in
-- Count a failed attempt; failures older than a day are forgotten. From the fifth on it is locked,
-- for a minute at first, twice as long after each further one, an hour at most.
-- $1 digest of the email
-- roles: console
INSERT INTO console.failed_sign_in AS present (email_sha256, failures, last_failure)
VALUES ($1, 1, now())
ON CONFLICT (email_sha256) DO UPDATE SET
    failures = CASE WHEN present.last_failure < now() - interval '1 day' THEN 1
                    ELSE present.failures + 1 END,
    last_failure = now(),
    locked_until = CASE WHEN present.last_failure < now() - interval '1 day'
                             OR present.failures + 1 < 5 THEN NULL
                        ELSE now() + least(interval '1 hour', interval '1 minute'
                             * power(2, least(present.failures + 1 - 5, 10))) END
RETURNING failures, locked_until

-- name: locked_until
-- Until when attempts with this email are refused; null: they are not.
-- $1 digest of the email
-- roles: console
SELECT locked_until FROM console.failed_sign_in WHERE email_sha256 = $1 AND locked_until > now()

-- name: forget_failures
-- Forget failed attempts after a right one.
-- $1 digest of the email
-- roles: console
DELETE FROM console.failed_sign_in WHERE email_sha256 = $1

-- name: record_act
-- What was done, and by which account.
-- $1 id, $2 account, $3 organisation, $4 kind, $5 subject
-- roles: console, owner
INSERT INTO console.act (id, account_id, organisation_id, kind, subject)
VALUES ($1, $2, $3, $4, $5)

-- name: latest_acts
-- The latest acts on an organisation, newest first, with who did them.
-- $1 organisation, $2 at most
-- roles: console, owner
SELECT act.id::text, act.at, act.kind, act.subject, account.name,
       COALESCE(account.email, 'ra_' || act.api_key) AS email
FROM console.act
LEFT JOIN console.account ON account.id = act.account_id
WHERE act.organisation_id = $1
ORDER BY act.id DESC
LIMIT $2

-- name: has_act
-- Whether an act is in the list.
-- $1 id
-- roles: console
SELECT EXISTS (SELECT FROM console.act WHERE id = $1)
