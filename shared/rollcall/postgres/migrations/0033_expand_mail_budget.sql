-- The mails that one recipient has got lately, over all organisations, so that all replicas of the
-- notifier know when it is enough (docs/decisions/0055).

-- One row for each mail that was handed to the mail server, or may have been; a day later it goes.
-- The recipient is a keyed digest of the address: nobody without the notifier's secret can tell
-- whose it is. Organisation and member are here so that who erases them finds it.
CREATE TABLE notice.mail_taken (
    event_id uuid NOT NULL,
    kind text NOT NULL,
    recipient bytea NOT NULL,
    organisation_id uuid NOT NULL,
    member_id uuid NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT mail_taken_pkey PRIMARY KEY (event_id, kind, recipient)
);

CREATE INDEX mail_taken_of_recipient ON notice.mail_taken (recipient, taken_at);
CREATE INDEX mail_taken_of_member ON notice.mail_taken (organisation_id, member_id);
CREATE INDEX mail_taken_by_time ON notice.mail_taken (taken_at);

GRANT SELECT, INSERT, DELETE ON notice.mail_taken TO rollcall_notifier;
