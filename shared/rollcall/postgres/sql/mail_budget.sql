-- name: take_mail
-- Count a mail for its recipient unless a bound is reached, while no other replica does; see the
-- function (migration 0036). Advisory locks with two numbers are separate from those with one, and
-- only this query uses them.
-- $1 a number for all locks of this kind
-- $2 a number made from the recipient's digest
-- $3 recipient
-- $4 event id, $5 kind
-- $6 organisation
-- $7 member
-- $8 the window
-- $9 the longest window
-- $10 mails within the window, $11 within the longest one, $12 of those from the organisation: as
-- many reach the bound
-- roles: notifier
SELECT was_taken, is_taken
FROM rollcall.take_mail($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

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
