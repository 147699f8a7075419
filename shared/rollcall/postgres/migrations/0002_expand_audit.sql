-- The audit: one row for each applied or refused request, which is also the outbox of outcomes.
--
-- Partitioned by ranges of its key. The key is a UUIDv7, so a range of keys is a month, the key
-- stays unique over all months, and an old month is dropped as a table.

CREATE SCHEMA audit;

CREATE TABLE audit.event (
    id uuid NOT NULL,
    organisation_id uuid,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    type text NOT NULL,
    resource_id text,
    actor text NOT NULL,
    append_time timestamptz NOT NULL,
    event_time timestamptz NOT NULL,
    recorded timestamptz NOT NULL DEFAULT now(),
    status integer NOT NULL,
    scim_type text,
    -- Whether it was answered before it was decided, as far as the event tells.
    optimistic boolean NOT NULL DEFAULT false,
    outcomes jsonb NOT NULL,
    CONSTRAINT event_pkey PRIMARY KEY (id)
) PARTITION BY RANGE (id);

CREATE INDEX event_by_offset ON audit.event (partition, "offset");
CREATE INDEX event_by_resource ON audit.event (organisation_id, resource_id);

-- For ids of no month that is made yet, and for ids that are no UUIDv7.
CREATE TABLE audit.event_default PARTITION OF audit.event DEFAULT;

CREATE FUNCTION audit.first_id(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0')
            || '00000000000000000000')::uuid;

COMMENT ON FUNCTION audit.first_id IS 'The smallest id that sorts as a UUIDv7 of this moment';

CREATE FUNCTION audit.ensure_months(since timestamptz, months integer) RETURNS integer
    LANGUAGE plpgsql
AS $$
DECLARE
    first_month timestamptz := date_trunc('month', since, 'UTC');
    lower_bound timestamptz;
    upper_bound timestamptz;
    table_name text;
    made integer := 0;
BEGIN
    FOR number IN 0 .. months - 1 LOOP
        -- Months are added to local time in UTC, whatever the session's time zone.
        lower_bound := ((first_month AT TIME ZONE 'UTC') + make_interval(months => number))
            AT TIME ZONE 'UTC';
        upper_bound := ((first_month AT TIME ZONE 'UTC') + make_interval(months => number + 1))
            AT TIME ZONE 'UTC';
        table_name := 'event_' || to_char(lower_bound AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(format('audit.%I', table_name)) IS NOT NULL;
        EXECUTE format('CREATE TABLE audit.%I (LIKE audit.event INCLUDING DEFAULTS)', table_name);
        -- What the default partition took for this month in the meantime moves with it.
        EXECUTE format(
            'WITH moved AS (DELETE FROM audit.event_default WHERE id >= %L AND id < %L RETURNING *)
             INSERT INTO audit.%I SELECT * FROM moved',
            audit.first_id(lower_bound), audit.first_id(upper_bound), table_name);
        EXECUTE format(
            'ALTER TABLE audit.event ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)',
            table_name, audit.first_id(lower_bound), audit.first_id(upper_bound));
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

COMMENT ON FUNCTION audit.ensure_months IS
    'Make the partitions of this many months from the month of `since` (UTC); how many were missing';

REVOKE ALL ON FUNCTION audit.ensure_months FROM PUBLIC;
