-- Notices to members: what is due, what was sent, and how far the outcomes are read.

CREATE SCHEMA notice;

CREATE TABLE notice.notification (
    event_id uuid NOT NULL,
    kind text NOT NULL,
    organisation_id uuid NOT NULL,
    member_id uuid NOT NULL,
    partition integer NOT NULL,
    -- The sequence of its outcome: orders the notices of one member.
    epoch integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    event_time timestamptz NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'due',
    reason text,
    due_at timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    leased_until timestamptz,
    lease_owner text,
    message_id text,
    sent_at timestamptz,
    created timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notification_pkey PRIMARY KEY (event_id, kind),
    CONSTRAINT notification_state_known CHECK (state IN ('due', 'sent', 'dropped', 'failed')),
    CONSTRAINT notification_sent_has_time CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);

-- The claim: due rows in order of time, and whether a member has an earlier one.
CREATE INDEX notification_due ON notice.notification (next_attempt_at, event_id)
    WHERE state = 'due';
CREATE INDEX notification_due_of_member
    ON notice.notification (organisation_id, member_id, epoch, "offset", "index")
    WHERE state = 'due';
CREATE INDEX notification_of_member
    ON notice.notification (organisation_id, member_id, epoch, "offset", "index");

CREATE TABLE notice.progress (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    published_offset bigint NOT NULL DEFAULT 0,
    last_event_id uuid,
    last_append_time timestamptz,
    epoch integer NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'running',
    CONSTRAINT progress_pkey PRIMARY KEY (topic, partition),
    CONSTRAINT progress_state_known CHECK (state IN ('running', 'halted'))
) WITH (fillfactor = 50);
