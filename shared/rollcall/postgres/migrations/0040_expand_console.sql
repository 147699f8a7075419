-- The console: who may sign in, their sessions, what they did. Nothing here is in the log, so a
-- backup of this schema is the only copy (docs/decisions/0070).

CREATE SCHEMA console;

-- A person who signs in. `email` is what they type; `email_key` the same without letter case.
CREATE TABLE console.account (
    id uuid NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL,
    name text NOT NULL,
    is_operator boolean NOT NULL DEFAULT false,
    language text,
    -- Argon2id, with its parameters and salt (RFC 9106). Null: signs in by a link only.
    password_hash text,
    -- The secret of the second factor (RFC 6238), encrypted; null: none. Until it is confirmed it is
    -- not asked for. `totp_step` is the last step that was used: a code works once.
    totp_sealed bytea,
    totp_confirmed timestamptz,
    totp_step bigint NOT NULL DEFAULT 0,
    created timestamptz NOT NULL DEFAULT now(),
    disabled timestamptz,
    CONSTRAINT account_pkey PRIMARY KEY (id),
    CONSTRAINT account_email_unique UNIQUE (email_key),
    CONSTRAINT account_language_known CHECK (language IN ('en', 'nl'))
);

-- What an account may do in one organisation.
CREATE TABLE console.account_role (
    account_id uuid NOT NULL,
    organisation_id uuid NOT NULL,
    role text NOT NULL,
    granted timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT account_role_pkey PRIMARY KEY (account_id, organisation_id),
    CONSTRAINT account_role_known CHECK (role IN ('owner', 'admin', 'auditor')),
    CONSTRAINT account_role_account FOREIGN KEY (account_id) REFERENCES console.account
        ON DELETE CASCADE
);

CREATE INDEX account_role_of_organisation ON console.account_role (organisation_id);

-- Codes for a lost second factor, each for one use; only the SHA-256 of 80 random bits is here.
CREATE TABLE console.recovery_code (
    account_id uuid NOT NULL,
    sha256 bytea NOT NULL,
    used timestamptz,
    CONSTRAINT recovery_code_pkey PRIMARY KEY (account_id, sha256),
    CONSTRAINT recovery_code_account FOREIGN KEY (account_id) REFERENCES console.account
        ON DELETE CASCADE
);

-- Links that sign in once; only the SHA-256 of 256 random bits is here.
CREATE TABLE console.sign_in_link (
    sha256 bytea NOT NULL,
    account_id uuid NOT NULL,
    made timestamptz NOT NULL DEFAULT now(),
    expires timestamptz NOT NULL,
    used timestamptz,
    CONSTRAINT sign_in_link_pkey PRIMARY KEY (sha256),
    CONSTRAINT sign_in_link_account FOREIGN KEY (account_id) REFERENCES console.account
        ON DELETE CASCADE
);

-- Sessions. The cookie has 256 random bits, and here is their SHA-256. `authenticated` is when the
-- person last showed who they are; `is_half`: the password was right, the second factor is missing.
CREATE TABLE console.session (
    sha256 bytea NOT NULL,
    account_id uuid NOT NULL,
    method text NOT NULL,
    is_half boolean NOT NULL DEFAULT false,
    made timestamptz NOT NULL DEFAULT now(),
    authenticated timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT session_pkey PRIMARY KEY (sha256),
    CONSTRAINT session_method_known CHECK (method IN ('link', 'password', 'totp', 'recovery')),
    CONSTRAINT session_account FOREIGN KEY (account_id) REFERENCES console.account
        ON DELETE CASCADE
);

CREATE INDEX session_of_account ON console.session (account_id);
CREATE INDEX session_by_last_seen ON console.session (last_seen);

-- Failed attempts by what was typed (a digest), whether such an account exists or not.
CREATE TABLE console.failed_sign_in (
    email_sha256 bytea NOT NULL,
    failures integer NOT NULL,
    last_failure timestamptz NOT NULL,
    locked_until timestamptz,
    CONSTRAINT failed_sign_in_pkey PRIMARY KEY (email_sha256)
);

-- Who did what. Added to only. `account_id` has no foreign key: an act outlives its account.
CREATE TABLE console.act (
    id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    account_id uuid,
    organisation_id uuid,
    kind text NOT NULL,
    subject text,
    CONSTRAINT act_pkey PRIMARY KEY (id)
);

CREATE INDEX act_of_organisation ON console.act (organisation_id, id);

-- The minutes in which a key was used, as `tenancy.key_use` showed them: a client's own rhythm.
CREATE TABLE console.key_contact (
    organisation_id uuid NOT NULL,
    public_id text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT key_contact_pkey PRIMARY KEY (public_id, at)
);

CREATE INDEX key_contact_by_time ON console.key_contact (at);

-- A database made before this release lets in only the roles that it knew.
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO rollcall_console', current_database());
END
$$;

GRANT USAGE ON SCHEMA rollcall TO rollcall_console;
GRANT SELECT ON rollcall.migration TO rollcall_console;

-- console keeps its own schema, and only reads what it shows of the others.
GRANT USAGE ON SCHEMA console, directory, audit, tenancy, notice TO rollcall_console;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON console.account, console.account_role, console.recovery_code, console.sign_in_link,
       console.session, console.failed_sign_in, console.key_contact TO rollcall_console;
GRANT SELECT, INSERT ON console.act TO rollcall_console;
GRANT SELECT ON directory.member, directory."group", directory.group_member,
    directory.resource_count, directory.progress TO rollcall_console;
GRANT SELECT ON audit.event, audit.unheard, tenancy.key_use, notice.notification
    TO rollcall_console;
-- Dead letters as they are listed, without the records; and how many events wait behind one.
GRANT SELECT (topic, partition, "offset", epoch, event_id, organisation_id, error_class, error,
              append_time, recorded, state, id, type, endpoint, resource_id, attempts)
    ON directory.dead_letter TO rollcall_console;
GRANT SELECT (organisation_id, endpoint, resource_id, by_organisation)
    ON directory.parked TO rollcall_console;
GRANT SELECT (public_id, organisation_id) ON tenancy.api_key TO rollcall_console;
