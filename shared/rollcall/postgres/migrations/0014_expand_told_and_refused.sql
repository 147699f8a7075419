-- What was answered with success and refused afterwards: found without reading the whole audit.

-- Refusals that somebody waited for, and whose reply was not in the log in time: who waited was
-- answered with success, or had gone. Added to only, as the audit itself.
CREATE TABLE audit.unheard (
    id uuid NOT NULL,
    recorded timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unheard_pkey PRIMARY KEY (id)
);

GRANT INSERT ON audit.unheard TO rollcall_provisioner;
-- ON CONFLICT reads the column that it names.
GRANT SELECT (id) ON audit.unheard TO rollcall_provisioner;

CREATE INDEX event_told_and_refused ON audit.event (organisation_id, id)
    WHERE optimistic AND status >= 400;
