-- Keys of the admin API: of one organisation, or of the deployment (without one).

CREATE TABLE console.api_key (
    public_id text NOT NULL,
    organisation_id uuid,
    name text NOT NULL,
    -- SHA-256 of the whole key, which has 256 random bits.
    sha256 text NOT NULL,
    scopes text[] NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    -- The account that made it; null: the command line. No foreign key: a key outlives an account.
    created_by uuid,
    expires timestamptz,
    revoked timestamptz,
    last_used timestamptz,
    CONSTRAINT api_key_pkey PRIMARY KEY (public_id)
);

CREATE INDEX api_key_of_organisation ON console.api_key (organisation_id);

-- What a key did is an act of it, not of an account.
ALTER TABLE console.act ADD COLUMN api_key text;

GRANT SELECT, INSERT, UPDATE ON console.api_key TO rollcall_console;
