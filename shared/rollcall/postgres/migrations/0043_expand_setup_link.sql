-- Links that an admin sends to the person who runs the identity provider: they show the SCIM URL, make keys
-- and lead through the guide, and open nothing else (docs/decisions/0073).

-- Only the SHA-256 of 256 random bits is here. `made_by`: the link ends with what its maker may do.
-- `keys_left` goes down with each key that is made by it; `keys` are their public ids.
CREATE TABLE console.setup_link (
    id uuid NOT NULL,
    sha256 bytea NOT NULL,
    organisation_id uuid NOT NULL,
    name text NOT NULL,
    made_by uuid NOT NULL,
    made timestamptz NOT NULL DEFAULT now(),
    expires timestamptz NOT NULL,
    revoked timestamptz,
    last_opened timestamptz,
    keys_left integer NOT NULL,
    keys text[] NOT NULL DEFAULT '{}',
    CONSTRAINT setup_link_pkey PRIMARY KEY (id),
    CONSTRAINT setup_link_unique UNIQUE (sha256),
    CONSTRAINT setup_link_keys_left CHECK (keys_left >= 0),
    CONSTRAINT setup_link_account FOREIGN KEY (made_by) REFERENCES console.account
        ON DELETE CASCADE
);

CREATE INDEX setup_link_of_organisation ON console.setup_link (organisation_id);
CREATE INDEX setup_link_by_expiry ON console.setup_link (expires);
CREATE INDEX setup_link_of_account ON console.setup_link (made_by);

GRANT SELECT, INSERT, UPDATE, DELETE ON console.setup_link TO rollcall_console;
