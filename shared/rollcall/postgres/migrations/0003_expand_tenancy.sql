-- A copy of the tenancy topic, and when each key was last used.

CREATE SCHEMA tenancy;

CREATE TABLE tenancy.organisation (
    id uuid NOT NULL,
    name text NOT NULL,
    partition integer NOT NULL,
    scim_enabled boolean NOT NULL,
    language text NOT NULL,
    created timestamptz NOT NULL,
    document jsonb NOT NULL,
    CONSTRAINT organisation_pkey PRIMARY KEY (id)
);

CREATE INDEX organisation_by_partition ON tenancy.organisation (partition);

CREATE TABLE tenancy.api_key (
    public_id text NOT NULL,
    organisation_id uuid NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    created timestamptz NOT NULL,
    expires timestamptz,
    revoked timestamptz,
    CONSTRAINT api_key_pkey PRIMARY KEY (public_id)
);

CREATE INDEX api_key_by_organisation ON tenancy.api_key (organisation_id, created);

-- The one table that ingress writes. Not part of api_key: its rows come from the topic alone.
CREATE TABLE tenancy.key_use (
    public_id text NOT NULL,
    last_used timestamptz NOT NULL,
    CONSTRAINT key_use_pkey PRIMARY KEY (public_id)
) WITH (fillfactor = 50);
