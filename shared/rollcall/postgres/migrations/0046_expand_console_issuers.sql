-- Sign-in of admins by OpenID Connect, and the one account for an emergency.

-- An issuer whose word counts here. Only the operator adds one (`rollcall issuer add`).
CREATE TABLE console.issuer (
    id uuid NOT NULL,
    name text NOT NULL,
    -- As the discovery document names it. With `{tenantid}` in it: Entra's of several tenants, and
    -- then `tenants` says which of them count.
    url text NOT NULL,
    client_id text NOT NULL,
    -- Encrypted; null: a public client, which has PKCE alone.
    secret_sealed bytea,
    roles_claim text NOT NULL,
    tenants text[] NOT NULL DEFAULT '{}',
    -- Whether the sign-in page names it; another one is reached by its own address alone.
    is_listed boolean NOT NULL DEFAULT true,
    created timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT issuer_pkey PRIMARY KEY (id),
    CONSTRAINT issuer_name_unique UNIQUE (name)
);

-- What a value of the claim gives: a role in an organisation, or `operator` without one.
CREATE TABLE console.issuer_role (
    issuer_id uuid NOT NULL,
    value text NOT NULL,
    role text NOT NULL,
    organisation_id uuid,
    CONSTRAINT issuer_role_unique UNIQUE NULLS NOT DISTINCT (issuer_id, value, organisation_id),
    CONSTRAINT issuer_role_known CHECK (role IN ('owner', 'admin', 'auditor', 'operator')),
    CONSTRAINT issuer_role_where CHECK ((role = 'operator') = (organisation_id IS NULL)),
    CONSTRAINT issuer_role_issuer FOREIGN KEY (issuer_id) REFERENCES console.issuer
        ON DELETE CASCADE
);

CREATE INDEX issuer_role_of_organisation ON console.issuer_role (organisation_id);

-- Who an issuer speaks of, and the account that stands for them here. Never found by an address:
-- what an issuer says of an address proves nothing about the account that has it.
CREATE TABLE console.identity (
    issuer_id uuid NOT NULL,
    subject text NOT NULL,
    account_id uuid NOT NULL,
    CONSTRAINT identity_pkey PRIMARY KEY (issuer_id, subject),
    CONSTRAINT identity_account_unique UNIQUE (account_id),
    CONSTRAINT identity_issuer FOREIGN KEY (issuer_id) REFERENCES console.issuer ON DELETE CASCADE,
    CONSTRAINT identity_account FOREIGN KEY (account_id) REFERENCES console.account
        ON DELETE CASCADE
);

-- A sign-in that has been sent to its issuer, by the SHA-256 of 256 random bits that the browser
-- has; nonce and PKCE's verifier are derived from them. `again_for`: the account that shows again
-- who it is.
CREATE TABLE console.sign_in_flow (
    sha256 bytea NOT NULL,
    issuer_id uuid NOT NULL,
    go_to text NOT NULL,
    again_for uuid,
    expires timestamptz NOT NULL,
    CONSTRAINT sign_in_flow_pkey PRIMARY KEY (sha256),
    CONSTRAINT sign_in_flow_issuer FOREIGN KEY (issuer_id) REFERENCES console.issuer
        ON DELETE CASCADE
);

-- Logout tokens that were acted on, by digest, until they are too old to count anyway.
CREATE TABLE console.spent_token (
    sha256 bytea NOT NULL,
    expires timestamptz NOT NULL,
    CONSTRAINT spent_token_pkey PRIMARY KEY (sha256)
);

-- By which issuer a session was opened, and the issuer's own name for its session.
ALTER TABLE console.session ADD COLUMN issuer_id uuid;
ALTER TABLE console.session ADD COLUMN issuer_session text;
ALTER TABLE console.session ADD CONSTRAINT session_issuer FOREIGN KEY (issuer_id)
    REFERENCES console.issuer ON DELETE CASCADE;
ALTER TABLE console.session DROP CONSTRAINT session_method_known;
ALTER TABLE console.session ADD CONSTRAINT session_method_known
    CHECK (method IN ('link', 'password', 'totp', 'recovery', 'oidc'));

-- The one account for an emergency: every role everywhere, and its use is an alarm.
ALTER TABLE console.account ADD COLUMN is_break_glass boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX account_one_break_glass ON console.account (is_break_glass)
    WHERE is_break_glass;

GRANT SELECT ON console.issuer, console.issuer_role TO rollcall_console;
GRANT SELECT, INSERT, DELETE ON console.identity, console.sign_in_flow, console.spent_token
    TO rollcall_console;
