-- name: lock_recipient
-- Lock a recipient until the transaction ends, so that one replica at a time counts and takes.
-- Advisory locks with two numbers are separate from those with one, and only this query uses them.
-- $1 a number for all locks of this kind
-- $2 a number made from the recipient's digest
-- roles: notifier
SELECT pg_advisory_xact_lock($1::integer, $2::integer)

-- name: count_mails_taken
-- The mails to a recipient within a window, within the longest window, and of those from one
-- organisation; and whether this mail is counted already.
-- $1 recipient
-- $2 organisation
-- $3 event id, $4 kind
-- $5 the window
-- $6 the longest window
-- roles: notifier
SELECT count(*) FILTER (WHERE taken_at > clock_timestamp() - $5::interval) AS lately,
       count(*) FILTER (WHERE taken_at > clock_timestamp() - $6::interval) AS in_a_day,
       count(*) FILTER (WHERE taken_at > clock_timestamp() - $6::interval
                          AND organisation_id = $2) AS of_organisation,
       coalesce(bool_or(event_id = $3 AND kind = $4), false) AS is_taken
FROM notice.mail_taken
WHERE recipient = $1

-- name: take_mail
-- Count one mail to a recipient.
-- $1 event id, $2 kind
-- $3 recipient
-- $4 organisation
-- $5 member
-- roles: notifier
INSERT INTO notice.mail_taken (event_id, kind, recipient, organisation_id, member_id)
VALUES ($1, $2, $3, $4, $5)

-- name: give_mail_back
-- Uncount a mail that was not sent.
-- $1 event id, $2 kind
-- $3 recipient
-- roles: notifier
DELETE FROM notice.mail_taken WHERE event_id = $1 AND kind = $2 AND recipient = $3

-- name: sweep_mails_taken
-- Delete counts older than any window.
-- $1 the longest window
-- roles: notifier
DELETE FROM notice.mail_taken WHERE taken_at <= clock_timestamp() - $1::interval
