-- The directory: members, groups, memberships; progress of the partitions; dead letters.
--
-- Every key of a directory row starts with the organisation. Primary keys are immediate, because
-- an upsert by id needs an immediate arbiter; unique names are checked at commit, because a batch
-- may hand a name from one member to another.

CREATE SCHEMA directory;

CREATE TABLE directory.member (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    user_name_key text NOT NULL,
    external_id text,
    status text NOT NULL,
    restore_status text,
    invitation_id uuid,
    version uuid NOT NULL,
    created timestamptz NOT NULL,
    last_modified timestamptz NOT NULL,
    -- For look-ups, made from the document by `search_keys.py`: the display name, every address,
    -- and every address with its type before it. Letter case is off in all of them.
    display_name_key text,
    email_keys text[] NOT NULL DEFAULT '{}',
    document jsonb NOT NULL,
    CONSTRAINT member_pkey PRIMARY KEY (organisation_id, id),
    CONSTRAINT member_username_unique UNIQUE (organisation_id, user_name_key)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT member_external_id_unique UNIQUE (organisation_id, external_id)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT member_status_known
        CHECK (status IN ('invited', 'accepted', 'confirmed', 'revoked')),
    CONSTRAINT member_restore_status_known
        CHECK (restore_status IN ('invited', 'accepted', 'confirmed')),
    CONSTRAINT member_restore_status_of_revoked
        CHECK (restore_status IS NULL OR status = 'revoked')
);

-- Without the organisation: an address is in a handful of organisations at most, and GIN over
-- uuid would need an extension. The query filters by organisation.
CREATE INDEX member_email_keys ON directory.member USING gin (email_keys) WITH (fastupdate = off);
-- Only its beginning: a row of a B-tree holds no more than 2,700 bytes.
CREATE INDEX member_display_name
    ON directory.member (organisation_id, left(display_name_key, 256));

CREATE TABLE directory."group" (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    display_name_key text NOT NULL,
    -- Equal to display_name_key where the organisation wanted unique names when it was written,
    -- otherwise null. A partial unique index could not be deferrable, a nullable column can.
    unique_name_key text,
    external_id text,
    version uuid NOT NULL,
    created timestamptz NOT NULL,
    last_modified timestamptz NOT NULL,
    document jsonb NOT NULL,
    CONSTRAINT group_pkey PRIMARY KEY (organisation_id, id),
    CONSTRAINT group_name_unique UNIQUE (organisation_id, unique_name_key)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT group_external_id_unique UNIQUE (organisation_id, external_id)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT group_unique_name_is_name
        CHECK (unique_name_key IS NULL OR unique_name_key = display_name_key)
);

CREATE INDEX group_display_name
    ON directory."group" (organisation_id, left(display_name_key, 256));

-- No foreign keys: two look-ups and two row locks for each of 100,000 memberships would halve the
-- rate, and a member whose request is quarantined (a dead letter) counts as known before it has a
-- row. The writer deletes memberships with their group or member, set-based.
CREATE TABLE directory.group_member (
    organisation_id uuid NOT NULL,
    group_id uuid NOT NULL,
    member_id uuid NOT NULL,
    CONSTRAINT group_member_pkey PRIMARY KEY (organisation_id, group_id, member_id)
);

CREATE INDEX group_member_by_member ON directory.group_member (organisation_id, member_id, group_id);

-- How far each partition is applied and announced. fillfactor: updated with every batch, in place.
CREATE TABLE directory.progress (
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

-- Records that could not be applied, bytes and all. `event_id` is text: it may be no UUID.
CREATE TABLE directory.dead_letter (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    event_id text,
    organisation_id uuid,
    headers jsonb NOT NULL,
    key bytea,
    value bytea,
    error_class text NOT NULL,
    error text NOT NULL,
    append_time timestamptz NOT NULL,
    recorded timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'dead',
    CONSTRAINT dead_letter_pkey PRIMARY KEY (topic, partition, "offset", epoch),
    CONSTRAINT dead_letter_state_known CHECK (state IN ('dead', 'redriven', 'dropped'))
);

CREATE INDEX dead_letter_by_event ON directory.dead_letter (event_id);
CREATE INDEX dead_letter_by_organisation
    ON directory.dead_letter (organisation_id, recorded) WHERE organisation_id IS NOT NULL;
