-- Parked organisations: all events of one wait, while those of the others flow.

-- By what a dead create is known when it is sent again: a digest of its name and its content.
ALTER TABLE directory.dead_letter ADD COLUMN cause text;

-- Whether an event waits for its organisation, not behind a dead one of its resource.
ALTER TABLE directory.parked ADD COLUMN by_organisation boolean NOT NULL DEFAULT false;
CREATE INDEX parked_by_organisation ON directory.parked (organisation_id, epoch, "offset")
    WHERE by_organisation;

-- One row for each organisation that is parked: the dead event behind which it was, its place in
-- the log, and when the broker appended it.
CREATE TABLE directory.parked_organisation (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    epoch integer NOT NULL,
    since timestamptz NOT NULL,
    CONSTRAINT parked_organisation_pkey PRIMARY KEY (organisation_id)
);

GRANT SELECT, INSERT, DELETE ON directory.parked_organisation TO rollcall_provisioner;
GRANT UPDATE ON directory.parked TO rollcall_provisioner;
-- A look-up while the directory is behind folds accepted requests as the provisioner will.
GRANT SELECT (organisation_id, id) ON directory.parked_organisation TO rollcall_ingress;
GRANT SELECT (cause) ON directory.dead_letter TO rollcall_ingress;
