-- Quarantine: which resource a dead letter is about, and what is parked behind it.

-- id: that of the letter's audit row, by which a redrive names it; the event's id where it has one.
-- endpoint and resource_id: what is in quarantine while the state is 'dead'; null: nothing is.
-- attempts: how often it was tried; told: how many outcomes of it are announced.
ALTER TABLE directory.dead_letter
    ADD COLUMN id uuid,
    ADD COLUMN type text,
    ADD COLUMN endpoint text,
    ADD COLUMN resource_id uuid,
    ADD COLUMN attempts integer NOT NULL DEFAULT 1,
    ADD COLUMN told integer NOT NULL DEFAULT 1,
    ADD CONSTRAINT dead_letter_endpoint_known CHECK (endpoint IN ('Users', 'Groups')),
    ADD CONSTRAINT dead_letter_resource_has_organisation CHECK (
        resource_id IS NULL
        OR (organisation_id IS NOT NULL AND endpoint IS NOT NULL AND id IS NOT NULL)),
    DROP CONSTRAINT dead_letter_state_known,
    ADD CONSTRAINT dead_letter_state_known CHECK (state IN ('dead', 'redriven', 'discarded'));

CREATE UNIQUE INDEX dead_letter_by_id ON directory.dead_letter (id);
CREATE UNIQUE INDEX dead_letter_quarantine
    ON directory.dead_letter (organisation_id, endpoint, resource_id)
    WHERE state = 'dead' AND resource_id IS NOT NULL;
-- For the limit that halts a partition.
CREATE INDEX dead_letter_still_dead
    ON directory.dead_letter (topic, partition, epoch, "offset") WHERE state = 'dead';

-- Events that wait behind a dead one of the same resource, bytes and all, in the order of the log.
CREATE TABLE directory.parked (
    organisation_id uuid NOT NULL,
    endpoint text NOT NULL,
    resource_id uuid NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    "offset" bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    id uuid NOT NULL,
    event_id text,
    type text NOT NULL,
    headers jsonb NOT NULL,
    key bytea,
    value bytea,
    append_time timestamptz NOT NULL,
    recorded timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT parked_pkey PRIMARY KEY (organisation_id, endpoint, resource_id, epoch, "offset"),
    CONSTRAINT parked_id_unique UNIQUE (id),
    CONSTRAINT parked_endpoint_known CHECK (endpoint IN ('Users', 'Groups'))
);

GRANT SELECT, INSERT, DELETE ON directory.parked TO rollcall_provisioner;
